"""Commands of the pages in `docs/experiments` are ones that the programs take, and each page has what it promises."""

import re
import shlex
from pathlib import Path

import pytest

from sweeps.definition.compose import compose

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "docs" / "experiments").glob("*.md"))


def commands(page: Path) -> list[list[str]]:
    """Words of every command, those that go on in the next line joined."""
    blocks = re.findall(r"```bash\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines() if line.strip()]
    return [shlex.split(line) for line in lines]


def test_there_is_a_page_for_every_experiment() -> None:
    assert [page.stem for page in PAGES] == [
        "augmentation_ablation", "chest_xray", "grayscale_head", "patches_transfer",
    ]  # fmt: skip


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_the_command_of_a_page_is_a_study(page: Path) -> None:
    runs = [words[3:] for words in commands(page) if words[:3] == ["python", "-m", "sweeps.run"]]
    assert runs
    for words in runs:
        definition = compose(words)
        assert definition.study.name == page.stem
        assert list(definition.points())


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_a_page_has_data_command_answer_and_a_table_of_its_report(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for part in ("**Data.**", "**Command.**", "**Answer.**", f"results=reports/{page.stem}.csv"):
        assert part in text
    assert "@@" not in text, "an answer is still to be written"
    assert (ROOT / "reports" / f"{page.stem}.md").exists()
