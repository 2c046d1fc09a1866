"""What reports consist of, one under the other; `markdown`, `html` and `latex` write blocks out."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sweeps.reporting.inline import Inline
from sweeps.reporting.table import Table


@dataclass(frozen=True, kw_only=True)
class Heading:
    """The title, or that of a section."""

    text: str
    level: int


@dataclass(frozen=True, kw_only=True)
class Paragraph:
    """Lines that stay lines."""

    lines: tuple[Inline, ...]


@dataclass(frozen=True, kw_only=True)
class Points:
    """A list."""

    items: tuple[Inline, ...]


@dataclass(frozen=True, kw_only=True)
class Picture:
    """Where a figure stands."""

    kind: str
    caption: str


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A line across the page."""


LAID_OUT = re.compile(r"\s*([-+*>#|]|\d+[.)]\s|```|~~~)|\s{4}")


@dataclass(frozen=True, kw_only=True)
class Prose:
    """Markdown of the user's own, the only text whose markup is meant."""

    text: str

    def paragraphs(self) -> list[tuple[str, ...]]:
        """As text, for formats that know no markdown: lists, tables and code keep their lines, the rest is one line."""
        parts = [part for part in re.split(r"\n\s*\n", self.text.strip("\n")) if part.strip()]
        return [
            tuple(part.split("\n"))
            if any(LAID_OUT.match(line) for line in part.split("\n"))
            else (" ".join(part.split("\n")),)
            for part in parts
        ]


@dataclass(frozen=True, kw_only=True)
class Contents:
    """The headings of a document, each leading to its place."""

    entries: tuple[Heading, ...]


def anchors(headings: Sequence[Heading]) -> list[str]:
    """The addresses of headings within a page, as GitHub makes them."""
    seen: Counter[str] = Counter()
    found = []
    for heading in headings:
        name = re.sub(r"[^\w\- ]", "", heading.text.lower()).replace(" ", "-")
        found.append(name + (f"-{seen[name]}" if seen[name] else ""))
        seen[name] += 1
    return found


Block = Contents | Heading | Paragraph | Points | Table | Picture | Prose | Rule
