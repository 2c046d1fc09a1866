"""Convolutions whose outputs are only a few pixels wide, as matrix products on a CPU.

The library's kernels are made for large maps. On 2 × 2 maps the gradient of a 3 × 3 kernel's weights runs at a third
of the speed of its forward pass, and on 1 × 1 maps eight of its nine taps meet padding alone. There the windows laid
out as rows, times the weights, do the same work in 1.5 to 13 times less time (forward and backward; AVX-512, oneDNN).

Axes: B images, C channels of the input, H W pixels, K channels of the output, P pixels of the output, T taps that
meet the image.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, pad

from resnet_tl.architecture import MAX_PRODUCT_PX
from resnet_tl.device import is_gpu

_PRECISIONS = {torch.bfloat16: "bf16", torch.float32: "fp32"}


class Convolution(nn.Conv2d):
    """A convolution without bias or dilation; a matrix product where that is quicker, which none with groups is.

    Both give the same numbers but for rounding. Which one runs depends on the device, the precision and the size of
    the maps alone, all of which are in a run's fingerprint.
    """

    as_product = False
    """Whether it may run as a product; quick only with weights laid out channels last."""

    @classmethod
    def like(cls, other: nn.Conv2d) -> "Convolution":
        """The same convolution, with the very weights."""
        assert (other.bias, other.dilation, other.padding_mode) == (None, (1, 1), "zeros")
        with torch.device("meta"):
            made = cls(
                other.in_channels,
                other.out_channels,
                other.kernel_size,  # type: ignore[arg-type]
                other.stride,  # type: ignore[arg-type]
                other.padding,  # type: ignore[arg-type]
                groups=other.groups,
                bias=False,
            )
        made.weight = other.weight
        return made

    def forward(self, input: Tensor) -> Tensor:
        """Feature maps [B, K, H, W] from [B, C, H, W]."""
        if self.as_product and self.groups == 1 and not is_gpu(input.device):
            autocast = torch.is_autocast_enabled("cpu")
            precision = _PRECISIONS.get(torch.get_autocast_dtype("cpu") if autocast else input.dtype)
            sizes, padding = input.shape[2:], self.padding
            rows, columns = (
                _axis(size, self.kernel_size[n], self.stride[n], int(padding[n])) for n, size in enumerate(sizes)
            )
            if precision is not None and max(rows.outputs, columns.outputs) <= MAX_PRODUCT_PX[precision]:
                return self._product(input, rows, columns)
        return super().forward(input)

    def _product(self, input_BCHW: Tensor, rows: "_Axis", columns: "_Axis") -> Tensor:
        windows_PX: Tensor = _Windows.apply(input_BCHW.permute(0, 2, 3, 1), rows, columns)
        weight_KHWC = self.weight.permute(0, 2, 3, 1)[:, rows.taps, columns.taps]
        outputs_PK = linear(windows_PX, weight_KHWC.reshape(self.out_channels, -1))
        return outputs_PK.view(len(input_BCHW), rows.outputs, columns.outputs, -1).permute(0, 3, 1, 2)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Axis:
    """Where the windows of a convolution lie along the height or the width of a map."""

    outputs: int
    stride: int
    taps: slice
    """Those of the kernel that meet the image at least once; the others only ever see padding."""
    before: int
    """Pixels of padding that the first window needs; negative where it leaves pixels out."""
    after: int
    """Likewise for the last window."""

    @property
    def num_taps(self) -> int:
        return int(self.taps.stop - self.taps.start)

    def seen_by(self, tap: int) -> slice:
        """Padded pixels that one of the `taps` meets, output by output."""
        return slice(tap, tap + self.stride * (self.outputs - 1) + 1, self.stride)


@lru_cache
def _axis(size: int, kernel: int, stride: int, padding: int) -> _Axis:
    outputs = (size + 2 * padding - kernel) // stride + 1
    met = [tap for tap in range(kernel) if any(0 <= o * stride + tap - padding < size for o in range(outputs))]
    before = padding - met[0]
    length = (outputs - 1) * stride + len(met)
    return _Axis(
        outputs=outputs,
        stride=stride,
        taps=slice(met[0], met[-1] + 1),
        before=before,
        after=length - before - size,
    )


class _Windows(torch.autograd.Function):
    """The pixels under each position of a kernel, as one row: [B x P, T x C] from [B, H, W, C]."""

    @staticmethod
    def forward(ctx: Any, maps_BHWC: Tensor, rows: _Axis, columns: _Axis) -> Tensor:
        ctx.axes = rows, columns
        padded = pad(maps_BHWC, (0, 0, columns.before, columns.after, rows.before, rows.after))
        windows = padded.unfold(1, rows.num_taps, rows.stride).unfold(2, columns.num_taps, columns.stride)
        ctx.padded = padded.shape
        return windows.permute(0, 1, 2, 4, 5, 3).reshape(windows.shape[:3].numel(), -1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        rows, columns = ctx.axes
        padded = gradients[0].new_zeros(ctx.padded, dtype=torch.float32)  # one rounding to bf16, not one for each tap
        windows = gradients[0].view(
            len(padded), rows.outputs, columns.outputs, rows.num_taps, columns.num_taps, padded.shape[-1]
        )
        for row in range(rows.num_taps):
            for column in range(columns.num_taps):
                padded[:, rows.seen_by(row), columns.seen_by(column)] += windows[:, :, :, row, column]
        maps = pad(padded, (0, 0, -columns.before, -columns.after, -rows.before, -rows.after))
        return maps.to(gradients[0].dtype), None, None
