"""Outputs of a frozen front, computed once and mapped into memory by every run that can use them.

    CACHE/features/KEY/outputs.bin      one array of outputs: every image for the plain view, else those of train
    CACHE/features/KEY/features.json    what they are of, their shape, sha256

KEY names all that decides them (see `front.Front`), one face of the images (`data.views.View`) and the cut, so that
studies with other faces and other cuts share what they have in common.

Axes: B images of a batch, N images.
"""

import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resnet_tl.data.augment import render
from resnet_tl.data.batches import Normalisation, to_unit
from resnet_tl.data.prepare import Images
from resnet_tl.data.views import PLAIN, View
from resnet_tl.errors import DataError
from resnet_tl.fingerprint import sha256_of
from resnet_tl.front import Front
from resnet_tl.model.network import FRONT_BATCH, Network


@dataclass(frozen=True, kw_only=True, slots=True)
class Stored:
    """Outputs on disk, for some faces of the images; small, so that it travels to workers."""

    front: Front
    folders: Mapping[View, str]


def stored(front: Front, views: Sequence[View], cache: Path) -> Stored:
    """Names outputs that are there, or will be."""
    return Stored(front=front, folders={view: str(front.folder(view, cache)) for view in views})


def num_rows(view: View, num_images: Mapping[str, int]) -> int:
    """Outputs for one face of the images: evaluation sees the plain one only."""
    return sum(num_images.values()) if view == PLAIN else num_images["train"]


# -- reading ----------------------------------------------------------------------------------------------------------


class Features:
    """Stored outputs, mapped into memory."""

    def __init__(self, place: Stored, images: Images) -> None:
        self._front = place.front
        self._arrays: dict[View, NDArray[np.generic]] = {}
        train = images.splits["train"]
        self._row_in_train = np.full(len(images.labels_N), -1)
        self._row_in_train[train] = np.arange(len(train))
        for view, folder in place.folders.items():
            table = json.loads((Path(folder) / "features.json").read_text(encoding="utf-8"))
            self._arrays[view] = np.memmap(
                Path(folder) / "outputs.bin", dtype=table["dtype"], mode="r", shape=tuple(table["shape"])
            )

    def of_views(self, index_B: NDArray[np.int64], views: Sequence[View], view_B: NDArray[np.int64]) -> Tensor:
        """Outputs [B, …] of images, each seen as its own of `views`."""
        first = self._arrays[views[0]]
        gathered = np.empty((len(index_B), *first.shape[1:]), dtype=first.dtype)
        for number, view in enumerate(views):
            chosen_B = view_B == number
            rows = self._rows(index_B[chosen_B], view)
            gathered[chosen_B] = self._arrays[view][rows]
        return _tensor(gathered, self._front)

    def of_view(self, index_B: NDArray[np.int64], view: View = PLAIN) -> Tensor:
        """Outputs [B, …] of images, all seen the same way."""
        return _tensor(self._arrays[view][self._rows(index_B, view)], self._front)

    def _rows(self, index_B: NDArray[np.int64], view: View) -> NDArray[np.int64]:
        return index_B if view == PLAIN else self._row_in_train[index_B]


def as_stored(outputs_B: Tensor, front_is_last: bool) -> Tensor:
    """Outputs in the memory layout that stored ones have: layouts decide which kernel runs, and so the last bits."""
    if outputs_B.dim() == 4 and front_is_last:
        return outputs_B.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    return outputs_B.contiguous()


def _tensor(rows: NDArray[Any], front: Front) -> Tensor:
    tensor = torch.from_numpy(np.ascontiguousarray(rows))
    if front.precision == "bf16":
        tensor = tensor.view(torch.bfloat16)
    return tensor.permute(0, 3, 1, 2) if tensor.dim() == 4 and front.channels_last else tensor


def _bytes(outputs_B: Tensor, front: Front) -> NDArray[Any]:
    if outputs_B.dim() == 4 and front.channels_last:
        outputs_B = outputs_B.permute(0, 2, 3, 1)
    outputs_B = outputs_B.contiguous().cpu()
    expected = torch.bfloat16 if front.precision == "bf16" else torch.float32
    assert outputs_B.dtype == expected, f"a front in {front.precision} gave {outputs_B.dtype}"
    return (outputs_B.view(torch.int16) if front.precision == "bf16" else outputs_B).numpy()


# -- making -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Making:
    """Outputs that are being computed: one pass over the images for a face of them, whatever the number of cuts."""

    view: View
    fronts: tuple[Front, ...]
    """Alike but for their cut."""
    folders: tuple[str, ...]
    """Of unfinished outputs, one for each front."""
    rows: int


def begin(fronts: Sequence[Front], view: View, rows: int, cache: Path) -> Making:
    """Makes room for outputs."""
    base = cache / "features"
    base.mkdir(parents=True, exist_ok=True)
    for left in base.glob(".making-*"):  # of drivers that were killed
        if time.time() - left.stat().st_mtime > 86_400:
            shutil.rmtree(left, ignore_errors=True)
    folders = []
    for front in fronts:
        folder = Path(tempfile.mkdtemp(dir=base, prefix=".making-"))
        folder.chmod(0o755)
        with (folder / "outputs.bin").open("wb") as stream:
            stream.truncate(rows * front.num_bytes)
        folders.append(str(folder))
    return Making(view=view, fronts=tuple(fronts), folders=tuple(folders), rows=rows)


def compute(
    making: Making,
    images: Images,
    network: Network,
    normalisation: Normalisation,
    *,
    crop: int | None,
    first: int,
    end: int,
) -> int:
    """Fills rows `first` … `end`-1; several workers may each fill some.

    Returns:
        How many images passed through the front.
    """
    device = next(network.parameters()).device
    network.eval()
    index = np.arange(making.rows) if making.view == PLAIN else images.splits["train"]
    arrays = {
        front.cut: np.memmap(
            Path(folder) / "outputs.bin", dtype=_dtype(front), mode="r+", shape=_stored_shape(front, making.rows)
        )
        for front, folder in zip(making.fronts, making.folders, strict=True)
    }
    by_cut = {front.cut: front for front in making.fronts}
    passes = 0
    bf16 = making.fronts[0].precision == "bf16"
    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        for rows in _chunks(first, end):
            pixels = to_unit(images.pixels_NCHW[index[rows]]).to(device)
            pixels = normalisation(render(pixels, making.view, crop))
            count = len(rows)
            if count < FRONT_BATCH:
                pixels = torch.cat([pixels, pixels[-1:].expand(FRONT_BATCH - count, -1, -1, -1)])
            for cut, outputs in network.front_outputs(pixels, list(by_cut)).items():
                arrays[cut][rows] = _bytes(outputs[:count], by_cut[cut])
            passes += count
    for array in arrays.values():
        array.flush()
    return passes


def _chunks(first: int, end: int) -> Iterator[NDArray[np.int64]]:
    for start in range(first, end, FRONT_BATCH):
        yield np.arange(start, min(start + FRONT_BATCH, end))


def _dtype(front: Front) -> str:
    return "<i2" if front.precision == "bf16" else "<f4"


def _stored_shape(front: Front, rows: int) -> tuple[int, ...]:
    shape = front.shape
    if len(shape) == 3 and front.channels_last:
        shape = (shape[1], shape[2], shape[0])
    return (rows, *shape)


def finish(making: Making, cache: Path) -> None:
    """Gives complete outputs their name; until then nobody can take them for such."""
    for front, made in zip(making.fronts, making.folders, strict=True):
        folder = Path(made)
        path = folder / "outputs.bin"
        table = {
            "front": asdict(front) | {"environment": front.environment.identity()},
            "view": asdict(making.view),
            "shape": _stored_shape(front, making.rows),
            "dtype": _dtype(front),
            "sha256": sha256_of(path),
        }
        (folder / "features.json").write_text(json.dumps(table, indent=1), encoding="utf-8")
        with path.open("rb") as stream:
            os.fsync(stream.fileno())
        final = front.folder(making.view, cache)
        try:
            folder.rename(final)
        except OSError:
            if not final.exists():
                raise
            shutil.rmtree(folder)  # another driver was first, with the same content


def abandon(making: Making) -> None:
    """Removes unfinished outputs."""
    for folder in making.folders:
        shutil.rmtree(folder, ignore_errors=True)


def verify(place: Stored) -> None:
    """Compares stored outputs with their hash.

    Raises:
        DataError: they differ; the damaged ones are removed, so that the next start computes them anew.
    """
    for name in place.folders.values():
        folder = Path(name)
        stated = json.loads((folder / "features.json").read_text(encoding="utf-8"))["sha256"]
        found = sha256_of(folder / "outputs.bin")
        if found != stated:
            shutil.rmtree(folder)
            raise DataError(
                f"The features in {folder} must have sha256 {stated[:12]}…, but have {found[:12]}…: the disk or "
                "another program changed them. They were removed; start again to compute them anew."
            )
