"""Markers: the places of a document that people write which hold a table or a picture.

    <!-- sweeps: study=resnet34_lr table=lists -->
    <!-- /sweeps -->

A marker names `study=NAME` (of the ledger) or `results=FILE.csv` (relative to the folder that holds `reports/`), and
`table=KIND` with the options of the kind (`rows=lr columns=batch_size`) or `figure=KIND`; `footer=false` leaves out
where the numbers come from.
"""

import re
import shlex
from dataclasses import dataclass
from typing import Any

from resnet_tl.errors import ConfigError, DataError
from resnet_tl.option_text import nearest
from sweeps.definition.outputs.registry import FIGURES, TABLES, Spec

OPEN = re.compile(r"^\s*<!--\s*sweeps:\s*(.*?)\s*-->\s*$")
CLOSE = re.compile(r"^\s*<!--\s*/sweeps\s*-->\s*$")
ALIKE = re.compile(r"<!--\s*/?\s*sweeps\b", re.IGNORECASE)
FENCE = re.compile(r"^\s*(`{3,}(?=[^`]*$)|~{3,})")
CODE = re.compile(r"(`+)(?!`).*?(?<!`)\1(?!`)")
OWN_KEYS = ("study", "results", "table", "figure", "footer")


@dataclass(frozen=True, kw_only=True, slots=True)
class Marker:
    """One marked place."""

    first: int
    """Line of the opening marker, from 0."""
    end: int
    """Line of the closing one."""
    study: str | None
    """A name in the ledger; else `results` is given."""
    results: str | None
    """Path of a CSV file."""
    table: Spec | None
    """What stands there; else `figure` is given."""
    figure: Spec | None
    footer: bool


def find(text: str, name: str) -> list[Marker]:
    """The marked places of a document; what stands in fenced code is an example, and none.

    Raises:
        DataError: a marker is broken; every one of the document is named with its line.
    """
    found: list[Marker] = []
    problems: list[str] = []
    opened: tuple[int, str] | None = None
    fence: str | None = None
    for number, line in enumerate(text.split("\n")):
        where = f"{name}, line {number + 1}"
        mark = FENCE.match(line)
        if mark:
            # a fence is closed by one of its own kind and at least its length
            if fence is None:
                fence = mark[1]
            elif mark[1].startswith(fence) and line.strip() == mark[1]:
                fence = None
            continue
        if fence is not None:
            continue
        begin = OPEN.match(line)
        if begin:
            if opened is not None:
                problems.append(f"{where}: a marker must be closed first, but that of line {opened[0] + 1} is open.")
            opened = (number, begin[1])
        elif CLOSE.match(line):
            if opened is None:
                problems.append(f"{where}: `<!-- /sweeps -->` must follow a marker, but none is open.")
                continue
            try:
                found.append(_marker(opened[0], number, opened[1]))
            except ConfigError as error:
                problems += [f"{name}, line {opened[0] + 1}: {problem}" for problem in error.problems]
            opened = None
        elif ALIKE.search(CODE.sub("", line)):
            problems.append(
                f"{where}: a marker must stand alone on its line, as `<!-- sweeps: study=NAME table=KIND -->` or "
                f"`<!-- /sweeps -->`, but got {line.strip()!r}."
            )
    if opened is not None:
        problems.append(f"{name}, line {opened[0] + 1}: the marker must be closed by `<!-- /sweeps -->`, but is not.")
    if problems:
        raise DataError(*problems)
    return found


def _marker(first: int, end: int, text: str) -> Marker:
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ConfigError(f"the marker's options cannot be read: {error}.") from None
    given: dict[str, str] = {}
    problems = []
    keys = (*OWN_KEYS, *(name for model in TABLES.kinds.values() for name in model.model_fields))
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not value:
            problems.append(f"options must have the form key=value, but got {word!r}.")
        elif key not in keys:
            problems.append(f"`{key}` is no option of a marker; {nearest(key, keys)}")
        elif key in given:
            problems.append(f"`{key}` is given twice.")
        else:
            given[key] = value
    if not problems:
        for either in (("study", "results"), ("table", "figure")):
            if sum(key in given for key in either) != 1:
                problems.append(f"a marker must have either `{either[0]}=` or `{either[1]}=`.")
        if given.get("footer", "false") not in ("true", "false"):
            problems.append(f"`footer` must be true or false, but got {given['footer']}.")
    if problems:
        raise ConfigError(*problems)
    options: dict[str, Any] = {key: value for key, value in given.items() if key not in OWN_KEYS}
    if options and "figure" in given:
        raise ConfigError(
            f"`{next(iter(options))}` is an option of tables; a marked picture is the one that `figures=` has drawn."
        )
    return Marker(
        first=first,
        end=end,
        study=given.get("study"),
        results=given.get("results"),
        table=TABLES.spec({given["table"]: options}, "table") if "table" in given else None,
        figure=FIGURES.spec(given["figure"], "figure") if "figure" in given else None,
        footer=given.get("footer") != "false",
    )
