"""What is imported when, and whether the map of the architecture is the tree. Directions are held by import-linter."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize(
    "module",
    [
        "resnet_tl",
        "resnet_tl.config",
        "resnet_tl.describe",
        "resnet_tl.training.stage",
        "sweeps.run",
        "sweeps.report",
        "sweeps.status",
        "sweeps.describe",
        "sweeps.init",
        "sweeps.planning.plan",
        "sweeps.reporting.report",
        "sweeps.engine.prepared_study",
    ],
)
def test_importing_does_not_load_what_is_not_needed(module: str) -> None:
    heavy = "{'torch', 'torchvision', 'mlflow', 'sklearn', 'optuna', 'alembic', 'hydra', 'matplotlib', 'plotly'}"
    code = f"import sys, {module}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_the_map_of_the_architecture_is_the_tree() -> None:
    """Every folder and module of the packages stands in docs/architecture.md, and nothing else does."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    (block,) = re.findall(r"```tree\n(.*?)```", text, flags=re.DOTALL)
    mapped: set[str] = set()
    folder = ""
    for line in block.splitlines():
        place, _, names = line.partition("  ")
        if place.strip():
            folder = place.strip().rstrip("/")
            mapped.add(folder)
        mapped |= {f"{folder}/{name}" for name in re.findall(r"[a-z][a-z0-9_]*", names.split("--")[0])}
    tree = set()
    for package in ("resnet_tl", "sweeps"):
        for path in (ROOT / package).rglob("*.py"):
            parts = path.relative_to(ROOT)
            if path.name == "__main__.py":
                continue  # the console script, which belongs to the folder
            if path.name == "__init__.py":
                tree.add(parts.parent.as_posix())
            elif "migrations" not in parts.parts:
                tree.add(parts.with_suffix("").as_posix())
    tree -= {place for place in tree if "/migrations" in place}
    assert mapped == tree
