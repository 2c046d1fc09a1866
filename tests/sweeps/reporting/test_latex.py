"""LaTeX tables compile; needs `pdflatex` (Debian: texlive-latex-recommended)."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from sweeps.definition.outputs.registry import TABLES
from sweeps.reporting.latex import latex
from sweeps.reporting.report import report
from tests.sweeps.reporting.test_standings import results_of
from tests.sweeps.reporting.test_words import NASTY

DOCUMENT = "\\documentclass{article}\n\\usepackage[T1]{fontenc}\n\\usepackage{booktabs,textcomp}\n\\begin{document}\n"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_a_whole_report_compiles_whatever_names_are_in_it(tmp_path: Path) -> None:
    results = results_of([0.4, 0.5, 0.6, 0.8])
    assert results.about
    names = [*NASTY, "naïve “quote” – 5 × 3 ± 1 − 2"]
    data = replace(results.about.data, classes=tuple(names), counts={"test": dict.fromkeys(names, 3)})
    about = replace(results.about, question="; ".join(names), about="\n\n".join(names[:5]), data=data)
    kinds = ("summary", "flat", "lists", "slices", "variance", "checklist")
    specs = [TABLES.spec(kind, "table") for kind in kinds]
    text = latex(report(replace(results, about=about), specs))
    (tmp_path / "t.tex").write_text(DOCUMENT + text + "\\end{document}\n", encoding="utf-8")
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"],
        cwd=tmp_path, capture_output=True, text=True, check=False, errors="replace",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
    assert (tmp_path / "t.pdf").stat().st_size > 10_000
