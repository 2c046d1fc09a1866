"""Blocks as markdown, as GitHub reads it."""

import re
from collections.abc import Mapping, Sequence

from sweeps.reporting.blocks import Block, Contents, Heading, Paragraph, Picture, Points, Prose, Rule, anchors
from sweeps.reporting.inline import Break, Inline, Span, bold, pieces
from sweeps.reporting.table import Table

MARKUP = re.compile(
    r"""
    [`$~]                                       # code, mathematics, crossed out
  | \\(?=[!-/:-@\[-`{-~]|$)                     # what would escape the next character
  | &(?=\#?\w+;)                                # an entity
  | <(?=[A-Za-z/!?])                            # HTML
  | (?<=--)>                                    # the end of a comment
  | (?<!\s)\*|\*(?!\s)                          # emphasis; a star between spaces is none,
  | (?<!\w)_+|_+(?!\w)                          # and neither are underscores within a word
  | (?<=\])[(\[:]                               # a link, or where it leads
    """,
    re.VERBOSE,
)
ENTITIES = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}
BLOCK_START = re.compile(r"(?=#{1,6}(\s|$)|[+*-](\s|$)|>|-{2,}\s*$|=+\s*$)|(?<=^)(\d+)(?=[.)](\s|$))")
"""Where a backslash keeps a line from becoming a heading, a list, a quotation or a rule."""


def markdown(blocks: Sequence[Block], pictures: Mapping[str, str] | None = None) -> str:
    """A whole document.

    Args:
        pictures: address of each kind of picture, relative to the document.
    """
    return "\n\n".join(_block(block, pictures or {}) for block in blocks) + "\n"


def _block(block: Block, pictures: Mapping[str, str]) -> str:
    if isinstance(block, Heading):
        return f"{'#' * block.level} {inline(block.text)}"
    if isinstance(block, Contents):
        places = zip(block.entries, anchors(block.entries), strict=True)
        # the title has an address too, but nobody looks for it
        return "\n".join(
            f"{'  ' * (heading.level - 2)}- [{inline(heading.text)}](#{place})"
            for heading, place in places
            if heading.level > 1
        )
    if isinstance(block, Paragraph):
        return paragraph(block.lines)
    if isinstance(block, Points):
        return "\n".join(f"- {_line(item)}" for item in block.items)
    if isinstance(block, Picture):
        return picture(block.caption, pictures[block.kind])
    if isinstance(block, Prose):
        return block.text
    if isinstance(block, Rule):
        return "---"
    assert isinstance(block, Table), "the rest is for pages"
    return table(block)


def paragraph(lines: Sequence[Inline]) -> str:
    """Lines of a paragraph that stay lines."""
    return broken([_line(line) for line in lines])


def broken(lines: Sequence[str]) -> str:
    """The same of lines that are written out."""
    return "  \n".join(lines)


def picture(caption: str, address: str) -> str:
    """A picture with its caption."""
    words = re.sub(r"[\[\]]", r"\\\g<0>", inline(caption))
    return f"![{words}](<{address}>)" if re.search(r"[\s()]", address) else f"![{words}]({address})"


def table(block: Table) -> str:
    """One table, its notes below it."""
    lines = [inline(bold(block.title)), ""] if block.title else []
    for number, row in enumerate((block.header, *block.rows)):
        # an empty first cell, that of a pivot, is one space wide
        lines.append("|" + "".join(f" {_cell(cell)} |" if place or cell else " |" for place, cell in enumerate(row)))
        if number == 0:
            lines.append("|" + " --- |" * len(row))
    if block.notes:
        lines += ["", paragraph(block.notes)]
    return "\n".join(lines)


def _cell(text: Inline) -> str:
    return inline(text).replace("|", "\\|")


def _line(text: Inline) -> str:
    """A text at the start of a line."""
    written = inline(text).lstrip()
    return BLOCK_START.sub(lambda match: f"{match[0]}\\", written, count=1) if BLOCK_START.match(written) else written


def inline(text: Inline) -> str:
    """A text whose words stay words."""
    return "".join(_piece(piece) for piece in pieces(text))


def _piece(piece: Span | Break) -> str:
    if isinstance(piece, Break):
        return " <br> "
    if piece.code:
        ticks = "`" * (1 + max((len(run) for run in re.findall("`+", piece.text)), default=0))
        space = " " if piece.text.startswith("`") or piece.text.endswith("`") else ""
        written = f"{ticks}{space}{piece.text}{space}{ticks}"
    else:
        written = MARKUP.sub(_as_text, piece.text)
    if not piece.bold or not written.strip():
        return written
    core = written.strip()
    return written.replace(core, f"**{core}**", 1)


def _as_text(markup: re.Match[str]) -> str:
    return ENTITIES.get(markup[0]) or "".join("\\" + letter for letter in markup[0])
