"""What is no error of ours, takes too much time or memory, or writes elsewhere, is found by inputs of every kind."""

import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from tests.fuzz import KINDS, TooSlow, too_slow

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


def test_no_code_that_is_tried_can_take_the_alarm_for_an_error_of_its_own() -> None:
    assert not issubclass(TooSlow, Exception)
    with pytest.raises(TooSlow):
        too_slow()


@pytest.mark.filterwarnings("ignore")
def test_odd_tensors_are_tried_in_safetensors_files_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from safetensors import torch as files

    monkeypatch.chdir(tmp_path)
    tried: list[frozenset[str]] = []
    save = files.save

    def noted(tensors: dict[str, object]) -> bytes:
        tried.append(frozenset(tensors))
        return save(tensors)

    monkeypatch.setattr(files, "save", noted)
    monkeypatch.setattr("resnet_tl.model.weights.check", lambda *_: None)
    one = KINDS["weights"]()
    for number in range(60):
        one(Random(str(number)))
    assert len(set(tried)) > 5


@pytest.mark.filterwarnings("ignore")
def test_each_damaged_network_is_tried_on_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tried: list[bytes] = []

    def noted(folder: Path) -> None:
        tried.append((folder / "model.safetensors").read_bytes())

    monkeypatch.setattr("resnet_tl.inference.export.rebuild", noted)
    one = KINDS["cards"]()
    sound = (tmp_path / "fitted" / "checkpoint" / "model.safetensors").read_bytes()
    for number in range(40):
        one(Random(str(number)))
        assert (tmp_path / "fitted" / "checkpoint" / "model.safetensors").read_bytes() == sound
    assert any(content != sound for content in tried)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_twenty_thousand_odd_inputs_are_read_or_refused(kind: str, tmp_path: Path) -> None:
    tried(kind, 1, 2223, tmp_path)
