"""The recipes for checking documents elsewhere: valid, and their command does what the page says."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
WORKFLOW = yaml.load((ROOT / "docs" / "examples" / "ci" / "documents.yml").read_text(encoding="utf-8"), yaml.BaseLoader)
CHECK = "sweeps report docs=[docs/,README.md] check=true"
MARKER = "<!-- sweeps: results=reports/quickstart.csv table=summary -->\n<!-- /sweeps -->\n"


def commands(content: Any) -> list[str]:
    """Every command in a recipe."""
    if isinstance(content, dict):
        return [found for key, value in content.items() for found in commands(value if key != "name" else None)]
    if isinstance(content, list):
        return [found for value in content for found in commands(value)]
    return [content] if isinstance(content, str) and content.startswith(("sweeps", "pip")) else []


def test_the_workflow_is_one_and_runs_the_command_of_the_page() -> None:
    assert set(WORKFLOW) == {"name", "on", "permissions", "jobs"}
    assert "pull_request" in WORKFLOW["on"]
    (job,) = WORKFLOW["jobs"].values()
    assert job["runs-on"]
    assert all(set(step) <= {"uses", "with", "run"} and len(set(step) & {"uses", "run"}) == 1 for step in job["steps"])
    assert commands(WORKFLOW)[-1] == CHECK


def test_every_recipe_of_the_page_is_yaml_with_the_same_command() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        assert commands(yaml.safe_load(block))[-1] == CHECK


@pytest.mark.slow
def test_the_command_passes_true_documents_and_fails_others(tmp_path: Path) -> None:
    def sweeps(command: str) -> "subprocess.CompletedProcess[str]":
        words = shlex.split(command)
        return subprocess.run(
            [sys.executable, "-m", *words], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
        )

    (tmp_path / "docs").mkdir()
    (tmp_path / "reports").mkdir()
    shutil.copy(ROOT / "docs" / "results" / "quickstart.csv", tmp_path / "reports" / "quickstart.csv")
    (tmp_path / "README.md").write_text("No table here.\n")
    (tmp_path / "docs" / "page.md").write_text(MARKER)
    assert sweeps(CHECK).returncode == 1, "not filled yet"
    assert sweeps(CHECK.replace(" check=true", "")).returncode == 0
    passed = sweeps(CHECK)
    assert passed.returncode == 0, passed.stdout + passed.stderr
    page = (tmp_path / "docs" / "page.md").read_text()
    assert page.count("|") > 10
    (tmp_path / "docs" / "page.md").write_text(page.replace("| ", "| 1", 1))
    failed = sweeps(CHECK)
    assert failed.returncode == 1
    assert "docs/page.md" in failed.stdout + failed.stderr
    (tmp_path / "reports" / "quickstart.csv").unlink()
    assert sweeps(CHECK).returncode == 2
