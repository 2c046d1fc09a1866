"""What a report shows of seed runs beyond their scores: learning curves, and what networks said of the test images.

Axes: K classes, R bins of probability, S seeds.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from resnet_tl import predictions
from resnet_tl.metrics import Floats, Ints
from sweeps.records import SeedRun
from sweeps.storage.ledger import Ledger
from sweeps.storage.network_store import NetworkStore

if TYPE_CHECKING:
    from sweeps.reporting.results import Trial


class Details:
    """Details of a study's trials, on its planned seeds, read from disk when they are asked for.

    Args:
        ledger: open as long as details are asked for.
        networks: with the predictions of the study.
    """

    def __init__(self, ledger: Ledger, networks: NetworkStore, study: str) -> None:
        self._ledger, self._networks, self._study = ledger, networks, study
        self._runs: dict[str | None, list[SeedRun]] = {}

    def runs(self, trial: "Trial") -> Sequence[SeedRun]:
        """The seed runs of a trial, with their learning curves."""
        name = trial.fingerprint
        if name not in self._runs:
            self._runs[name] = self._ledger.seed_runs(self._study, fingerprint=name, heavy=True)
        return [run for run in self._runs[name] if run.seed in trial.seeds]

    def confusion_KK(self, trial: "Trial") -> Ints | None:
        """Counts on test over all seeds, row = true class, column = predicted class; None where none are kept."""
        total_KK: Ints | None = None
        for run in self.runs(trial):
            kept = self._networks.kept_of(run)
            if kept is not None:
                counts_KK = predictions.confusion_KK(kept.logits["test"], kept.labels["test"])
            elif run.confusion is not None:  # versions before kept matrices in place of predictions
                counts_KK = np.array(run.confusion["test"])
            else:
                continue
            total_KK = counts_KK if total_KK is None else total_KK + counts_KK
        return total_KK

    def reliability_SR3(self, trial: "Trial") -> Floats | None:
        """How sure networks were on test, and how often right; None where that is not kept."""
        found: list[Floats] = []
        for run in self.runs(trial):
            kept = self._networks.kept_of(run)
            if kept is not None:
                found.append(predictions.reliability_R3(kept.logits["test"], kept.labels["test"]))
            elif run.reliability is not None:
                found.append(np.array(run.reliability))
        return np.stack(found) if found else None

    def by_class(self, trial: "Trial") -> dict[str, Floats]:
        """The metrics of each class on test, [S, K], NaN for classes without an image; none without predictions."""
        found: list[dict[str, Floats]] = []
        for run in self.runs(trial):
            kept = self._networks.kept_of(run)
            if kept is not None:
                found.append(predictions.by_class(kept.logits["test"], kept.labels["test"]))
        return {name: np.stack([of_run[name] for of_run in found]) for name in found[0]} if found else {}
