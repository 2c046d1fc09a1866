"""What reports consist of, one under the other; `markdown`, `html` and `latex` write blocks out."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
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


@dataclass(frozen=True, kw_only=True)
class SeedRunRow:
    """The seed runs of one trial."""

    trial: int
    title: str
    cells: tuple[tuple[str, float | None], ...]
    """For each seed of the table its score as text and as a number; an empty text where the trial has no such seed."""


@dataclass(frozen=True, kw_only=True)
class Curves:
    """Learning curves by seed run."""

    metric: str
    sign: str
    """Of the metric's unit."""
    digits: int
    """Values are whole steps of this digit."""
    runs: Mapping[str, tuple[int | None, tuple[int | None, ...]]]
    """By `trial/seed` the selected epoch and the metric after each epoch, from the first."""


@dataclass(frozen=True, kw_only=True)
class SeedRuns:
    """Every seed run, each with its learning curve; for a page alone."""

    column: str
    """What the scores are."""
    seeds: tuple[int, ...]
    rows: tuple[SeedRunRow, ...]
    num_left_out: int
    """Trials."""
    curves: Curves


@dataclass(frozen=True, kw_only=True)
class MissedImage:
    """A test image that networks miss."""

    name: str
    given: str
    """Its class, as given."""
    said: tuple[tuple[str, int], ...]
    """Which class how many networks said, the most frequent first; empty where it is not kept."""
    num_missed: int
    address: str | None
    """A `data:` address of its picture; None where it cannot be found."""


@dataclass(frozen=True, kw_only=True)
class MissedImages:
    """Test images that all networks miss, and those that at least half of them do; for a page alone."""

    num_networks: int
    num_images: int
    num_by_all: int
    num_by_half: int
    """At least half, and not all."""
    by_all: tuple[MissedImage, ...]
    by_half: tuple[MissedImage, ...]
    """The first of each, the most missed first."""
    where: Inline
    """From where the pictures are, or why there are none."""


def anchors(headings: Sequence[Heading]) -> list[str]:
    """The addresses of headings within a page, as GitHub makes them."""
    seen: Counter[str] = Counter()
    found = []
    for heading in headings:
        name = re.sub(r"[^\w\- ]", "", heading.text.lower()).replace(" ", "-")
        found.append(name + (f"-{seen[name]}" if seen[name] else ""))
        seen[name] += 1
    return found


Block = Contents | Heading | Paragraph | Points | Table | Picture | Prose | Rule | SeedRuns | MissedImages
