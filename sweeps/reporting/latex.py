"""Blocks as LaTeX: tables in the style of booktabs, to be included with \\input."""

import re
from collections.abc import Sequence

from sweeps.reporting.blocks import Block, Contents, Heading, Paragraph, Picture, Points, Prose, Rule
from sweeps.reporting.inline import Break, Inline, Span, pieces
from sweeps.reporting.table import Table

SPECIAL = {
    "\\": r"\textbackslash{}",
    "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "`": r"\textasciigrave{}", '"': r"\textquotedbl{}",
    "±": r"$\pm$", "−": r"$-$", "–": "--", "×": r"$\times$", "<": r"$<$", ">": r"$>$", "²": r"$^2$",
}  # fmt: skip


def latex(blocks: Sequence[Block]) -> str:
    """A fragment for \\input; needs the package booktabs, and fontenc with T1."""
    parts = ["% needs \\usepackage[T1]{fontenc} and \\usepackage{booktabs}"]
    return "\n\n".join([*parts, *(_block(block) for block in blocks)]) + "\n"


def _block(block: Block) -> str:
    if isinstance(block, Heading):
        return f"\\{'sub' * (block.level - 1)}section*{{{inline(block.text)}}}"
    if isinstance(block, Paragraph):
        return _lines(block.lines)
    if isinstance(block, Points):
        items = "\n".join(f"  \\item {_shielded(item)}" for item in block.items)
        return f"\\begin{{itemize}}\n{items}\n\\end{{itemize}}"
    if isinstance(block, Prose):
        return "\n\n".join(_lines(lines) for lines in block.paragraphs())
    if isinstance(block, Rule | Contents):  # a document has its own
        return ""
    if isinstance(block, Picture):
        raise AssertionError("LaTeX reports hold tables only")
    assert isinstance(block, Table), "the rest is for pages"
    return table(block)


def _lines(lines: Sequence[Inline]) -> str:
    return " \\\\\n".join(_shielded(line) for line in lines)


def table(block: Table) -> str:
    """One table, its notes below it; text left, as cells are not padded."""
    lines = ["\\begin{table}[htbp]", "\\centering"]
    if block.title:
        lines.append(f"\\caption{{{inline(block.title)}}}")
    lines += [f"\\begin{{tabular}}{{{'l' * len(block.header)}}}", "\\toprule"]
    lines += [_row(block.header), "\\midrule", *(_row(row) for row in block.rows)]
    lines += ["\\bottomrule", "\\end{tabular}"]
    lines += [f"\\par\\smallskip\\footnotesize {inline(note)}" for note in block.notes]
    return "\n".join([*lines, "\\end{table}"])


def _row(cells: Sequence[Inline]) -> str:
    first, *rest = (_cell(cell) for cell in cells)
    return " & ".join([_shield(first), *rest]) + " \\\\"


def _cell(cell: Inline) -> str:
    written = inline(cell)
    if any(isinstance(piece, Break) for piece in pieces(cell)):
        return f"\\begin{{tabular}}[t]{{@{{}}l@{{}}}}{written}\\end{{tabular}}"
    return written


def _shielded(text: Inline) -> str:
    return _shield(inline(text))


def _shield(written: str) -> str:
    """After a line's end or an item, a bracket would begin its options, and a star change its meaning."""
    return "{}" + written if written.startswith(("[", "*")) else written


def inline(text: Inline) -> str:
    """A text whose words stay words."""
    return "".join(_piece(piece) for piece in pieces(text))


def _piece(piece: Span | Break) -> str:
    if isinstance(piece, Break):
        return " \\\\ "
    hyphens = re.sub("-(?=-)", "\0", piece.text)  # two of them would become a dash
    written = "".join("-{}" if letter == "\0" else SPECIAL.get(letter, letter) for letter in hyphens)
    if piece.code:
        written = f"\\texttt{{{written}}}"
    return f"\\textbf{{{written}}}" if piece.bold else written
