"""What each image got, beside a study's CSV file, so that its report can be made from the files alone.

    NAME.images.safetensors    for each score that comparisons use a table [rows of the CSV, images]: bits for accuracy,
                               float32 for all else; which images of a split depend on each other; in its head the hash
                               of the CSV

Axes: R rows of the CSV, N images, B bytes of bits.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from resnet_tl.errors import DataError
from resnet_tl.files import discard, replacing
from resnet_tl.metrics import metric_of
from sweeps.reporting.results import Results, Trial
from sweeps.reporting.samples import knows_images
from sweeps.statistics.planned import OnImages

Rows = tuple[tuple[int, bool, int], ...]
"""Of each row of a CSV file the trial, whether it is one on fresh seeds, and the seed."""


def images_path(path: Path) -> Path:
    """Beside a CSV file."""
    return path.with_suffix(".images.safetensors")


def write_images(results: Results, path: Path, csv_sha256: str) -> None:
    """Writes what each image got beside a CSV file; nothing where that is not known.

    Args:
        path: of the CSV file.
    """
    target = images_path(path)
    shifted = (f"{name}/{results.metric.partition('/')[2]}" for name in results.shifted)
    wanted = [results.metric, results.headline, *(item.metric for item in results.hypotheses if item.metric), *shifted]
    columns = [name for name in dict.fromkeys(wanted) if knows_images(results, name)]
    if not columns:
        if target.exists():
            discard(target)
        return
    tensors: dict[str, NDArray[Any]] = {}
    counts: dict[str, int] = {}
    effective: dict[str, float] = {}
    sides = [*results.trials, *(trial.fresh for trial in results.trials if trial.fresh)]  # as `frame.frame_of` has it
    for name in columns:
        split = name.partition("/")[0]
        tables = [results.on_images(trial, name) if trial.state == "complete" else None for trial in sides]
        known = next(table for table in tables if table is not None)
        counts[split] = N = known.values_SN.shape[1]
        if known.effective is not None:
            effective[name] = known.effective
        if known.clusters_N is not None:
            tensors[f"clusters/{split}"] = known.clusters_N.astype(np.int32)
        bits = known.values_SN.dtype == np.bool_
        tensors[name] = np.concatenate(
            [
                _stored(
                    np.zeros((len(trial.seeds), N), bool if bits else np.float32) if table is None else table.values_SN
                )
                for trial, table in zip(sides, tables, strict=True)
            ]
        )
    order = results.images.order() if results.images else None
    about = {"csv_sha256": csv_sha256, "images": json.dumps(counts), "effective": json.dumps(effective)} | (
        {"order": order} if order else {}
    )
    with replacing(target) as stream:
        stream.write(save(tensors, metadata=about))


def _stored(values_SN: NDArray[Any]) -> NDArray[Any]:
    return np.packbits(values_SN, axis=1) if values_SN.dtype == np.bool_ else values_SN.astype(np.float32)


class StoredImages:
    """What each image got, from the file beside a CSV file.

    Args:
        rows: of the CSV file, in its order when it was written.
    """

    def __init__(
        self,
        tensors: Mapping[str, NDArray[Any]],
        counts: Mapping[str, int],
        effective: Mapping[str, float],
        order: str | None,
        rows: Rows,
    ) -> None:
        self._tensors, self._counts, self._effective, self._order = tensors, counts, effective, order
        self._place = {row: place for place, row in enumerate(rows)}

    def on_images(self, trial: Trial, column: str) -> OnImages | None:
        """What each image brings to a score; None where that is not known."""
        table = self._tensors.get(column)
        if table is None:
            return None
        # a trial on fresh seeds has seeds that the planned one has not
        places = [
            self._place.get((trial.number, False, seed), self._place.get((trial.number, True, seed)))
            for seed in trial.seeds
        ]
        if any(place is None for place in places):
            return None
        split = column.partition("/")[0]
        stored = table[[place for place in places if place is not None]]
        values_SN = stored
        if stored.dtype == np.uint8:
            values_SN = np.unpackbits(stored, axis=1, count=self._counts[split]).astype(bool)
        return OnImages(
            values_SN=values_SN,
            clusters_N=self._tensors.get(f"clusters/{split}"),
            bounds=metric_of(column).bounds,
            effective=self._effective.get(column),
        )

    def order(self) -> str | None:
        """Names the images in their order."""
        return self._order


def read_images(path: Path, csv_sha256: str, rows: Rows) -> StoredImages | None:
    """Reads what stands beside a CSV file; None where nothing does.

    Args:
        path: of the CSV file.
        rows: of the CSV file.

    Raises:
        DataError: it is of another CSV file, or damaged.
    """
    place = images_path(path)
    if not place.exists():
        return None
    try:
        with safe_open(place, framework="numpy") as file:
            about = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        counts = {split: int(number) for split, number in json.loads(about["images"]).items()}
        effective = {name: float(number) for name, number in json.loads(about.get("effective", "{}")).items()}
        whole = all(len(t) == len(rows) for name, t in tensors.items() if not name.startswith("clusters/"))
        whole &= all(len(t) == counts[name.partition("/")[2]] for name, t in tensors.items() if "clusters/" in name)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{place} must be what `sweeps.run` wrote, but cannot be read ({error}); remove it.") from None
    if about.get("csv_sha256") != csv_sha256 or not whole:
        raise DataError(
            f"{place} says what each image got in another {path.name}, which was changed since; write both again with "
            f"`python -m sweeps.report study={path.stem}`, or remove {place.name}."
        )
    return StoredImages(tensors, counts, effective, about.get("order"), rows)
