"""The page of the first hour runs from its first cell to its last, and is stored with what it showed."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "first_hour.ipynb"
SMALLER = {"size: 32": "size: 16", "epochs: 10,": "epochs: 3,", "epochs: 6,": "epochs: 1,"}
"""What the test makes of the study file, so that it takes seconds of training."""


def _read() -> nbformat.NotebookNode:
    return nbformat.read(PAGE, as_version=4)


def _shown(page: nbformat.NotebookNode) -> dict[str, str]:
    """What each cell of code showed as text, by the cell's id."""
    return {
        cell.id: "".join(
            out.get("text", "")
            + str(out.get("data", {}).get("text/markdown") or out.get("data", {}).get("text/plain", ""))
            for out in cell.outputs
        )
        for cell in page.cells
        if cell.cell_type == "code"
    }


def _check(shown: dict[str, str]) -> None:
    """What the words around the cells say of their outputs."""
    assert "18 seed runs in all, 0 done, 18 to do" in shown["dry-run"]
    assert "[18/18]" in shown["first-run"]
    assert "## Hypotheses" in shown["report-text"]
    assert "## Trials by rank" in shown["report-text"]
    assert shown["csv-table"].count("complete") == 18
    counted = [int(number) for number in re.findall(r"^\[(\d+)/36\]", shown["second-run"], flags=re.MULTILINE)]
    assert counted == [*range(19, 37)], "only the new seeds are trained"
    assert "36 complete, 0 diverged, 0 failed, 0 to do" in shown["status"]
    assert "Probabilities are in predictions.csv." in shown["prediction"]
    assert "1 document checked: each says what its sources say." in shown["paper-fill"]
    assert "| Learning rate | Head | n |" in shown["paper-text"]


@pytest.mark.slow
def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    page = _read()
    (study,) = [cell for cell in page.cells if cell.id == "study-file"]
    for words, smaller in SMALLER.items():
        assert words in study.source
        study.source = study.source.replace(words, smaller)
    for cell in page.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(page, timeout=300, kernel_name="python3", resources=resources, coalesce_streams=True).execute()
    _check(_shown(page))


def test_the_page_is_stored_with_what_it_showed() -> None:
    _check(_shown(_read()))


def test_the_page_is_stored_as_it_was_run_from_top_to_bottom() -> None:
    cells = [cell for cell in _read().cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == [*range(1, len(cells) + 1)]
    outputs = [out for cell in cells for out in cell.outputs]
    assert not [out for out in outputs if out.output_type == "error" or out.get("name") == "stderr"]
    assert "\x1b" not in "".join(_shown(_read()).values()), "colours and bars of a terminal are no text of a page"
    kinds = {kind for out in outputs for kind in out.get("data", {})}
    assert {"image/png", "image/svg+xml", "text/html"} <= kinds


def test_links_of_the_page_lead_somewhere() -> None:
    text = "\n".join(cell.source for cell in _read().cells if cell.cell_type == "markdown")
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert links
    assert [link for link in links if not (PAGE.parent / link).exists()] == []
