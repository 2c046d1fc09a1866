"""The study's best network, stored as one that needs no other file."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from resnet_tl.data.prepare import Prepared
from resnet_tl.errors import UserError
from sweeps.definition.config import StudyConfig
from sweeps.engine.execute import LocalExecutor, WorkerDied, answer
from sweeps.engine.work import export_network
from sweeps.ledger import SeedRunRow


@dataclass(frozen=True, kw_only=True, slots=True)
class Scored:
    """A trial whose seed runs are all complete."""

    number: int
    value: float
    """Mean over seeds of the study's metric."""
    rows: tuple[SeedRunRow, ...]


class BestNetwork:
    """The best seed run of the best trial, by the study's metric on `val`.

    Args:
        folder: holds the checkpoint, `samples/` to try it on, and `origin.txt`, which names the seed run.
    """

    def __init__(self, folder: Path, study: StudyConfig) -> None:
        self._folder, self._metric = folder, study.metric
        self._sign = 1 if study.direction == "maximize" else -1

    def stored(self) -> Path | None:
        """The folder, if a network is in it."""
        return self._folder if (self._folder / "model.json").exists() else None

    def is_stored(self, trials: Sequence[Scored]) -> bool:
        """Whether the best of these trials is the one in the folder; true if there is none."""
        if not trials:
            return True
        mark = self._folder / "origin.txt"
        return mark.exists() and mark.read_text() == _origin(self._choose(trials))

    def store(
        self,
        trials: Sequence[Scored],
        network_of: Callable[[SeedRunRow], Path | None],
        executor: LocalExecutor,
        data: Prepared,
        say: Callable[[str], None],
    ) -> None:
        """Exports the best of these trials; what goes wrong is said, since no result depends on it."""
        if self.is_stored(trials):
            return
        row = self._choose(trials)
        try:
            checkpoint = network_of(row)
            if checkpoint is None:
                say(f"The best network cannot be stored: {row.checkpoint} is not there. Its results are in the ledger.")
                return
            answer(executor.submit(export_network, str(checkpoint), str(self._folder), data))
        except (UserError, WorkerDied, OSError) as error:
            say(f"The best network could not be stored in {self._folder}: {error}")
            return
        (self._folder / "origin.txt").write_text(_origin(row))

    def _choose(self, trials: Sequence[Scored]) -> SeedRunRow:
        best = max(trials, key=lambda trial: (self._sign * trial.value, -trial.number))
        return max(best.rows, key=lambda row: (self._sign * row.metrics[self._metric], -row.seed))


def _origin(row: SeedRunRow) -> str:
    return f"{row.fingerprint} {row.seed}\n"
