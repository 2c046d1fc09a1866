"""Looks at a folder of images before anything is decided: classes, splits, sizes, channels, patients, copies.

Axes: C channels, H W pixels.
"""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from resnet_tl.config import DataConfig
from resnet_tl.data.decode import BadImage, size_of
from resnet_tl.data.prepare import Prepared
from resnet_tl.data.source import Listing
from resnet_tl.data.sources import source_of
from resnet_tl.data.splits import SPLITS
from resnet_tl.errors import DataError
from resnet_tl.option_text import validate
from sweeps.proposal.patients import Patients, guess

SAMPLED = 64
"""Images that are decoded to see whether all are grey, and how long decoding takes."""
_SAMPLE_SIZE = 64
GREY = 2
"""Of 255, by which the colours of a grey picture may differ after JPEG."""
UNEQUAL = 3
"""How many times the images of the rarest class the commonest has, from which on accuracy is no good metric."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Survey:
    """What is there."""

    config: DataConfig
    """The source, the folder, and what the user said of them; no size yet."""
    classes: tuple[str, ...]
    counts: Mapping[str, Mapping[str, int]]
    """Images of each class, by split; under `all` where the data states none."""
    short_sides: tuple[int, ...]
    """Of the images whose size is known, ascending."""
    is_grey: bool
    """Whether no sampled image has a colour."""
    num_sampled: int
    decode_s: float
    """Seconds to decode one image on one core."""
    patients: Patients | None
    said: tuple[str, ...]
    """What was decided about the layout, one sentence each."""

    @property
    def num_images(self) -> int:
        """Of all splits."""
        return sum(sum(own.values()) for own in self.counts.values())

    @property
    def stated(self) -> tuple[str, ...]:
        """Splits that the data brings, in their order."""
        return tuple(split for split in SPLITS if split in self.counts)

    def num_in(self, split: str) -> int:
        """Images of a split, about as many where it is to be cut."""
        own = {name: sum(counts.values()) for name, counts in self.counts.items()}
        pool = own.get("train", own.get("all", 0))
        shares = {"val": self.config.val_fraction, "test": self.config.test_fraction}
        lacking = {name: share for name, share in shares.items() if name not in own}
        if split in own and split != "train":
            return own[split]
        return round(pool * (lacking[split] if split in lacking else 1 - sum(lacking.values())))

    @property
    def learnt(self) -> Mapping[str, int]:
        """Images of each class that train is made of."""
        return self.counts.get("train") or self.counts["all"]

    @property
    def imbalance(self) -> float:
        """How many times the images of the rarest class the commonest has."""
        return max(self.learnt.values()) / max(1, min(self.learnt.values()))

    @property
    def median_side(self) -> int:
        """Pixels of the short side of the middle image."""
        return self.short_sides[len(self.short_sides) // 2]


def look(root: str, options: Mapping[str, Any]) -> Survey:
    """Lists the images and opens them, without decoding more than a sample.

    Args:
        root: the folder.
        options: of `data.*` that the user gave.

    Raises:
        ConfigError: such an option is wrong.
        DataError: the folder holds nothing that can be learnt from; all problems at once.
    """
    config = validate(DataConfig, {"source": _source(Path(root).expanduser())} | dict(options) | {"root": root}, "data")
    listing = source_of(config).list(config)
    problems = [*listing.problems, *listing.unlearnable]
    if problems:
        raise DataError(*problems)
    usable = [index for index, name in enumerate(listing.names) if name not in listing.bad]
    if not usable:
        raise DataError(f"{root} holds no usable image.")
    counts: dict[str, Counter[str]] = {}
    for index in usable:
        own = counts.setdefault(listing.given[index] or "all", Counter())
        own[listing.classes[listing.labels[index]]] += 1
    if "all" in counts and len(counts) > 1:  # `train` under another name: the source cuts what has no split
        counts["train"] = counts.pop("all")
    sample = [usable[place] for place in np.unique(np.linspace(0, len(usable) - 1, SAMPLED).astype(int))]
    is_grey, num_sampled, decode_s, sides = _sampled(config, sample)
    if config.source == "image_folder":
        sides = _short_sides([listing.names[index] for index in usable]) or sides
    return Survey(
        config=config,
        classes=listing.classes,
        counts={split: {name: own[name] for name in listing.classes} for split, own in counts.items()},
        short_sides=tuple(sorted(sides)),
        is_grey=is_grey,
        num_sampled=num_sampled,
        decode_s=decode_s,
        patients=_patients(config, listing, usable),
        said=tuple(listing.said),
    )


def _source(root: Path) -> str:
    return "arrays" if root.is_dir() and any(root.glob("x_*.npy")) else "image_folder"


def _patients(config: DataConfig, listing: Listing, usable: Sequence[int]) -> Patients | None:
    if config.source != "image_folder" or config.group_key is not None:
        return None
    root = Path(str(config.root)).expanduser()
    names = []
    for index in usable:
        parts = Path(listing.names[index]).relative_to(root).parts
        inner = 0 if config.labels is not None else 1 if listing.given[index] is None else 2
        names.append("/".join(parts[inner:]))
    return guess(names, [listing.labels[index] for index in usable])


def _sampled(config: DataConfig, sample: Sequence[int]) -> tuple[bool, int, float, list[int]]:
    """Whether some images are grey, how many could be decoded, seconds for each, and their short sides."""
    is_array = config.source == "arrays"
    update = {} if is_array else {"size": _SAMPLE_SIZE, "channels": 3, "bits": None}
    listing = source_of(config).list(config.model_copy(update=update))
    grey, sides, began = [], [], time.perf_counter()
    for index in sample:
        try:
            pixels_CHW = listing.load(index).pixels
        except BadImage:  # which the study's own reading refuses, by name
            continue
        scale = 255 if pixels_CHW.dtype == np.float32 else 1
        grey.append(bool(np.ptp(pixels_CHW.astype(np.float32), axis=0).max() * scale <= GREY))
        if is_array:
            sides.append(min(pixels_CHW.shape[1:]))
    each = (time.perf_counter() - began) / max(1, len(sample))
    return bool(grey) and all(grey), len(grey), each, sides or [_SAMPLE_SIZE]


def _short_sides(paths: Sequence[str]) -> list[int]:
    """From the heads of files alone; files that are none are left to the study's own reading, which names them."""

    with ThreadPoolExecutor() as pool:
        return [min(size) for size in pool.map(size_of, map(Path, paths)) if size is not None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Copies:
    """Sets of images that are copies of each other, exact or near."""

    sets: tuple[tuple[int, ...], ...]
    """Numbers of the images in the prepared data, those in several classes first, then those in several splits."""
    num_exact: int
    """Images whose very pixels stand there before."""
    num_across_classes: int
    """Sets with images in several classes."""
    num_across_splits: int
    """Sets with images in several splits."""


def copies_in(data: Prepared) -> Copies:
    """Tells which images are copies, and where that matters."""
    images = data.load()
    split_of = {index: name for name in SPLITS for index in images.splits[name].tolist()}
    sets = images.copies
    in_classes = {found: len(set(images.labels_N[list(found)].tolist())) > 1 for found in sets}
    in_splits = {found: len({split_of[index] for index in found}) > 1 for found in sets}
    exact = sum(len(found) - len({images.pixels_NCHW[index].tobytes() for index in found}) for found in sets)
    return Copies(
        sets=tuple(sorted(sets, key=lambda found: (not in_classes[found], not in_splits[found], found))),
        num_exact=exact,
        num_across_classes=sum(in_classes.values()),
        num_across_splits=sum(in_splits.values()),
    )
