"""Random numbers that depend on what they are for, not on how many were drawn before.

Each draw is a pure function of (seed, stream, epoch, sample): evaluating, caching, resuming or using other workers
cannot shift it. The generator is SplitMix64 used as a counter-based hash.

Source: Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators", section 3 (constants included).

Axes: B samples of a batch, W draws a sample.
"""

import hashlib
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Stream = Literal[
    "backbone_init", "head_init", "order", "augment", "dropout", "split", "folds", "sampler", "draw", "generator",
    "synthetic",
]  # fmt: skip

_GAMMA = np.uint64(0x9E3779B97F4A7C15)


def derive(seed: int, stream: Stream, *parts: int) -> int:
    """A 63-bit seed for one purpose, independent of those for others.

    Args:
        seed: the run's seed (or the data's split seed, or the study's).
        parts: what else it belongs to, such as the epoch.
    """
    text = "/".join([str(seed), stream, *map(str, parts)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def uniforms_BW(key: int, samples_B: NDArray[np.int64], width: int) -> NDArray[np.float64]:
    """Uniform numbers in [0, 1), `width` for each sample; the same for a sample whatever the others are.

    Args:
        key: from `derive`.
        samples_B: non-negative numbers of the samples.
        width: W, draws per sample.

    Returns:
        float64 [B, W].
    """
    with np.errstate(over="ignore"):  # arithmetic modulo 2**64 is the point
        counters: NDArray[np.uint64] = samples_B.astype(np.uint64)[:, None] * np.uint64(width)
        counters = np.add(counters, np.arange(width, dtype=np.uint64))
        z: NDArray[np.uint64] = np.uint64(key) + (counters + np.uint64(1)) * _GAMMA
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    draws: NDArray[np.float64] = (z >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return draws


def shuffled(key: int, size: int) -> NDArray[np.int64]:
    """A random order of 0 … size-1."""
    draws = uniforms_BW(key, np.arange(size, dtype=np.int64), 1)[:, 0]
    return np.argsort(draws, kind="stable")
