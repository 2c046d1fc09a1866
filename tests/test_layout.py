"""Imports go one way, and heavy libraries are imported only where they are used."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# library -> the only modules that may import it
ONLY_IN = {
    "optuna": ["sweeps/definition/space.py", "sweeps/engine/study.py"],
    "mlflow": [
        "sweeps/engine/bulk.py",
        "sweeps/engine/publish.py",
        "sweeps/engine/record.py",
        "sweeps/engine/tracker.py",
    ],
    "sqlalchemy": ["sweeps/ledger.py"],
    "hydra": ["sweeps/definition/compose.py"],
    "pebble": ["sweeps/engine/execute.py"],
}


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


MODULES = sorted([*(ROOT / "resnet_tl").rglob("*.py"), *(ROOT / "sweeps").rglob("*.py")])


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_keep_their_direction(path: Path) -> None:
    name, found = path.relative_to(ROOT).as_posix(), imports(path)
    for library, allowed in ONLY_IN.items():
        if name not in allowed:
            assert not {m for m in found if m.split(".")[0] == library}, f"{library} belongs to {allowed}"
    if name.startswith("resnet_tl/"):
        assert not {m for m in found if m.split(".")[0] == "sweeps"}
    if name.startswith("sweeps/reporting/"):
        assert not {m for m in found if m.startswith(("sweeps.engine", "torch."))} - {"torchvision.models"}
        assert "sweeps.definition.plan" not in found
        assert "torch" not in found
    if name.startswith("sweeps/statistics/"):
        assert not {m for m in found if m.startswith("sweeps.") and not m.startswith("sweeps.statistics")}
        assert not {m for m in found if m.startswith("resnet_tl")}
    if name.startswith("sweeps/definition/"):
        assert not {m for m in found if m.startswith(("sweeps.engine", "sweeps.reporting", "sweeps.ledger"))}


@pytest.mark.parametrize(
    "module",
    [
        "resnet_tl.config",
        "resnet_tl.stage",
        "sweeps.run",
        "sweeps.report",
        "sweeps.reporting.report",
        "sweeps.status",
        "sweeps.engine.session",
    ],
)
def test_importing_does_not_load_what_is_not_needed(module: str) -> None:
    heavy = "{'torch', 'torchvision', 'mlflow', 'sklearn', 'optuna'}"
    code = f"import sys, {module}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"
