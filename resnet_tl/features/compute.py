"""Outputs of the frozen prefix computed: in the memory layout of stored ones, and into files.

Axes: B images of a batch, N images.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resnet_tl.batching import PREFIX_BATCH
from resnet_tl.data.augment import render
from resnet_tl.data.batches import Normalisation, to_unit
from resnet_tl.data.prepare import Images
from resnet_tl.data.views import PLAIN
from resnet_tl.device import autocast
from resnet_tl.features.key import FrozenPrefix
from resnet_tl.features.store import Making, dtype_of, shape_of
from resnet_tl.heartbeat import beat
from resnet_tl.model.network import Network
from resnet_tl.model.runtime import computing


def as_stored(outputs_B: Tensor, channels_last: bool) -> Tensor:
    """Outputs in the memory layout that stored ones have: layouts decide which kernel runs, and so the last bits."""
    # by way of one axis: `contiguous` leaves the strides of axes of one pixel as they are
    if outputs_B.dim() == 4 and channels_last:
        outputs_BHWC = outputs_B.permute(0, 2, 3, 1)
        return outputs_BHWC.reshape(-1).view(outputs_BHWC.shape).permute(0, 3, 1, 2)
    return outputs_B.reshape(-1).view(outputs_B.shape)


def _bytes(outputs_B: Tensor, prefix: FrozenPrefix) -> NDArray[Any]:
    if outputs_B.dim() == 4 and prefix.channels_last:
        outputs_B = outputs_B.permute(0, 2, 3, 1)
    outputs_B = outputs_B.contiguous().cpu()
    expected = torch.bfloat16 if prefix.precision == "bf16" else torch.float32
    assert outputs_B.dtype == expected, f"a prefix in {prefix.precision} gave {outputs_B.dtype}"
    return (outputs_B.view(torch.int16) if prefix.precision == "bf16" else outputs_B).numpy()


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
        How many images passed through the prefix.
    """
    device = next(network.parameters()).device
    network.eval()
    index = np.arange(making.rows) if making.view == PLAIN else images.learnable
    arrays = {
        prefix.cut: np.memmap(
            Path(folder) / "outputs.bin", dtype=dtype_of(prefix), mode="r+", shape=shape_of(prefix, making.rows)
        )
        for prefix, folder in zip(making.prefixes, making.folders, strict=True)
    }
    by_cut = {prefix.cut: prefix for prefix in making.prefixes}
    passes = 0
    with (
        computing(device=str(device), threads=making.prefixes[0].environment.threads),
        torch.no_grad(),
        autocast(device, making.prefixes[0].precision),
    ):
        for rows in _chunks(first, end):
            beat()
            pixels = to_unit(images.pixels_NCHW[index[rows]], device)
            pixels = normalisation(render(pixels, making.view, crop))
            for cut, outputs in network.prefix_outputs(pixels, list(by_cut)).items():
                arrays[cut][rows] = _bytes(outputs, by_cut[cut])
            passes += len(rows)
    for array in arrays.values():
        array.flush()
    return passes


def _chunks(first: int, end: int) -> Iterator[NDArray[np.int64]]:
    for start in range(first, end, PREFIX_BATCH):
        yield np.arange(start, min(start + PREFIX_BATCH, end))
