"""What is no error of ours, takes too much time or memory, or writes elsewhere, is found by inputs of every kind."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz import KINDS

ROOT = Path(__file__).resolve().parent.parent


def tried(kind: str, seed: int, count: int, folder: Path) -> None:
    """Runs inputs in a process of their own, whose home and current folder are empty ones."""
    for name in ("here", "home"):
        (folder / name).mkdir()
    environment = os.environ | {"HOME": str(folder / "home"), "PYTHONPATH": str(ROOT)}
    environment.pop("XDG_CACHE_HOME", None)
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", kind, str(seed), str(count)],
        cwd=folder / "here", env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines()[-1].startswith(f"{count} {kind}: ")
    assert sorted(path.name for path in folder.iterdir()) == ["here", "home"]
    assert not any((folder / "home").iterdir()), "nothing may be written outside of the folders that were given"


@pytest.mark.parametrize("kind", KINDS)
def test_odd_inputs_are_read_or_refused(kind: str, tmp_path: Path) -> None:
    tried(kind, 0, 56, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_twenty_thousand_odd_inputs_are_read_or_refused(kind: str, tmp_path: Path) -> None:
    tried(kind, 1, 2223, tmp_path)
