"""Patients or objects that images belong to, read from the paths of their files.

A path is searched as it stands below its class folder, and with a `/` before it, so that a pattern may say where a name
begins.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from resnet_tl.errors import DataError, shown
from resnet_tl.option_text import in_quotes


@dataclass(frozen=True, kw_only=True, slots=True)
class Groups:
    """The group of each image."""

    names: list[str]
    alone: frozenset[str]
    """Groups of one image each, whose paths name none."""
    alike: tuple[tuple[str, ...], ...]
    """Sets of their paths whose names are equal but for the last part."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupKey:
    """What finds the group in a path."""

    pattern: re.Pattern[str]

    def of(self, path: str) -> str | None:
        """The group that a path names; None where the pattern is not found, empty where it captures nothing."""
        match = self._search(path)
        return None if match is None else match[_taken(match)] or ""

    def names_folder(self, path: str) -> bool:
        """Whether the group's name stands, at least in part, in the first folder of the path."""
        match = self._search(path)
        if match is None or not match[_taken(match)]:
            return False
        start = 1 if match.string != path else 0  # of the path itself
        taken = _taken(match)
        return match.end(taken) > start and match.start(taken) < start + path.find("/")

    def _search(self, path: str) -> re.Match[str] | None:
        return self.pattern.match(path) or self.pattern.search(f"/{path}")


def _taken(match: re.Match[str]) -> int:
    """The first group of a pattern that captured something: in `^(\\d+)_|^(\\w+)-` that of either side."""
    return next((number for number, text in enumerate(match.groups(), start=1) if text), 1)


def group_key(pattern: str) -> GroupKey:
    """Checks the value of `data.group_key`.

    Args:
        pattern: a regular expression; the first of its groups that captures something names the object.

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
        DataError: the pattern is not found in every path, or captures nothing where it is found.
    """
    found = [key.of(path) for path in inner]
    nameless = [path for path, group in zip(paths, found, strict=True) if group == ""]
    if nameless:
        raise DataError(
            f"`data.group_key` {key.pattern.pattern} must capture the name of the object, but in {len(nameless)} of "
            f"{len(paths)} paths it matches and none of its groups in brackets captures anything. Put brackets around "
            f"what names the object in each alternative, and let them hold a character at least.\n{shown(nameless)}"
        )
    without = [path for path, group in zip(paths, found, strict=True) if group is None]
    if len(without) == len(paths):
        raise DataError(
            f"`data.group_key` {key.pattern.pattern} must be found in every path below its class folder, but is in "
            f"none of {len(paths)}.{in_quotes(key.pattern.pattern)}\n{shown(without, most=5)}"
        )
    alike = _alike([(path, below) for path, below, group in zip(paths, inner, found, strict=True) if group is None])
    if without and missing == "refuse":
        raise DataError(
            f"`data.group_key` {key.pattern.pattern} must be found in every path below its class folder, but is "
            f"not in {len(without)} of {len(paths)}. If some of these show the same patient or "
            f"object{_such_as('perhaps', alike)}, widen the expression (`one|other`) until it names them. If none do, "
            "data.group_missing=own makes each of them a group of its own; with it, pictures of one patient may stand "
            f"on both sides of a split.\n{shown(without)}"
        )
    # a path cannot be equal to a part of another that a pattern finds, unless it holds no folder
    names = [f"{path} (alone)" if group is None else group for path, group in zip(paths, found, strict=True)]
    return Groups(names=names, alone=frozenset(f"{path} (alone)" for path in without), alike=alike)


LONG_BEGINNING = 6
"""Characters that names must share to be taken for those of one object; `IMG` and `scan` say nothing."""
MOST_ALIKE = 10
"""Names of one beginning: more are numbered through, whatever they show."""
_BEGINNING = re.compile(r"(.*[^-_. /])[-_. /]+[^-_. /]*|(.*[^\d])\d+[a-z]?")


def _alike(paths: Sequence[tuple[str, str]]) -> tuple[tuple[str, ...], ...]:
    """Sets of paths whose names are equal up to their last part, those of the longest beginnings first.

    Args:
        paths: each below the root, and below its class folder.
    """
    sets: dict[str, list[str]] = {}
    for path, below in paths:
        match = _BEGINNING.fullmatch(below.rpartition(".")[0] or below)
        beginning = "" if match is None else match[1] or match[2]
        if len(beginning) >= LONG_BEGINNING:
            sets.setdefault(beginning, []).append(path)
    several = [beginning for beginning, found in sets.items() if 2 <= len(found) <= MOST_ALIKE]
    return tuple(tuple(sets[beginning]) for beginning in sorted(several, key=lambda name: (-len(name), name)))


def _such_as(word: str, alike: Sequence[Sequence[str]], most: int = 3) -> str:
    """Some of the paths that look as if they belonged together, as the middle of a sentence, behind a word."""
    few = [f"{', '.join(found[:most])}{' …' if len(found) > most else ''}" for found in alike[:most]]
    return f" ({word} {'; or '.join(few)})" if few else ""


def groups_told(groups: Groups, class_names: Sequence[str]) -> list[str]:
    """Sentences about images that belong to no group, and groups that stand in more than one class.

    A group never stands in two splits: they are cut by groups, and stated ones that divide a group are refused.
    """
    said = []
    if groups.alone:
        said.append(
            f"data.group_key is not found in the paths of {len(groups.alone)} of {len(groups.names)} images; "
            "each is a group of its own."
        )
    if groups.alike:
        said.append(
            f"Some of these look as if they showed one object{_such_as('such as', groups.alike)}, and may "
            "stand on both sides of a split: if they do show one, widen data.group_key until it names it."
        )
    classes_of: dict[str, set[str]] = {}
    for group, name in zip(groups.names, class_names, strict=True):
        classes_of.setdefault(group, set()).add(name)
    torn = [f"{group} ({', '.join(sorted(found))})" for group, found in classes_of.items() if len(found) > 1]
    if torn:
        more = f" and {len(torn) - 10} more" if len(torn) > 10 else ""
        said.append(
            f"{len(torn)} of {len(classes_of)} groups have images in two classes or more; each of these groups stands "
            "on one side of the splits all the same. Check that data.group_key names one patient or object in each, "
            f"and that both labels are meant: {', '.join(torn[:10])}{more}."
        )
    return said
