"""What a report shows of seed runs beyond their scores: learning curves, and what networks said of the test images.

Axes: K classes, R bins of probability, S seeds.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from resnet_tl import predictions
from resnet_tl.errors import CheckpointError
from resnet_tl.metrics import Floats, Ints, metric_of
from sweeps.records import SeedRun
from sweeps.statistics.images import Table
from sweeps.statistics.planned import OnImages
from sweeps.storage.ledger import Ledger
from sweeps.storage.network_store import Kept, NetworkStore

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
        self._compact: dict[str, dict[tuple[str, int], bytes]] = {}

    def runs(self, trial: "Trial") -> Sequence[SeedRun]:
        """The seed runs of a trial, with their learning curves."""
        name = trial.fingerprint
        if name not in self._runs:
            self._runs[name] = self._ledger.seed_runs(self._study, fingerprint=name, heavy=True)
        return [run for run in self._runs[name] if run.seed in trial.seeds]

    def on_images(self, trial: "Trial", column: str) -> OnImages | None:
        """What each image brings to a score; None where that is not kept for all of the trial's seed runs.

        Raises:
            CheckpointError: what is kept is damaged, or of other runs: its mean is not the score.
        """
        split, _, name = column.partition("/")
        if metric_of(column).of_images is None:
            return None
        rows = [self._of_images(trial.fingerprint or "", seed, split, name) for seed in trial.seeds]
        if any(row is None for row in rows):
            return None
        values_SN = np.stack([row for row in rows if row is not None])
        means_S = values_SN.mean(axis=1, dtype=np.float64).tolist()
        for seed, own_N, mean, score in zip(trial.seeds, values_SN, means_S, trial.columns[column], strict=True):
            # losses are kept to three digits, and none above the largest float16
            if name == "loss" and own_N.max() >= predictions.LARGEST_LOSS and score is not None and mean <= score:
                continue
            if score is not None and abs(mean - score) > 2e-3 * max(1.0, abs(score)):
                raise CheckpointError(
                    f"The predictions kept of trial {trial.number}, seed {seed} must have {column} {score:.6g} as the "
                    f"ledger says, but have {mean:.6g}; one of the two is damaged."
                )
        clusters_N = self._networks.clusters().get(split)
        if clusters_N is not None and len(clusters_N) != values_SN.shape[1]:
            raise CheckpointError(
                f"Study {self._study} has predictions of {values_SN.shape[1]} images of {split}, but notes on "
                f"{len(clusters_N)}; the next start of the study writes the notes again."
            )
        return OnImages(
            values_SN=values_SN,
            clusters_N=clusters_N,
            bounds=metric_of(column).bounds,
            effective=self._effective(split) if metric_of(column).of_class else None,
        )

    def order(self) -> str | None:
        """Names the images in their order, so that two studies can be compared image by image."""
        return self._networks.order()

    def _effective(self, split: str) -> float:
        """How many images an average over classes stands on: the harmonic mean of the classes' sizes, times classes."""
        sizes = np.unique(self._networks.labels()[split], return_counts=True)[1]
        return float(len(sizes) ** 2 / (1 / sizes).sum())

    def _of_images(self, fingerprint: str, seed: int, split: str, name: str) -> Table | None:
        if name in ("accuracy", "loss") and split in predictions.SPLITS:  # these the ledger has itself
            if split not in self._compact:
                self._compact[split] = self._ledger.compact(self._study, split)
            blob = self._compact[split].get((fingerprint, seed))
            if blob is None:
                return None
            return predictions.right_in(blob) if name == "accuracy" else predictions.unpack(blob).loss_N
        kept = self._networks.kept(fingerprint, seed)
        if kept is None or split not in kept.logits:
            return None
        if name == "accuracy":
            right_N: Table = kept.logits[split].argmax(-1) == kept.labels[split]
            return right_N
        return predictions.of_images(name, kept.logits[split], kept.labels[split])

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

    def kept(self, trial: "Trial") -> dict[int, Kept]:
        """The predictions of a trial's seed runs on val and test, by seed, of those of which they are kept."""
        found = {run.seed: self._networks.kept_of(run) for run in self.runs(trial)}
        return {seed: kept for seed, kept in found.items() if kept is not None}

    def right(self, trial: "Trial", seed: int) -> NDArray[np.bool_] | None:
        """Whether a seed run's network was right, for each test image, [N]; None where that is not kept.

        Raises:
            CheckpointError: what is kept is damaged, or of other images.
        """
        right_N = self._of_images(trial.fingerprint or "", seed, "test", "accuracy")
        if right_N is not None and len(right_N) != len(self._networks.names()["test"]):
            raise CheckpointError(
                f"Study {self._study} has predictions of {len(right_N)} images of test, but the names of "
                f"{len(self._networks.names()['test'])}; the next start of the study writes the names again."
            )
        return None if right_N is None else right_N.astype(bool)

    def said(self, runs: Sequence[tuple[str, int]], places: Sequence[int]) -> list[list[int]]:
        """For each of some test images the classes that networks gave it, of those whose predictions are kept.

        Args:
            runs: fingerprint and seed of each.
        """
        found = [self._networks.said(fingerprint, seed, "test", places) for fingerprint, seed in runs]
        return [[said[place] for said in found if said is not None] for place in range(len(places))]

    def names(self, split: str) -> list[str]:
        """The names of a split's images; see `NetworkStore.names`."""
        return self._networks.names()[split]

    def labels(self, split: str) -> list[int]:
        """The true classes of a split's images."""
        return [int(label) for label in self._networks.labels()[split]]

    def clusters(self, split: str) -> Ints | None:
        """Which images of a split depend on each other; None where it was not noted."""
        return self._networks.clusters().get(split)

    def data_fingerprint(self) -> str | None:
        """Names all images as the study saw them; None where it was not noted."""
        return self._networks.data_fingerprint()

    def network(self, trial: "Trial", seed: int) -> Path | None:
        """The folder of a seed run's network; None where none is kept."""
        return next((self._networks.network_of(run) for run in self.runs(trial) if run.seed == seed), None)

    def by_class(self, trial: "Trial") -> dict[str, Floats]:
        """The metrics of each class on test, [S, K], NaN for classes without an image; none without predictions."""
        found: list[dict[str, Floats]] = []
        for run in self.runs(trial):
            kept = self._networks.kept_of(run)
            if kept is not None:
                found.append(predictions.by_class(kept.logits["test"], kept.labels["test"]))
        return {name: np.stack([of_run[name] for of_run in found]) for name in found[0]} if found else {}
