"""All images of a source decoded, one after another, and stored as one array."""

import hashlib
import os
import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resnet_tl.data.decode import BadImage, Decoded
from resnet_tl.data.source import Listing
from resnet_tl.files import sha256_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What decoding a whole set has found."""

    kept: list[int]
    """Numbers of the usable images."""
    hashes: list[str]
    """Of their pixels."""
    contents: list[str]
    """Of the images as they came."""
    sizes: Counter[tuple[int, ...]]
    """How often each shape occurs."""
    bad: dict[str, str]
    """The unusable ones, with the reason."""
    largest: int | None
    """The largest value among those that store more than 8 bits."""
    thumbnails: list[NDArray[np.uint8] | None]
    """Of the usable images."""
    num_filled: int
    """Files that ended too early, and are used as far as they go."""


def decode_all(source: Listing, raw: Path, *, append: bool = False) -> Found:
    """Writes the pixels of all usable images one after another, perhaps behind those of others."""
    bad = dict(source.bad)
    candidates = [index for index, name in enumerate(source.names) if name not in bad]

    def load(index: int) -> Decoded | str:
        try:
            return source.load(index)
        except BadImage as error:
            return str(error)

    kept: list[int] = []
    hashes: list[str] = []
    contents: list[str] = []
    thumbnails: list[NDArray[np.uint8] | None] = []
    sizes: Counter[tuple[int, ...]] = Counter()
    largest = []
    num_filled = 0
    with (
        ThreadPoolExecutor(os.cpu_count() if source.parallel else 1) as pool,
        raw.open("ab" if append else "wb") as stream,
    ):
        chunk = 256  # decoded images held at once
        for start in range(0, len(candidates), chunk):
            part = candidates[start : start + chunk]
            for index, decoded in zip(part, pool.map(load, part), strict=True):
                if isinstance(decoded, str):
                    bad[source.names[index]] = decoded
                    continue
                kept.append(index)
                sizes[decoded.pixels.shape] += 1
                content = np.ascontiguousarray(decoded.pixels, dtype=source.dtype).tobytes()
                hashes.append(hashlib.sha256(content).hexdigest())
                contents.append(decoded.content)
                thumbnails.append(decoded.thumbnail)
                stream.write(content)
                num_filled += decoded.filled
                if decoded.largest is not None:
                    largest.append(decoded.largest)
    most = max(largest, default=None)
    return Found(
        kept=kept,
        hashes=hashes,
        contents=contents,
        sizes=sizes,
        bad=bad,
        largest=most,
        thumbnails=thumbnails,
        num_filled=num_filled,
    )


def store(raw: Path, path: Path, shape: tuple[int, ...], dtype: str) -> str:
    """Puts an array header before the raw pixels; returns the sha256 of the whole file."""
    with path.open("wb") as stream:
        header = {
            "descr": np.lib.format.dtype_to_descr(np.dtype(dtype)),
            "fortran_order": False,
            "shape": shape,
        }
        np.lib.format.write_array_header_1_0(stream, header)
        with raw.open("rb") as source:
            shutil.copyfileobj(source, stream)
        stream.flush()
        os.fsync(stream.fileno())
    raw.unlink()
    return sha256_of(path)
