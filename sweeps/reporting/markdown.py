"""Blocks as markdown."""

from collections.abc import Mapping, Sequence

from sweeps.reporting.report import Block, Heading, Picture, Points, Text
from sweeps.reporting.table import Table


def markdown(blocks: Sequence[Block], pictures: Mapping[str, str] | None = None) -> str:
    """A whole document.

    Args:
        pictures: address of each kind of picture, relative to the document.
    """
    return "\n\n".join(_block(block, pictures or {}) for block in blocks) + "\n"


def _block(block: Block, pictures: Mapping[str, str]) -> str:
    if isinstance(block, Heading):
        return f"{'#' * block.level} {block.text}"
    if isinstance(block, Text):
        return broken(block.lines)
    if isinstance(block, Points):
        return "\n".join(f"- {item}" for item in block.items)
    if isinstance(block, Picture):
        return picture(block.caption, pictures[block.kind])
    return table(block)


def broken(lines: Sequence[str]) -> str:
    """Lines of a paragraph that stay lines."""
    return "\n".join([*(f"{line}  " for line in lines[:-1]), lines[-1]])


def picture(caption: str, address: str) -> str:
    """A picture with its caption."""
    return f"![{caption}]({address})"


def table(block: Table) -> str:
    """One table, its notes below it."""
    lines = [f"**{block.title}**", ""] if block.title else []
    lines += ["| " + " | ".join(_cell(c) for c in block.header) + " |", "|" + " --- |" * len(block.header)]
    lines += ["| " + " | ".join(_cell(c) for c in row) + " |" for row in block.rows]
    if block.notes:
        lines += ["", broken(block.notes)]
    return "\n".join(line if not line.startswith("|  |") else line.replace("|  |", "| |", 1) for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
