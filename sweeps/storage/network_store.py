"""The store of networks and predictions, which belongs to the driver and to no tracker.

    OUT/mlruns/networks/STUDY/images.json                         names, labels and clusters of val and test, once
    OUT/mlruns/networks/STUDY/FINGERPRINT-SEED/predictions.safetensors   logits on val and test; always kept
    OUT/mlruns/networks/STUDY/FINGERPRINT-SEED/checkpoint         the selected network; see `run.keep`

The ledger holds addresses relative to OUT, so that a moved or copied folder works on, on its own files alone. What a
tracker gets are links or copies: losing it loses nothing here.
"""

import contextlib
import datetime
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_tl.data.prepare import Prepared
from resnet_tl.errors import CheckpointError, UserError
from resnet_tl.files import discard, link_folder, make_folder, remove, replacing, sync, write_text
from resnet_tl.identity import digest
from resnet_tl.predictions import FILE as PREDICTIONS
from resnet_tl.predictions import SPLITS, Logits, confusion_KK, read, read_said
from sweeps.records import SeedRun, folder_of_study

CHECKPOINT = "checkpoint"
WHOLE_MATRIX = 30
"""The most classes whose confusion matrices trackers get whole: that of 1,000 classes takes 3 MB as JSON."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """The predictions of a seed run, for val, test and sets under other conditions."""

    logits: Mapping[str, Logits]
    """[N, K]."""
    labels: Mapping[str, NDArray[np.int64]]
    """True classes [N]."""


class NetworkStore:
    """Networks and predictions of one study.

    Args:
        out: `run.out`, absolute.
    """

    def __init__(self, out: Path, study: str) -> None:
        self._out = out
        self._folder = out / "mlruns" / "networks" / folder_of_study(study)

    def describe_images(self, data: Prepared) -> None:
        """Notes which images the predictions are of, in their order."""
        path = self._folder / "images.json"
        images = data.load()
        content = {"data": data.fingerprint, "classes": list(data.classes)} | {
            split: {
                "names": [images.names[index] for index in images.splits[split]],
                "labels": images.labels_N[images.splits[split]].tolist(),
                "clusters": images.clusters_N[images.splits[split]].tolist(),
            }
            for split in data.scored
        }
        text = json.dumps(content)
        with contextlib.suppress(OSError, ValueError):  # not there, or damaged
            if path.read_text(encoding="utf-8") == text:
                return
        write_text(path, text)

    def adopt(self, left: Sequence[tuple[Path, str, int]]) -> list[str | None]:
        """Takes over what seed runs left in their work folders; before the ledger says that it is there.

        Args:
            left: work folder, fingerprint and seed of each.

        Returns:
            The networks' addresses, relative to `run.out`; None where there is none.
        """
        make_folder(self._folder)
        found: list[str | None] = []
        places: list[Path] = []
        for work, fingerprint, seed in left:
            place = self._place(fingerprint, seed)
            network = place / CHECKPOINT
            if not (work / PREDICTIONS).exists() and not (work / CHECKPOINT).exists():
                found.append(None)
                continue
            place.mkdir(exist_ok=True)
            places.append(place)
            if (work / PREDICTIONS).exists():
                (work / PREDICTIONS).replace(place / PREDICTIONS)
            if (work / CHECKPOINT).exists():
                if network.exists():
                    discard(network)  # of a seed run that was killed before the ledger had it
                (work / CHECKPOINT).rename(network)
            found.append(network.relative_to(self._out).as_posix() if network.exists() else None)
        for place in (*places, self._folder):  # all at once: the first has the disk write down most of it
            sync(place)
        return found

    def take_over(self, run: SeedRun) -> str | None:
        """Links what another study keeps of a seed run, so that this one has it whatever becomes of the other.

        Returns:
            The network's address here; None when there is none.
        """
        other = NetworkStore(self._out, run.study)
        place = self._place(run.fingerprint, run.seed)
        predictions, network = other.predictions_of(run), other.network_of(run)
        if predictions is not None and not (place / PREDICTIONS).exists():
            with replacing(place / PREDICTIONS) as stream:
                stream.write(predictions.read_bytes())
        if network is None:
            return None
        link_folder(network, place / CHECKPOINT)
        return (place / CHECKPOINT).relative_to(self._out).as_posix()

    def predictions_of(self, run: SeedRun) -> Path | None:
        """The predictions of a seed run; None where none are kept."""
        path = self._place(run.fingerprint, run.seed) / PREDICTIONS
        return path if path.exists() else None

    def kept_of(self, run: SeedRun) -> Kept | None:
        """What a network said of the images of val and test; None where no predictions are kept.

        Raises:
            CheckpointError: they are damaged, or what says which images they are of.
        """
        return self.kept(run.fingerprint, run.seed)

    def kept(self, fingerprint: str, seed: int) -> Kept | None:
        """The same, of a seed run by name."""
        place = self._place(fingerprint, seed)
        return Kept(logits=read(place), labels=self.labels()) if (place / PREDICTIONS).exists() else None

    def said(self, fingerprint: str, seed: int, split: str, places: Sequence[int]) -> list[int] | None:
        """The classes that a network gave to some images of a split; None where its predictions are not kept.

        Raises:
            CheckpointError: they are damaged, or of other images.
        """
        place = self._place(fingerprint, seed)
        return read_said(place, split, places) if (place / PREDICTIONS).exists() else None

    def confusion_of(self, run: SeedRun) -> Mapping[str, Any] | None:
        """The confusion matrices of a seed run on val and test, for people to read; None where they cannot be had.

        Up to `WHOLE_MATRIX` classes rows of counts, row = true class; above that the cells that are not empty.
        """
        try:
            kept = self.kept_of(run)
        except (UserError, OSError, ValueError):
            return None
        if kept is None:
            return run.confusion
        found = {split: confusion_KK(kept.logits[split], kept.labels[split]) for split in kept.logits}
        return {split: _written(counts_KK) for split, counts_KK in found.items()}

    def labels(self) -> dict[str, NDArray[np.int64]]:
        """True classes of the images of val and test.

        Raises:
            CheckpointError: they are not known.
        """
        return _of_images(self._folder / "images.json", "labels")

    def names(self) -> dict[str, list[str]]:
        """Names of the images of val and test, in the order of the predictions.

        Raises:
            CheckpointError: they are not known.
        """
        path = self._folder / "images.json"
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            return {split: list(map(str, content[split]["names"])) for split in SPLITS}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(_unknown_images(path, error)) from None

    def clusters(self) -> dict[str, NDArray[np.int64]]:
        """Which images of val and test depend on each other; studies of versions that did not note it have none."""
        path = self._folder / "images.json"
        return _of_images(path, "clusters") if path.exists() else {}

    def order(self) -> str | None:
        """Names the images of val and test in their order; None where it is not known."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            content = json.loads((self._folder / "images.json").read_text(encoding="utf-8"))
            return digest([[content[split][part] for part in ("names", "labels")] for split in SPLITS])
        return None

    def data_fingerprint(self) -> str | None:
        """Names all images as the study saw them; None where it is not known."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            return str(json.loads((self._folder / "images.json").read_text(encoding="utf-8"))["data"])
        return None

    def network_of(self, run: SeedRun) -> Path | None:
        """The folder of a seed run's network; None where none is kept."""
        if run.network is None or not run.owns_network:
            return None
        path = self._out / run.network
        return path if (path / "model.json").exists() else None

    def drop(self, fingerprint: str, seed: int) -> None:
        """Removes a network; its predictions stay."""
        network = self._place(fingerprint, seed) / CHECKPOINT
        if network.exists():
            discard(network)

    def clear_leftovers(self, runs: Iterable[SeedRun], since: str | None) -> None:
        """Removes what killed drivers left: half removed or half written things, and what no seed run is known of.

        Of the latter only what has come since the ledger knows the study: what is older belongs to another ledger,
        which may be put back into its place.

        Args:
            runs: all that the ledger has of this study.
            since: when the ledger was told of it, before this start; None where it was not.
        """
        remove(self.unfinished())
        if since is None:
            return
        known = {f"{run.fingerprint}-{run.seed}" for run in runs}
        first_s = datetime.datetime.fromisoformat(since).timestamp()
        for folder in self._folder.glob("*-*"):
            if folder.is_dir() and folder.name not in known and folder.stat().st_mtime >= first_s:
                discard(folder)

    def strangers(self, known: AbstractSet[tuple[str, int]]) -> list[Path]:
        """Folders of seed runs that are not among those that the ledger has."""
        names = {f"{fingerprint}-{seed}" for fingerprint, seed in known}
        return sorted(f for f in self._folder.glob("[!.]*-*") if f.is_dir() and f.name not in names)

    def unfinished(self) -> Iterator[Path]:
        """What killed drivers left half removed or half written."""
        for pattern in (".*.part", "*/.*.part", "*/.gone-*", ".gone-*"):
            yield from self._folder.glob(pattern)

    def _place(self, fingerprint: str, seed: int) -> Path:
        return self._folder / f"{fingerprint}-{seed}"


def _written(counts_KK: NDArray[np.int64]) -> Any:
    if len(counts_KK) <= WHOLE_MATRIX:
        return counts_KK.tolist()
    true, predicted = np.nonzero(counts_KK)
    cells = {"true": true, "predicted": predicted, "images": counts_KK[true, predicted]}
    return {name: values.tolist() for name, values in cells.items()}


@lru_cache(maxsize=8)
def _of_images(path: Path, what: str) -> dict[str, NDArray[np.int64]]:
    """Labels or clusters of the images of val and test."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if what == "clusters" and what not in content["test"]:
            return {}
        splits = [*SPLITS, *(name for name in content if name not in (*SPLITS, "data", "classes"))]
        return {split: np.array(content[split][what], dtype=np.int64) for split in splits}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(_unknown_images(path, error)) from None


def _unknown_images(path: Path, error: Exception) -> str:
    return (
        f"{path} must say which images the predictions are of, but cannot be read: {error}. The next start of the "
        "study writes it again."
    )
