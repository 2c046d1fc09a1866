"""Blocks as an HTML page that needs no other file: pictures, look and script stand in it.

Plotly's drawings, which can be zoomed into, are made of what the page holds, by a script that lies beside it once for
all pages of a folder; without that script everything but the zoom is there.
"""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from resnet_tl.files import write_text
from sweeps.reporting.blocks import (
    Block,
    Contents,
    Heading,
    MissedImages,
    Paragraph,
    Picture,
    Points,
    Prose,
    Rule,
    SeedRuns,
    anchors,
)
from sweeps.reporting.chart import Chart
from sweeps.reporting.inline import Break, Inline, Span, length, pieces, plain_text
from sweeps.reporting.page import images, runs
from sweeps.reporting.page.parts import policy, script, style
from sweeps.reporting.page.pictures import explorable, picture
from sweeps.reporting.page.sorting import values_of
from sweeps.reporting.table import Table

LONGEST_UNBROKEN = 30
"""Characters of a cell that stay on one line."""


def html(title: str, blocks: Sequence[Block], charts: Mapping[str, Chart]) -> str:
    """A whole page.

    Args:
        charts: what each picture of the blocks shows.
    """
    drawn = any(isinstance(block, Picture) for block in blocks)
    headings = [block for block in blocks if isinstance(block, Heading)]
    places = dict(zip(map(id, headings), anchors(headings), strict=True))
    rule = next((place for place, block in enumerate(blocks) if isinstance(block, Rule)), len(blocks))
    answer = _end_of_answer(blocks)
    body: list[str] = []
    section = title
    for place, block in enumerate(blocks[:rule]):
        if place == 1 and answer > 1:
            body.append('<div class="answer">')
        if isinstance(block, Heading):
            section = block.text
            body.append(f'<h{block.level} id="{places[id(block)]}">{escape(block.text)}</h{block.level}>')
        else:
            body.append(_block(block, charts, section))
        if place + 1 == answer and answer > 1:
            body.append("</div>")
    foot = "\n".join(_block(block, charts, section) for block in blocks[rule + 1 :])
    plotly = f' data-plotly="{plotly_file()}"' if drawn else ""
    inside = "\n".join(body)
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy()}">\n<title>{escape(title)}</title>\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<style>{style()}</style>\n</head>\n'
        f'<body{plotly}>\n<a class="skip" href="#main">Skip to the answer</a>\n'
        f'<main id="main" tabindex="-1">\n{inside}\n</main>\n'
        + (f"<hr>\n<footer>\n{foot}\n</footer>\n" if foot else "")
        + f"<script>{script()}</script>\n</body>\n</html>\n"
    )


def plotly_file() -> str:
    """The name of plotly's script, with its version, so that pages of several versions can stand side by side."""
    from plotly.offline import get_plotlyjs_version

    return f"plotly-{get_plotlyjs_version()}.min.js"


def write_plotly(folder: Path) -> None:
    """Puts plotly's script beside the pages of a folder; once, since it takes 5 MB."""
    target = folder / plotly_file()
    if not target.exists():
        from plotly.offline import get_plotlyjs

        write_text(target, get_plotlyjs())


def _end_of_answer(blocks: Sequence[Block]) -> int:
    """Where the paragraphs end that follow the title: the question, and the answer in words."""
    end = 1
    while end < len(blocks) and isinstance(blocks[end], Paragraph):
        end += 1
    return end if blocks and isinstance(blocks[0], Heading) else 0


def _block(block: Block, charts: Mapping[str, Chart], section: str) -> str:
    """A block but a heading.

    Args:
        section: the heading above it.
    """
    if isinstance(block, Contents):
        entries = zip(block.entries, anchors(block.entries), strict=True)
        items = (f'<li><a href="#{place}">{escape(entry.text)}</a></li>' for entry, place in entries if entry.level > 1)
        return f'<nav aria-label="Contents"><ul>{"".join(items)}</ul></nav>'
    if isinstance(block, Paragraph):
        return _lines(block.lines)
    if isinstance(block, Prose):
        return "\n".join(_lines(lines) for lines in block.paragraphs())
    if isinstance(block, Rule):
        return "<hr>"
    if isinstance(block, Points):
        return "<ul>" + "".join(f"<li>{inline(item)}</li>" for item in block.items) + "</ul>"
    if isinstance(block, SeedRuns):
        return runs.element(block)
    if isinstance(block, MissedImages):
        return images.element(block)
    if isinstance(block, Picture):
        return _picture(block, charts[block.kind])
    assert isinstance(block, Table)  # headings stand in the page's own loop, which knows their addresses
    return _table(block, section)


def _picture(block: Picture, chart: Chart) -> str:
    from sweeps.reporting.interactive import figure

    moving = explorable(block.kind, figure(chart).to_json())
    still = picture(chart, block.kind, block.caption)
    return (
        f'<figure id="figure-{escape(block.kind)}"><div class="scroll">{still}</div>'
        f"<figcaption>{escape(block.caption)}</figcaption>{moving}</figure>"
    )


def _lines(lines: Sequence[Inline]) -> str:
    return f"<p>{'<br>'.join(inline(line) for line in lines)}</p>"


def _table(table: Table, section: str) -> str:
    columns = [[plain_text(cell) for cell in column] for column in zip(*table.rows, strict=True)]
    values = [values_of(column) for column in columns] or [None] * len(table.header)
    head = "".join(
        f'<th scope="col"{_class(number=own is not None)}>{inline(cell)}</th>'
        for cell, own in zip(table.header, values, strict=True)
    )
    rows = "\n".join(
        "<tr>" + "".join(_cell(cell, place, values[place], row) for place, cell in enumerate(cells)) + "</tr>"
        for row, cells in enumerate(table.rows)
    )
    caption = (
        f"<caption><span>{inline(table.title)}</span></caption>"
        if table.title
        else f'<caption class="hidden">{escape(section)}</caption>'
    )
    notes = "".join(f'<p class="note">{inline(note)}</p>' for note in table.notes)
    return (
        f'<div class="scroll"><table>{caption}\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody></table></div>'
        f"{notes}"
    )


def _cell(text: Inline, place: int, values: Sequence[float | None] | None, row: int) -> str:
    value = None if values is None else values[row]
    told = _class(number=values is not None, short=length(text) <= LONGEST_UNBROKEN)
    told += "" if value is None else f' data-value="{value!r}"'
    return f"<td{told}>{inline(text)}</td>" if place else f'<th scope="row"{told}>{inline(text)}</th>'


def _class(**names: bool) -> str:
    found = " ".join(name for name, holds in names.items() if holds)
    return f' class="{found}"' if found else ""


def inline(text: Inline) -> str:
    """Text as HTML."""
    return "".join(_piece(piece) for piece in pieces(text))


def _piece(piece: Span | Break) -> str:
    if isinstance(piece, Break):
        return "<br>"
    written = escape(piece.text, quote=False)
    if piece.code:
        written = f"<code>{written}</code>"
    return f"<strong>{written}</strong>" if piece.bold else written
