"""Every command line of both packages explains itself at once, and is found by the console scripts and by shells."""

import importlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import resnet_tl
import sweeps
from resnet_tl.command import command, commands_of, described_in, options_of
from resnet_tl.completion import script
from resnet_tl.config import DataConfig, TrialConfig

ROOT = Path(__file__).resolve().parents[2]
MODULES = [f"{package.__name__}.{name}" for package in (resnet_tl, sweeps) for name in commands_of(package)]
SLOW_TO_LOAD = {
    "torch", "torchvision", "mlflow", "sklearn", "optuna", "sqlalchemy", "alembic", "hydra", "pandas", "scipy",
    "matplotlib", "plotly", "ray",
}  # fmt: skip

OPTIONS = {"study": (), "trial.optimizer": ("sgd", "adam"), "out": ()}


def test_the_commands_are_the_modules_that_can_be_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert {"run", "report", "status", "doctor", "ensemble", "describe"} <= set(commands_of(sweeps))
    assert {"fit", "predict", "evaluate", "export", "pretrain", "patches", "describe", "cache"} == set(
        commands_of(resnet_tl)
    )
    package = tmp_path / "some"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "words.py").write_text("raise RuntimeError('listing commands must not import them')")
    (package / "go.py").write_text('"""python -m some.go: goes."""\n\nif __name__ == "__main__":\n    pass\n')
    monkeypatch.syspath_prepend(tmp_path)
    assert commands_of(importlib.import_module("some")) == {"go": "Goes."}


ASKED = """
import importlib, io, json, sys
from contextlib import redirect_stdout
from resnet_tl.command import described_in
found = {}
for name in %r:
    module = importlib.import_module(name)
    with redirect_stdout(io.StringIO()) as out:
        status = module.main(["-h"])
    known = [word for each in ("WORDS", "ALLOWED", "OPTIONS") for word in getattr(module, each, ())]
    told = list(described_in(module.__doc__, name))
    told += [option for section in getattr(module.main, "sections", tuple)() for option in section.options]
    found[name] = {"status": status, "help": out.getvalue(), "known": known, "told": told}
print(json.dumps({"commands": found, "loaded": sorted(%r & set(sys.modules))}))
"""


@pytest.fixture(scope="module")
def asked() -> dict[str, Any]:
    """What all commands say, in a process of their own: once imported, `resnet_tl.fit` hides the function."""
    code = ASKED % (MODULES, SLOW_TO_LOAD)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_help_needs_no_library_that_takes_time(asked: dict[str, Any]) -> None:
    assert asked["loaded"] == []


@pytest.mark.parametrize("module", MODULES)
def test_help_begins_with_what_it_is_for_and_an_example(module: str, asked: dict[str, Any]) -> None:
    said = asked["commands"][module]
    first, blank, example, *_ = said["help"].splitlines()
    assert said["status"] == 0
    assert first.endswith(".")
    assert not blank
    assert example.startswith(f"    python -m {module}")


@pytest.mark.parametrize("module", MODULES)
def test_help_and_shells_know_the_words_that_a_command_takes(module: str, asked: dict[str, Any]) -> None:
    said = asked["commands"][module]
    assert not set(said["known"]) - set(said["told"])


def test_a_command_that_needs_words_explains_itself_without_any(capsys: pytest.CaptureFixture[str]) -> None:
    main = command(needs_words=True, sections=lambda: [options_of(TrialConfig, "trial")])(lambda words: 7)
    assert main([]) == 2
    assert "trial.*\n  trial.backbone  (required)" in capsys.readouterr().out
    assert main(["--help"]) == 0
    assert main(["x=1"]) == 7


def call(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True, check=False, cwd=ROOT)


def test_the_first_word_names_a_command(tmp_path: Path) -> None:
    done = call("sweeps", "status", f"run.out={tmp_path}")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"No study has run in {tmp_path}" in done.stdout
    done = call("resnet_tl", "describe", "trial.backbone=resnet18", "format=tabel")
    assert done.returncode == 2
    assert "did you mean `table`?" in done.stderr


def test_commands_are_listed_and_a_slip_gets_the_nearest() -> None:
    listed = call("sweeps", "--help")
    assert listed.returncode == 0
    assert "  run         Runs a study, or finishes what it lacks" in listed.stdout
    bare = call("sweeps")
    assert (bare.returncode, bare.stdout) == (2, listed.stdout)
    slip = call("sweeps", "reprot")
    assert (slip.returncode, slip.stdout) == (2, "")
    assert slip.stderr == "error: `reprot` is not a command of sweeps; did you mean `report`?\n"
    assert call("resnet_tl", "--version").stdout == f"resnet-sweeps {resnet_tl.__version__}\n"
    assert "needs one of bash, zsh, fish, but got tcsh" in call("sweeps", "completion", "tcsh").stderr


def test_the_shell_is_told_every_command_and_option() -> None:
    told = call("resnet_tl", "completion", "bash").stdout
    assert all(name in told for name in commands_of(resnet_tl))
    options = [
        *(f"trial.{name}=" for name in TrialConfig.model_fields),
        *(f"data.{n}=" for n in DataConfig.model_fields),
    ]
    assert not [option for option in options if option not in told]
    assert "trial.optimizer=adamw" in told
    assert "data.skip_bad=true" in told


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("sweeps r", "run"),
        ("sweeps run st", "study="),
        ("sweeps run trial.optimizer=", "sgd adam"),
        ("sweeps run trial.optimizer=a", "adam"),
        ("sweeps run study=some", "some.yaml"),
        ("sweeps run --", "--help"),
    ],
)
def test_bash_completes(line: str, expected: str, tmp_path: Path) -> None:
    if shutil.which("bash") is None:
        pytest.skip("there is no bash here")
    (tmp_path / "some.yaml").write_text("")
    told = script("bash", "sweeps", {"run": OPTIONS, "status": {}})
    words = line.split(" ")
    asked = (
        f"{told}\ncompopt() {{ :; }}\nCOMP_LINE='{line}'; COMP_POINT=${{#COMP_LINE}}; COMP_WORDS=({line})\n"
        f'COMP_CWORD={len(words) - 1}; _sweeps; echo "${{COMPREPLY[*]}}"'
    )
    done = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.strip() == expected


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_can_read_their_script(shell: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell} here")
    path = tmp_path / "script"
    path.write_text(script(shell, "sweeps", {"run": OPTIONS}))
    subprocess.run([shell, "-n", str(path)], check=True)


def test_docstrings_list_options_for_the_shell() -> None:
    doc = """python -m a.b: does.

    python -m a.b study=NAME [format=csv|json]

run.x=1      one        run.y=2    another
nothing of [this=that] or so=much
    checkpoint=FOLDER [more=1]
"""
    assert described_in(doc, "a.b") == {"study": (), "format": ("csv", "json"), "run.y": (), "more": ()}
