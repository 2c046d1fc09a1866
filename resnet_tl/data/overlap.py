"""Whether two requests read the same images."""

import os
from collections.abc import Iterable
from pathlib import Path

from resnet_tl.config import DataConfig
from resnet_tl.data.prepare import Prepared
from resnet_tl.data.remote import local
from resnet_tl.data.sources import source_of
from resnet_tl.files import sha256_of


def share_images(one: DataConfig, other: DataConfig, cache: Path) -> bool:
    """Whether they have a file in common, or an image that a library brings.

    Args:
        cache: where archives are unpacked.
    """
    with local(one, cache) as (first, _), local(other, cache) as (second, _):
        return bool(_images(first) & _images(second))


def num_scored_images_learnt(learnt: tuple[DataConfig, Prepared], scored: tuple[DataConfig, Prepared]) -> int:
    """Images that one set scores, on val, test or under other conditions, and another one's train learns from.

    Files are the same where path or content is; pictures that were stored anew are not found.

    Args:
        learnt: the request and the images of the set that is learnt from.
        scored: those of the set that is scored.
    """
    (one, first), (other, second) = learnt, scored
    images, others = first.load(), second.load()
    names = [images.names[index] for index in images.splits["train"]]
    asked = [others.names[index] for split in second.scored for index in others.splits[split]]
    asked = [name.split(": ", 1)[-1] if name.split(": ", 1)[0] in second.shifted else name for name in asked]
    if one.root is None and other.root is None:  # a library names its images alike each time
        learnt_names = set(names)
        return sum(name in learnt_names for name in asked) if one.source == other.source else 0
    known, there = _by_size(names), _by_size(asked)
    number = 0
    for size in known.keys() & there.keys():
        paths = set(map(os.path.realpath, known[size]))
        left = [path for path in there[size] if os.path.realpath(path) not in paths]
        # each file is read once at most, and none where all of them are the very same ones
        contents = {sha256_of(path) for path in known[size]} if left else set()
        number += len(there[size]) - len(left) + sum(sha256_of(path) in contents for path in left)
    return number


def _by_size(names: Iterable[str]) -> dict[int, list[Path]]:
    """Those names that are files, by their bytes."""
    found: dict[int, list[Path]] = {}
    for path in filter(Path.is_file, map(Path, names)):
        found.setdefault(path.stat().st_size, []).append(path)
    return found


def _images(config: DataConfig) -> set[str]:
    source = source_of(config)
    files = {os.path.realpath(path) for path in source.files(config) if not path.is_dir()}
    return files or {f"{name} of the library" for name in source.list(config).names}
