"""Patients or objects that images belong to, read from the paths of their files."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from resnet_tl.errors import DataError, shown


@dataclass(frozen=True, kw_only=True, slots=True)
class Groups:
    """The group of each image."""

    names: list[str]
    alone: frozenset[str]
    """Groups of one image each, whose paths name none."""


def groups_of(paths: Sequence[str], pattern: str, *, missing: Literal["refuse", "own"]) -> Groups:
    """Finds the group of each image.

    Args:
        paths: below the root of the data, with `/`.
        pattern: a regular expression whose first group names the object.
        missing: what becomes of images in whose path it is not found: an error, or a group of their own.

    Raises:
        DataError: the pattern is none, has no group, or is not found in every path.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise DataError(f"`data.group_key` must be a regular expression, but {pattern!r} is not: {error}.") from None
    if compiled.groups < 1:
        raise DataError(f"`data.group_key` must have a group in brackets that names the object, but got {pattern!r}.")
    matches = [compiled.search(path) for path in paths]
    found = [match.group(1) if match is not None else None for match in matches]
    without = [path for path, group in zip(paths, found, strict=True) if group is None]
    if without and (missing == "refuse" or len(without) == len(paths)):
        way_out = (
            " Give data.group_missing=own to make each of them a group of its own." if len(without) < len(paths) else ""
        )
        raise DataError(
            f"`data.group_key` {pattern!r} must be found in every path, but is not in {len(without)} of "
            f"{len(paths)}.{way_out}\n{shown(without)}"
        )
    # a path cannot be equal to a part of another that a pattern finds, unless it holds no folder
    names = [f"{path} (alone)" if group is None else group for path, group in zip(paths, found, strict=True)]
    return Groups(names=names, alone=frozenset(f"{path} (alone)" for path in without))


def groups_told(groups: Groups, class_names: Sequence[str]) -> list[str]:
    """Sentences about images that belong to no group, and groups that stand in more than one class."""
    said = []
    if groups.alone:
        said.append(
            f"`data.group_key` is not found in the paths of {len(groups.alone)} of {len(groups.names)} images; "
            "each is a group of its own."
        )
    classes_of: dict[str, set[str]] = {}
    for group, name in zip(groups.names, class_names, strict=True):
        classes_of.setdefault(group, set()).add(name)
    torn = [f"{group} ({', '.join(sorted(found))})" for group, found in classes_of.items() if len(found) > 1]
    if torn:
        more = f" and {len(torn) - 10} more" if len(torn) > 10 else ""
        said.append(
            f"{len(torn)} of {len(classes_of)} groups stand in two classes or more: {', '.join(torn[:10])}{more}."
        )
    return said
