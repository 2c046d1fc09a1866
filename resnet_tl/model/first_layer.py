"""Weights of three channels on images of one, and other changes of channels: the kernel and its normalisation.

Axes: C channels; kernels are [64, C, 7, 7].
"""

from typing import TYPE_CHECKING

from resnet_tl.config import FirstLayer

if TYPE_CHECKING:
    from torch import Tensor

LUMA = (0.299, 0.587, 0.114)
"""Source: ITU-R BT.601, section 2.5.1."""

Channels = tuple[float, ...]
"""One number for each channel."""


def fit_first_layer(weight: "Tensor", channels: int, *, std: Channels, rule: FirstLayer) -> "Tensor":
    """Fits the first convolution's kernel to another number of channels, keeping what it learnt.

    RGB to grey, `sum`: with pixels (x - m_c) / s_c the three kernels W_c see a grey image as the sum of
    W_c (x - m_c) / s_c. So they are added, each times S / s_c, S being the mean of s_c and M that of m_c, and the image
    is fed as (x - M) / S. What is left is a constant for each kernel, the sum of W_c (M - m_c) / s_c over its taps, and
    a part of it at the border, where padding is zero in either normalisation. Measured on the kernels of a ResNet-18
    trained on scikit-learn's digits as RGB of 32 pixels, with the normalisation of ImageNet: the rest is 4.0% of the
    responses to R = G = B; without its constants 1.6%, all at the border (1e-6 elsewhere). Under `luma` it is 66%.

    RGB to grey, `luma`: 0.299 R + 0.587 G + 0.114 B, under which responses shrink to about a third.

    Any other change: the mean over the old channels in each new one, times old/new, so that equal channels get the old
    response.

    Args:
        std: of the pixels that the weights were trained on, one for each of their channels.
    """
    import torch

    old = weight.shape[1]
    if old == channels:
        return weight
    if (old, channels) != (3, 1):
        return weight.mean(1, keepdim=True).repeat(1, channels, 1, 1) * (old / channels)
    shares = LUMA if rule == "luma" else tuple(sum(std) / len(std) / s for s in std)
    return (weight * torch.tensor(shares).view(1, 3, 1, 1)).sum(1, keepdim=True)


def fit_normalisation(channels: int, mean: Channels, std: Channels, *, rule: FirstLayer) -> tuple[Channels, Channels]:
    """The normalisation that goes with `fit_first_layer`: averages over the old channels, weighted under `luma`."""
    if len(mean) == channels:
        return mean, std
    shares = LUMA if (len(mean), channels, rule) == (3, 1, "luma") else (1 / len(mean),) * len(mean)
    return tuple((sum(w * v for w, v in zip(shares, values, strict=True)),) * channels for values in (mean, std))  # type: ignore[return-value]
