"""The best network of a study, stored as one that needs no other file."""

from collections.abc import Callable, Sequence
from pathlib import Path

from resnet_tl.data.prepare import Prepared
from resnet_tl.errors import UserError
from resnet_tl.files import discard, is_full, replacing_folder
from sweeps.execution.executor import Executor, WorkerDied, run_one
from sweeps.execution.tasks import Export
from sweeps.planning.study_state import Scored


class BestNetwork:
    """The best seed run of the best trial, by the study's metric on `val`.

    Args:
        folder: holds the checkpoint, `samples/` to try it on, and `origin.txt`, which names the seed run.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def stored(self) -> Path | None:
        """The folder, if a network is in it."""
        return self._folder if (self._folder / "model.json").exists() else None

    def is_stored(self, ranked: Sequence[Scored]) -> bool:
        """Whether the best of these trials is the one in the folder; true if there is none."""
        if not ranked:
            return True
        mark = self._folder / "origin.txt"
        return self.stored() is not None and mark.exists() and mark.read_text() == _origin(ranked[0])

    def store(
        self,
        scored: Scored,
        checkpoint: Path,
        executor: Executor,
        data: Prepared,
        say: Callable[[str], None],
        check: Callable[[], None],
    ) -> bool:
        """Exports a network; what goes wrong is said, since no result depends on it.

        A full disk is raised, as everywhere.

        Args:
            checkpoint: the network of the trial's best seed.
            check: see `run_all`.

        Returns:
            Whether it is stored.
        """
        try:
            with replacing_folder(self._folder) as making:
                inside = making / "network"
                run_one(executor, Export(checkpoint=checkpoint, destination=inside, data=data), check)
                for path in inside.iterdir():
                    path.rename(making / path.name)
                inside.rmdir()
                (making / "origin.txt").write_text(_origin(scored))
        except (UserError, WorkerDied, OSError) as error:
            if is_full(error):
                raise
            say(f"The best network could not be stored in {self._folder}: {error}")
            return False
        return True

    def forget(self) -> None:
        """Removes a network that is no longer the best."""
        if self._folder.exists():
            discard(self._folder)


def _origin(scored: Scored) -> str:
    return f"{scored.trial.fingerprint} {scored.best_seed}\n"
