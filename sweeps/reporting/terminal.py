"""Tables as a terminal shows them: aligned, in as many columns as there is room for."""

import textwrap

from rich.box import SIMPLE_HEAD
from rich.table import Table as Grid
from rich.text import Text

from sweeps.reporting.inline import Break, Inline, length, pieces
from sweeps.reporting.table import Table

SHORT = 16
"""Characters of a cell that stay on one line: a score with its spread, an interval."""


def terminal_table(table: Table) -> Grid:
    """One table without its notes; cells that are too long for their column go on in the next line."""
    title = _text(table.title) if table.title else None
    grid = Grid(title=title, box=SIMPLE_HEAD, title_justify="left", padding=(0, 1, 0, 0), pad_edge=False)
    for place, name in enumerate(table.header):
        longest = max((length(row[place]) for row in table.rows), default=0)
        whole = longest <= SHORT
        header = (
            textwrap.fill(_text(name).plain, max(longest, 8), break_long_words=False) if whole else _text(name).plain
        )
        grid.add_column(header, no_wrap=whole, overflow="ellipsis" if whole else "fold")
    for row in table.rows:
        grid.add_row(*(_text(cell) for cell in row))
    return grid


def _text(inline: Inline) -> Text:
    text = Text()
    for piece in pieces(inline):
        if isinstance(piece, Break):
            text.append("\n")
        else:
            text.append(piece.text, style="bold" if piece.bold else "")
    return text
