"""Blocks as LaTeX: tables in the style of booktabs, to be included with \\input."""

import re
from collections.abc import Sequence

from sweeps.reporting.report import Block, Heading, Picture, Points, Text
from sweeps.reporting.table import Table

SPECIAL = {
    "\\": r"\textbackslash{}",
    "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "±": r"$\pm$", "−": r"$-$", "–": "--", "×": r"$\times$", "<": r"$<$", ">": r"$>$", "²": r"$^2$",
}  # fmt: skip
MARKS = re.compile(r"\*\*(.+?)\*\*|`([^`]+)`")


def latex(blocks: Sequence[Block]) -> str:
    """A fragment for \\input; needs the packages booktabs and graphicx."""
    parts = ["% needs \\usepackage{booktabs}" + (", graphicx" if any(isinstance(b, Picture) for b in blocks) else "")]
    return "\n\n".join([*parts, *(_block(block) for block in blocks)]) + "\n"


def _block(block: Block) -> str:
    if isinstance(block, Heading):
        return f"\\{'sub' * (block.level - 1)}section*{{{escape(block.text)}}}"
    if isinstance(block, Text):
        return "" if block.lines == ("---",) else " \\\\\n".join(escape(line) for line in block.lines)
    if isinstance(block, Points):
        items = "\n".join(f"  \\item {escape(item)}" for item in block.items)
        return f"\\begin{{itemize}}\n{items}\n\\end{{itemize}}"
    if isinstance(block, Picture):
        raise AssertionError("LaTeX reports hold tables only")
    return table(block)


def table(block: Table) -> str:
    """One table, its notes below it; text left, as cells are not padded."""
    lines = ["\\begin{table}[htbp]", "\\centering"]
    if block.title:
        lines.append(f"\\caption{{{escape(block.title)}}}")
    lines += [f"\\begin{{tabular}}{{{'l' * len(block.header)}}}", "\\toprule"]
    lines += [" & ".join(escape(cell) for cell in block.header) + " \\\\", "\\midrule"]
    lines += [" & ".join(_cell(cell) for cell in row) + " \\\\" for row in block.rows]
    lines += ["\\bottomrule", "\\end{tabular}"]
    lines += [f"\\par\\smallskip\\footnotesize {escape(note)}" for note in block.notes]
    return "\n".join([*lines, "\\end{table}"])


def _cell(text: str) -> str:
    if " <br> " not in text:
        return escape(text)
    return (
        "\\begin{tabular}[t]{@{}l@{}}" + " \\\\ ".join(escape(part) for part in text.split(" <br> ")) + "\\end{tabular}"
    )


def escape(text: str) -> str:
    """Text of a cell or paragraph, with **bold** and `code`."""
    parts = []
    last = 0
    for match in MARKS.finditer(text):
        parts.append(_plain(text[last : match.start()]))
        parts.append(f"\\textbf{{{_plain(match[1])}}}" if match[1] is not None else f"\\texttt{{{_plain(match[2])}}}")
        last = match.end()
    return "".join([*parts, _plain(text[last:])])


def _plain(text: str) -> str:
    return "".join(SPECIAL.get(letter, letter) for letter in text)
