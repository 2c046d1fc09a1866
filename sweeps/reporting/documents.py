"""Documents that people write: their marked places are filled, all else is left alone."""

import difflib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from resnet_tl.errors import ConfigError, DataError, UserError
from sweeps.records import folder_of_study
from sweeps.reporting import markdown
from sweeps.reporting.figures import caption
from sweeps.reporting.markers import Marker, find
from sweeps.reporting.report import footer
from sweeps.reporting.results import Results
from sweeps.reporting.tables import make

Source = Callable[[Marker], Results]
"""Finds the results that a marker names."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """A document as it is, and as its sources say."""

    path: Path
    before: str
    after: str


def fill_all(places: Sequence[Path], source: Source, pictures: Path) -> list[Document]:
    """Fills the documents among files and folders; writes none of them.

    Raises:
        ConfigError: with what is wrong in any of them.
    """
    found: list[Document] = []
    problems: list[str] = []
    for path in markdown_files(places):
        try:
            before = path.read_bytes().decode()  # line ends stay what they are
            found.append(Document(path=path, before=before, after=fill(before, path, source, pictures)))
        except UnicodeDecodeError as error:
            problems.append(f"{path} must be text in UTF-8, but is not: {error}.")
        except UserError as error:
            problems += error.problems
    if problems:
        raise ConfigError(*problems)
    return found


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
            content = _content(marker, path, source, pictures)
        except (ConfigError, DataError) as error:
            problems += [f"{path}, line {marker.first + 1}: {problem}" for problem in error.problems]
            continue
        end = "\r" if lines[marker.first].endswith("\r") else ""
        lines[marker.first + 1 : marker.end] = [line + end for line in ("", *content.split("\n"), "")]
    if problems:
        raise DataError(*reversed(problems))
    return "\n".join(lines)


def _content(marker: Marker, path: Path, source: Source, pictures: Path) -> str:
    results = source(marker)
    if marker.figure:
        kind = marker.figure.kind
        drawn = pictures / f"{folder_of_study(results.study)}.{kind}.svg"
        if not drawn.exists():
            raise ConfigError(
                f"the picture {drawn} is not there; `python -m sweeps.report study={results.study} figures=[{kind}]` "
                "draws it."
            )
        address = Path(os.path.relpath(drawn, path.parent)).as_posix()
        parts = [markdown.picture(caption(results, marker.figure), address)]
    else:
        assert marker.table
        parts = [markdown.table(table) for table in make(results, marker.table)]
    if marker.footer:
        parts.append(markdown.broken([f"<sub>{markdown.inline(line)}</sub>" for line in footer(results)]))
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


def difference(document: Document) -> str:
    """What filling would change, as a diff."""
    before, after = document.before.splitlines(), document.after.splitlines()
    names = (f"{document.path} as it is", f"{document.path} as its source says")
    lines = difflib.unified_diff(before, after, *names, lineterm="", n=1)
    return "\n".join(lines)
