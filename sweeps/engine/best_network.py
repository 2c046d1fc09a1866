"""The study's best network, stored as one that needs no other file."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from resnet_tl.data.prepare import Prepared
from resnet_tl.errors import UserError
from resnet_tl.files import discard, write_text
from sweeps.execution.executor import Executor, WorkerDied
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
        ranked: Sequence[Scored],
        network_of: Callable[[Scored], Path | None],
        executor: Executor,
        data: Prepared,
        say: Callable[[str], None],
    ) -> None:
        """Exports the best of these trials; what goes wrong is said, since no result depends on it.

        Args:
            ranked: the best first.
            network_of: the folder of a network.
        """
        if self.is_stored(ranked):
            return
        try:
            checkpoint = network_of(ranked[0])
            if checkpoint is None:
                say(
                    f"The best network cannot be stored: that of trial {ranked[0].trial.number}, seed "
                    f"{ranked[0].best_seed}, was not kept (run.keep) or is gone. Its results are in the ledger."
                )
                return
            making = self._folder.with_name(f".{self._folder.name}.making")
            shutil.rmtree(making, ignore_errors=True)
            executor.submit(Export(checkpoint=checkpoint, destination=making, data=data), executor.slots[0]).result()
            # the mark goes in before the folder gets its name: a kill leaves the old one or the new one, whole
            write_text(making / "origin.txt", _origin(ranked[0]))
            if self._folder.exists():
                discard(self._folder)
            making.rename(self._folder)
        except (UserError, WorkerDied, OSError) as error:
            say(f"The best network could not be stored in {self._folder}: {error}")


def _origin(scored: Scored) -> str:
    return f"{scored.trial.fingerprint} {scored.best_seed}\n"
