"""Tables inside documents that people write: marked places of markdown files are filled, all else is left alone.

    <!-- sweeps: study=resnet34_lr table=lists -->
    <!-- /sweeps -->

A marker names `study=NAME` (of the ledger) or `results=FILE.csv` (relative to the folder that holds `reports/`), and
`table=KIND` with its options (`rows=lr columns=batch_size by=head group=backbone`) or `figure=KIND`; `footer=false`
leaves out where the numbers come from.
"""

import difflib
import os
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from resnet_tl.errors import ConfigError, DataError
from resnet_tl.options import nearest
from sweeps.definition.tables import FIGURES, OPTIONS, TableSpec, parse_table
from sweeps.reporting import documents, markdown
from sweeps.reporting.results import Results

OPEN = re.compile(r"^\s*<!--\s*sweeps:\s*(.*?)\s*-->\s*$")
CLOSE = re.compile(r"^\s*<!--\s*/sweeps\s*-->\s*$")
ALIKE = re.compile(r"<!--\s*/?\s*sweeps\b", re.IGNORECASE)
FENCE = re.compile(r"^\s*(`{3,}(?=[^`]*$)|~{3,})")
CODE = re.compile(r"(`+)(?!`).*?(?<!`)\1(?!`)")
KEYS = ("study", "results", "table", "figure", "footer", "by", "rows", "columns", "group")

Source = Callable[[Mapping[str, str]], Results]
"""Finds the results that a marker names, by its `study` or `results`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Marker:
    """One marked place."""

    first: int
    """Line of the opening marker, from 0."""
    end: int
    """Line of the closing one."""
    options: Mapping[str, str]


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
                found.append(Marker(first=opened[0], end=number, options=_options(opened[1])))
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


def _options(text: str) -> dict[str, str]:
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ConfigError(f"the marker's options cannot be read: {error}.") from None
    options: dict[str, str] = {}
    problems = []
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not value:
            problems.append(f"options must have the form key=value, but got {word!r}.")
        elif key not in KEYS:
            problems.append(f"`{key}` is no option of a marker; {nearest(key, KEYS)}")
        elif key in options:
            problems.append(f"`{key}` is given twice.")
        else:
            options[key] = value
    if not problems:
        for either in (("study", "results"), ("table", "figure")):
            if sum(key in options for key in either) != 1:
                problems.append(f"a marker must have either `{either[0]}=` or `{either[1]}=`.")
        if options.get("footer", "false") not in ("true", "false"):
            problems.append(f"`footer` must be true or false, but got {options['footer']}.")
        if options.get("figure", FIGURES[0]) not in FIGURES:
            problems.append(f"`figure` must be a kind of picture; {nearest(options['figure'], FIGURES)}")
        if "table" in options and not problems:
            _spec(options)
    if problems:
        raise ConfigError(*problems)
    return options


def _spec(options: Mapping[str, str]) -> TableSpec:
    given = {key: options[key] for key in ("by", "rows", "columns", "group") if key in options}
    kind = options["table"]
    if kind not in OPTIONS:
        raise ConfigError(f"`table` must be a kind of table, but got {kind!r}; {nearest(kind, OPTIONS)}")
    return parse_table({kind: given} if given else kind)


def fill(text: str, path: Path, source: Source, pictures: Path) -> str:
    """A document with its marked places filled.

    Args:
        path: of the document, from which addresses of pictures are relative.
        pictures: folder `reports/` with the pictures that have been drawn.

    Raises:
        DataError: a broken marker, or one that cannot be filled; named by its line.
    """
    lines = text.split("\n")
    problems = []
    for marker in reversed(find(text, str(path))):
        try:
            content = _content(marker.options, path, source, pictures)
        except (ConfigError, DataError) as error:
            problems += [f"{path}, line {marker.first + 1}: {problem}" for problem in error.problems]
            continue
        end = "\r" if lines[marker.first].endswith("\r") else ""
        lines[marker.first + 1 : marker.end] = [line + end for line in ("", *content.split("\n"), "")]
    if problems:
        raise DataError(*reversed(problems))
    return "\n".join(lines)


def _content(options: Mapping[str, str], path: Path, source: Source, pictures: Path) -> str:
    results = source(options)
    if "figure" in options:
        drawn = pictures / f"{results.study}.{options['figure']}.svg"
        if not drawn.exists():
            raise ConfigError(
                f"the picture {drawn} is not there; `python -m sweeps.report study={results.study} "
                f"figures=[{options['figure']}]` draws it."
            )
        parts = [markdown.picture(options["figure"], Path(os.path.relpath(drawn, path.parent)).as_posix())]
    else:
        parts = [markdown.table(table) for table in documents.tables_of(results, [_spec(options)])]
    if options.get("footer") != "false":
        parts.append(markdown.broken([f"<sub>{line}</sub>" for line in documents.footer(results)]))
    return "\n\n".join(parts)


def markdown_files(places: Sequence[Path]) -> list[Path]:
    """The documents among files and folders, folders searched through.

    Raises:
        ConfigError: a place that is not there, or holds no document.
    """
    found: list[Path] = []
    problems = []
    for place in places:
        if place.is_dir():
            inside = sorted(path for path in place.rglob("*.md") if not any(p.startswith(".") for p in path.parts[1:]))
            if not inside:
                problems.append(f"`docs` must name markdown files, but the folder {place} holds none.")
            found += inside
        elif place.is_file():
            found.append(place)
        else:
            problems.append(f"`docs` must name files or folders that exist, but got {place}.")
    if problems:
        raise ConfigError(*problems)
    return list(dict.fromkeys(found))


def difference(before: str, after: str, path: Path) -> str:
    """What filling would change, as a diff."""
    lines = difflib.unified_diff(
        before.splitlines(), after.splitlines(), f"{path} as it is", f"{path} as its source says", lineterm="", n=1
    )
    return "\n".join(lines)
