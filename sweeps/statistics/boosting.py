"""SAMME: which training images the next member is to look at, and what a member's word weighs. Pure functions.

Axes: N training images, K classes.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from resnet_tl.metrics import Floats


@dataclass(frozen=True, kw_only=True, slots=True)
class Boosted:
    """What a member is worth on the training images, weighted as it saw them."""

    error: float
    """Weighted share of images that it gets wrong."""
    say: float
    """α, the weight of its word, above 0."""
    weights_N: Floats
    """Of the images, for the next member; their sum is 1."""


def boosted(weights_N: Floats, wrong_N: NDArray[np.bool_], num_classes: int) -> Boosted | None:
    """The next step of SAMME; None where the member is no better than guessing, so that its word has no weight.

    A member that gets every image right would have all the say; its error is taken for that of half an image.

    Args:
        weights_N: of the training images, sum 1.
        wrong_N: which of them the member gets wrong.

    Source: Zhu, Zou, Rosset and Hastie 2009, "Multi-class AdaBoost", algorithm 2.
    """
    error = max(float(weights_N[wrong_N].sum()), 0.5 / len(weights_N))
    if error >= 1 - 1 / num_classes:
        return None
    say = math.log((1 - error) / error) + math.log(num_classes - 1)
    grown_N = weights_N * np.exp(say * wrong_N)
    return Boosted(error=error, say=say, weights_N=grown_N / grown_N.sum())
