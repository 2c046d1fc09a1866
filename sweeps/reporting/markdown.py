"""Blocks as markdown."""

from collections.abc import Mapping, Sequence

from sweeps.reporting.documents import Block, Heading, Picture, Points, Text
from sweeps.reporting.tables.parts import Table

CAPTIONS = {
    "curves": "Learning curves of the best trials: mean over seeds, and the range of all seeds",
    "seeds": "Every seed run, trials by rank",
    "heatmap": "Mean scores by two parameters",
    "importances": "Share of the variance between trials that each parameter explains alone",
    "cost": "Score against seconds of training",
    "confusion": "What the best trial takes for what, over all seeds",
    "reliability": "How often the best trial is right, against how sure it is; the range is that of the seeds",
}


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
        return picture(block.kind, pictures[block.kind])
    return table(block)


def broken(lines: Sequence[str]) -> str:
    """Lines of a paragraph that stay lines."""
    return "\n".join([*(f"{line}  " for line in lines[:-1]), lines[-1]])


def picture(kind: str, address: str) -> str:
    """A picture with its caption."""
    return f"![{CAPTIONS[kind]}]({address})"


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
