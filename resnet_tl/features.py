"""Outputs of a frozen front: computed once, mapped into memory by every run that can use them.

Axes: B images of a batch, N images.
"""

import json
from collections.abc import Iterator, Sequence
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
from resnet_tl.front import FRONT_BATCH, Front
from resnet_tl.model.network import Network
from resnet_tl.model.runtime import computing
from resnet_tl.store import Making, Stored, dtype_of, shape_of


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
    # by way of one axis: `contiguous` leaves the strides of axes of one pixel as they are
    if outputs_B.dim() == 4 and front_is_last:
        outputs_BHWC = outputs_B.permute(0, 2, 3, 1)
        return outputs_BHWC.reshape(-1).view(outputs_BHWC.shape).permute(0, 3, 1, 2)
    return outputs_B.reshape(-1).view(outputs_B.shape)


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
            Path(folder) / "outputs.bin", dtype=dtype_of(front), mode="r+", shape=shape_of(front, making.rows)
        )
        for front, folder in zip(making.fronts, making.folders, strict=True)
    }
    by_cut = {front.cut: front for front in making.fronts}
    passes = 0
    bf16 = making.fronts[0].precision == "bf16"
    with (
        computing(device=str(device), threads=making.fronts[0].environment.threads),
        torch.no_grad(),
        torch.autocast(device.type, torch.bfloat16, enabled=bf16),
    ):
        for rows in _chunks(first, end):
            pixels = to_unit(images.pixels_NCHW[index[rows]]).to(device)
            pixels = normalisation(render(pixels, making.view, crop))
            for cut, outputs in network.front_outputs(pixels, list(by_cut)).items():
                arrays[cut][rows] = _bytes(outputs, by_cut[cut])
            passes += len(rows)
    for array in arrays.values():
        array.flush()
    return passes


def _chunks(first: int, end: int) -> Iterator[NDArray[np.int64]]:
    for start in range(first, end, FRONT_BATCH):
        yield np.arange(start, min(start + FRONT_BATCH, end))
