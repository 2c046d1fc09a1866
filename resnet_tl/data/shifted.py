"""Labelled images taken under other conditions, which the networks of a study are scored on beside `test`.

Each set is laid out as the data itself. Nothing of it steers, and it decides nothing of the other splits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resnet_tl.config import DataConfig
from resnet_tl.data.clusters import clusters_of, near_sets, without_crowds
from resnet_tl.data.decoding import Found
from resnet_tl.data.near_copies import near_copies
from resnet_tl.data.notes import of_absent
from resnet_tl.data.source import Listing, root_of
from resnet_tl.data.sources import source_of
from resnet_tl.data.splits import joined
from resnet_tl.errors import DataError, shown
from resnet_tl.option_text import expand, nearest

Thumbnail = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, slots=True)
class Shifted:
    """One set, listed."""

    name: str
    source: Listing
    labels: Sequence[int]
    """Of the data's own classes, found by name; -1 for images that cannot be used."""
    said: tuple[str, ...]

    def notes(self, labels: Sequence[int], classes: Sequence[str], num_copies: int) -> list[str]:
        """What a reader of its scores must know.

        Args:
            labels: of the images that can be used.
            num_copies: images that are copies, exact or near, of images of train or val.
        """
        lacking = sorted(set(range(len(classes))) - set(labels))
        said = [of_absent(self.name, [classes[label] for label in lacking], classes)] if lacking else []
        if num_copies:
            said.append(
                f"{num_copies} images of {self.name} are copies of images of train or val, so that its scores may be "
                "better than those under other conditions are."
            )
        return said


def configs(config: DataConfig) -> dict[str, DataConfig]:
    """The request of each set by its name: that of the data, but for the place of the images."""
    alone = {"url": None, "sha256": None, "shifted": None, "group_missing": "own" if config.group_key else "refuse"}
    return {name: config.model_copy(update=alone | {"root": root}) for name, root in (config.shifted or {}).items()}


def list_shifted(config: DataConfig, data: Listing, bits: int | None) -> list[Shifted]:
    """Lists every set, in the order that the request names them.

    Args:
        data: the images that networks learn from.
        bits: that their grey values use; None where none stores more than 8.

    Raises:
        DataError: a class is unknown, or a set is not laid out as the data is; names the set.
    """
    found = []
    for name, own in configs(config).items():
        if config.labels is not None and _table(config) == _table(own):
            raise DataError(
                f"`data.labels` must be a path below `data.root` where there is `data.shifted`, so that {name} has a "
                f"table of its own, but {config.labels} is one file for both."
            )
        try:
            found.append(_listed(name, own.model_copy(update={"bits": bits} if bits else {}), data))
        except DataError as error:
            raise DataError(*(f"`data.shifted`, {name}: {problem}" for problem in error.problems)) from None
    return found


def _table(config: DataConfig) -> Path:
    assert config.labels is not None
    return (root_of(config) / expand(config.labels, "data.labels")).resolve()


def _listed(name: str, config: DataConfig, data: Listing) -> Shifted:
    source = source_of(config).list(config)
    if source.problems:
        raise DataError(*source.problems)
    if (source.channels, source.dtype) != (data.channels, data.dtype):
        raise DataError(
            f"Its images must be of the kind that is learnt from, {data.channels} channels of {data.dtype}, but are "
            f"{source.channels} of {source.dtype}."
        )
    number = {known: label for label, known in enumerate(data.classes)}
    unknown = [known for known in source.classes if known not in number]
    if unknown:
        lines = [f"{known}; {nearest(known, data.classes)}" for known in unknown]
        raise DataError(f"Every class must be one that is learnt, but these are not:\n{shown(lines)}")
    labels = [number[source.classes[label]] if label >= 0 else -1 for label in source.labels]
    said = [f"{name}: {sentence}" for sentence in source.said]
    stated = sorted({split for split in source.given if split})
    if stated:
        said.append(f"{name}: all of its images are scored, those that it calls {', '.join(stated)} alike.")
    return Shifted(name=name, source=source, labels=labels, said=tuple(said))


def names_beside(sets: Sequence[Shifted], decoded: Sequence[Found]) -> list[str]:
    """Names of the usable images of all sets."""
    pairs = zip(sets, decoded, strict=True)
    return [f"{each.name}: {each.source.names[index]}" for each, found in pairs for index in found.kept]


@dataclass(frozen=True, kw_only=True, slots=True)
class Learnt:
    """The images of the data itself, all splits of them."""

    hashes: Sequence[str]
    labels: Sequence[int]
    thumbnails: Sequence[Thumbnail | None]
    splits: Sequence[str]


def clusters_beside(one: Shifted, found: Found, data: Learnt) -> tuple[list[int], int]:
    """Which images of a set depend on each other, numbered from 0; and how many are copies of images that something
    is learnt from or chosen by."""
    labels = [one.labels[index] for index in found.kept]
    together = _copies([*data.hashes, *found.hashes], [*data.labels, *labels], [*data.thumbnails, *found.thumbnails])
    learnt = {cluster for cluster, split in zip(together, data.splits, strict=False) if split in ("train", "val")}
    num_copies = sum(cluster in learnt for cluster in together[len(data.hashes) :])
    alone = _copies(found.hashes, labels, found.thumbnails)
    named: Sequence[object] = alone
    if one.source.groups is not None:
        named = joined([one.source.groups[index] for index in found.kept], alone)
    number = {name: place for place, name in enumerate(dict.fromkeys(named))}
    return [number[name] for name in named], num_copies


def _copies(hashes: Sequence[str], labels: Sequence[int], thumbnails: Sequence[Thumbnail | None]) -> list[int]:
    near, _ = without_crowds(near_sets(hashes, near_copies(thumbnails)), hashes, labels)
    return clusters_of(hashes, near)
