"""Blocks as an HTML page; its pictures are drawn by plotly, which stands once beside all pages of a folder."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from resnet_tl.files import write_text
from sweeps.reporting.blocks import Block, Contents, Heading, Paragraph, Picture, Points, Prose, Rule, anchors
from sweeps.reporting.chart import Chart
from sweeps.reporting.inline import Break, Inline, Span, length, pieces
from sweeps.reporting.table import Table

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; margin: 1rem 0; font-size: 0.9rem; font-variant-numeric: tabular-nums; }
th { text-align: left; border-bottom: 2px solid #444; }
th, td { padding: 0.25rem 0.8rem 0.25rem 0; vertical-align: top; }
td { border-bottom: 1px solid #ddd; } .short { white-space: nowrap; }
.scroll { overflow-x: auto; } .note { color: #555; font-size: 0.9rem; }
figure { margin: 1.5rem 0; } figcaption { color: #555; font-size: 0.9rem; } code { background: #f3f3f3; }
"""


LONGEST_UNBROKEN = 30
"""Characters of a cell that stay on one line."""


def html(title: str, blocks: Sequence[Block], charts: Mapping[str, Chart]) -> str:
    """A whole page.

    Args:
        charts: what each picture of the blocks shows.
    """
    script = ""
    if any(isinstance(block, Picture) for block in blocks):
        script = f'<script src="{plotly_file()}"></script>\n'
    headings = [block for block in blocks if isinstance(block, Heading)]
    places = dict(zip(map(id, headings), anchors(headings), strict=True))
    body = "\n".join(
        f'<h{block.level} id="{places[id(block)]}">{escape(block.text)}</h{block.level}>'
        if isinstance(block, Heading)
        else _block(block, charts)
        for block in blocks
    )
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
        f'<meta name="viewport" content="width=device-width">\n<style>{STYLE}</style>\n{script}</head>\n'
        f"<body>\n{body}\n</body>\n</html>\n"
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


def _block(block: Block, charts: Mapping[str, Chart]) -> str:
    if isinstance(block, Contents):
        entries = zip(block.entries, anchors(block.entries), strict=True)
        items = (f'<li><a href="#{place}">{escape(entry.text)}</a></li>' for entry, place in entries if entry.level > 1)
        return f"<ul>{''.join(items)}</ul>"
    if isinstance(block, Paragraph):
        return _lines(block.lines)
    if isinstance(block, Prose):
        return "\n".join(_lines(lines) for lines in block.paragraphs())
    if isinstance(block, Rule):
        return "<hr>"
    if isinstance(block, Points):
        return "<ul>" + "".join(f"<li>{_inline(item)}</li>" for item in block.items) + "</ul>"
    if isinstance(block, Picture):
        from sweeps.reporting.interactive import figure

        drawn = figure(charts[block.kind]).to_html(
            full_html=False, include_plotlyjs=False, div_id=f"figure-{block.kind}", config={"displaylogo": False}
        )
        return f"<figure>{drawn}<figcaption>{escape(block.caption)}</figcaption></figure>"
    assert isinstance(block, Table)  # headings stand in the page's own loop, which knows their addresses
    return _table(block)


def _lines(lines: Sequence[Inline]) -> str:
    return f"<p>{'<br>'.join(_inline(line) for line in lines)}</p>"


def _table(table: Table) -> str:
    head = "".join(f"<th>{_inline(cell)}</th>" for cell in table.header)
    rows = "\n".join("<tr>" + "".join(_cell(cell) for cell in row) + "</tr>" for row in table.rows)
    title = f"<h3>{_inline(table.title)}</h3>" if table.title else ""
    notes = "".join(f'<p class="note">{_inline(note)}</p>' for note in table.notes)
    return (
        f'{title}<div class="scroll"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody></table></div>'
        f"{notes}"
    )


def _cell(text: Inline) -> str:
    short = ' class="short"' if length(text) <= LONGEST_UNBROKEN else ""
    return f"<td{short}>{_inline(text)}</td>"


def _inline(text: Inline) -> str:
    return "".join(_piece(piece) for piece in pieces(text))


def _piece(piece: Span | Break) -> str:
    if isinstance(piece, Break):
        return "<br>"
    written = escape(piece.text, quote=False)
    if piece.code:
        written = f"<code>{written}</code>"
    return f"<strong>{written}</strong>" if piece.bold else written
