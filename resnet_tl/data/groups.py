"""Patients or objects that images belong to, read from the paths of their files.

A path is searched as it stands below its class folder, and with a `/` before it, so that a pattern may say where a name
begins.
"""

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


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupKey:
    """What finds the group in a path."""

    pattern: re.Pattern[str]

    def of(self, path: str) -> str | None:
        """The group that a path names, or None."""
        match = self._search(path)
        return None if match is None else match[1]

    def names_folder(self, path: str) -> bool:
        """Whether the group's name stands, at least in part, in the first folder of the path."""
        match = self._search(path)
        if match is None or match[1] is None:
            return False
        start = 1 if match.string != path else 0  # of the path itself
        return match.end(1) > start and match.start(1) < start + path.find("/")

    def _search(self, path: str) -> re.Match[str] | None:
        return self.pattern.match(path) or self.pattern.search(f"/{path}")


def group_key(pattern: str) -> GroupKey:
    """Checks the value of `data.group_key`.

    Args:
        pattern: a regular expression whose first group names the object.

    Raises:
        DataError: the pattern is none, or has no group.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise DataError(f"`data.group_key` must be a regular expression, but {pattern!r} is not: {error}.") from None
    if compiled.groups < 1:
        raise DataError(f"`data.group_key` must have a group in brackets that names the object, but got {pattern!r}.")
    return GroupKey(pattern=compiled)


def groups_of(
    paths: Sequence[str], inner: Sequence[str], key: GroupKey, *, missing: Literal["refuse", "own"]
) -> Groups:
    """Finds the group of each image.

    Args:
        paths: below the root of the data, with `/`; they name images that have no group.
        inner: those that are searched: below their class folders, or below the root where there are none.
        missing: what becomes of images in whose path it is not found: an error, or a group of their own.

    Raises:
        DataError: the pattern is not found in every path.
    """
    found = [key.of(path) for path in inner]
    without = [path for path, group in zip(paths, found, strict=True) if group is None]
    if without and (missing == "refuse" or len(without) == len(paths)):
        way_out = (
            " Give data.group_missing=own to make each of them a group of its own." if len(without) < len(paths) else ""
        )
        raise DataError(
            f"`data.group_key` {key.pattern.pattern} must be found in every path below its class folder, but is "
            f"not in {len(without)} of {len(paths)}.{way_out}\n{shown(without)}"
        )
    # a path cannot be equal to a part of another that a pattern finds, unless it holds no folder
    names = [f"{path} (alone)" if group is None else group for path, group in zip(paths, found, strict=True)]
    return Groups(names=names, alone=frozenset(f"{path} (alone)" for path in without))


def groups_told(groups: Groups, class_names: Sequence[str]) -> list[str]:
    """Sentences about images that belong to no group, and groups that stand in more than one class."""
    said = []
    if groups.alone:
        said.append(
            f"data.group_key is not found in the paths of {len(groups.alone)} of {len(groups.names)} images; "
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
