"""Text with its markup as data. Whatever is in a `str` is text; `markdown`, `html` and `latex` write the rest out."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Span:
    """Characters of one look."""

    text: str
    bold: bool = False
    code: bool = False


@dataclass(frozen=True, slots=True)
class Break:
    """A line break within a cell."""


EMPTY = Span("")

Inline: TypeAlias = "str | Span | Break | tuple[Inline, ...]"
"""A text, or several one after the other."""


def code(text: str) -> Span:
    """What people type: a command, a name of an option."""
    return Span(text, code=True)


def bold(inline: Inline) -> Inline:
    """The same in bold."""
    return tuple(replace(piece, bold=True) if isinstance(piece, Span) else piece for piece in pieces(inline))


def joined(separator: Inline, parts: Iterable[Inline]) -> Inline:
    """Parts with something between them."""
    found: list[Inline] = []
    for part in parts:
        found += [separator, part] if found else [part]
    return tuple(found)


def plain_text(inline: Inline) -> str:
    """Without its looks, for a terminal."""
    return "".join(piece.text if isinstance(piece, Span) else " " for piece in pieces(inline))


def pieces(inline: Inline) -> list[Span | Break]:
    """The text in order; neighbours of one look are one span, so that a writer sees what stands beside a character."""
    found: list[Span | Break] = []
    for piece in _flat(inline):
        last = found[-1] if found else None
        if isinstance(piece, Span) and isinstance(last, Span) and last.bold == piece.bold and last.code == piece.code:
            found[-1] = Span(last.text + piece.text, bold=last.bold, code=last.code)
        elif piece != EMPTY:
            found.append(piece)
    return found


def _flat(inline: Inline) -> Iterable[Span | Break]:
    if isinstance(inline, tuple):
        for part in inline:
            yield from _flat(part)
    elif isinstance(inline, Break):
        yield inline
    else:
        span = Span(inline) if isinstance(inline, str) else inline
        # a line end of somebody's name would end a cell or a paragraph
        lines = span.text.splitlines()
        yield span if lines == [span.text] else replace(span, text=" ".join(lines))


def length(inline: Inline) -> int:
    """How many characters are seen."""
    return sum(len(piece.text) if isinstance(piece, Span) else 1 for piece in pieces(inline))
