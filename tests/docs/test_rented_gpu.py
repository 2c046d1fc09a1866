"""docs/examples/rented_gpu.sh, with a folder of this machine in place of the rented one and no network."""

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from sweeps.storage.database import database_of

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "docs" / "examples" / "rented_gpu.sh"
STUDY = """
study: {name: tiny, question: q, method: grid, metric: val/accuracy, seeds: [0], space: {lr: {values: [0.01, 0.03]}}}
trial: {backbone: resnet18, weights: none, optimizer: sgd, epochs: 1, batch_size: 16}
data: {source: digits_5_9, size: 16, val_fraction: 0.2, test_fraction: 0.75}
"""

pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, ("bash", "rsync", "flock", "setsid"))), reason="needs bash, rsync, flock and setsid"
)


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A folder that `ssh rented` leads to, whose environment is ours."""

    home: Path
    ssh: Path

    @property
    def work(self) -> Path:
        """Where the script works there."""
        return self.home / "resnet-sweeps"

    def run(self, *words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        """The script with these words."""
        settings = {"SSH": str(self.ssh), "DEVICE": "cpu", "WORK": self.work.name, "PYTHON": ""} | environment
        return subprocess.run(
            ["bash", str(SCRIPT), *words], capture_output=True, text=True, env=os.environ | settings, timeout=300
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """One on which the project is installed already."""
    home = tmp_path / "machine"
    venv = home / "resnet-sweeps" / "venv"
    (venv / "bin").mkdir(parents=True)
    python = venv / "bin" / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    shutil.copy(ROOT / "pyproject.toml", venv / "installed.toml")
    ssh = tmp_path / "ssh"
    # like ssh, it has a shell of the other machine read the words as one line
    ssh.write_text(f'#!/bin/sh\n[ "$1" = rented ] || exit 255\nshift\ncd "{home}" && HOME="{home}" exec bash -c "$*"\n')
    ssh.chmod(0o755)
    return Machine(home=home, ssh=ssh)


@pytest.fixture
def written(machine: Machine) -> Machine:
    """One that has a ledger, a log and an exit status."""
    out = machine.work / "out"
    (out / "mlruns" / "networks").mkdir(parents=True)
    database_of(out).open().close()
    (out / "mlruns" / "networks" / "n").write_text("network")
    (machine.work / "run.log").write_text("line\n")
    (machine.work / "exit_status").write_text("0\n")
    return machine


def _count(path: Path) -> int:
    connection = sqlite3.connect(path)
    try:
        return connection.execute("SELECT count(*) FROM sweeps_trials").fetchone()[0]
    finally:
        connection.close()


def _add(connection: sqlite3.Connection, fingerprint: str) -> None:
    connection.execute("INSERT INTO sweeps_trials VALUES ('of no study', 0, ?, '{}', '{}')", [fingerprint])
    connection.commit()


@pytest.mark.slow
def test_a_study_goes_there_runs_and_comes_home(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "my study.yaml").write_text(STUDY)
    home = tmp_path / "at home"
    started = machine.run("start", "rented", str(tmp_path / "my study.yaml"), "-", "trial.epochs=2")
    assert started.returncode == 0, started.stderr
    assert "2 seed runs in all, 0 done, 2 to do" in started.stdout
    for _ in range(240):
        status = machine.run("status", "rented")
        if "ended" in status.stdout:
            break
        time.sleep(0.5)
    assert "ended with exit status 0" in status.stdout
    fetched = machine.run("fetch", "rented", str(home))
    assert fetched.returncode == 0, fetched.stderr
    assert "2 trials × 1 seed: 2 complete" in fetched.stdout
    assert "still running" not in fetched.stdout
    assert (home / "reports" / "tiny.csv").read_text().count("complete") >= 2
    assert (home / "mlruns" / "best" / "tiny" / "model.safetensors").exists()
    assert not (home / "mlruns" / ".work").exists()


def test_images_are_sent_as_they_are_at_home(machine: Machine, tmp_path: Path) -> None:
    images = tmp_path / "my images"
    (images / "cat").mkdir(parents=True)
    (tmp_path / "elsewhere.png").write_text("picture")
    (images / "cat" / "1.png").symlink_to(tmp_path / "elsewhere.png")
    stale = machine.work / "images" / "my_images" / "dog" / "2.png"
    stale.parent.mkdir(parents=True)
    stale.write_text("was sent before, and is not there any more")
    (tmp_path / "study.yaml").write_text("study: {nme: x}")  # refused by the dry run, which comes after the sending
    started = machine.run("start", "rented", str(tmp_path / "study.yaml"), str(images))
    assert started.returncode == 2
    assert "did you mean `name`" in started.stderr
    sent = machine.work / "images" / "my_images"
    assert [path.relative_to(sent).as_posix() for path in sent.rglob("*.png")] == ["cat/1.png"]
    assert not (sent / "cat" / "1.png").is_symlink(), "what it leads to exists at home alone"
    assert (sent / "cat" / "1.png").read_text() == "picture"
    assert not (machine.work / "run.log").exists(), "nothing was started"
    assert sorted(path.name for path in (machine.work / "project").iterdir()) == [
        "README.md", "pyproject.toml", "resnet_tl", "sweeps",
    ]  # fmt: skip


def test_rows_that_are_only_in_the_log_of_a_database_come_home(written: Machine, tmp_path: Path) -> None:
    driver = sqlite3.connect(written.work / "out" / "studies.db")
    _add(driver, "new")
    assert (written.work / "out" / "studies.db-wal").stat().st_size > 0, "else this tests nothing"
    written.run("fetch", "rented", str(tmp_path / "home"))
    driver.close()
    assert _count(tmp_path / "home" / "studies.db") == 1


def test_a_fetch_during_the_run_says_that_it_is_not_the_last(written: Machine, tmp_path: Path) -> None:
    holds = ["flock", "--no-fork", str(written.work / "run.lock"), "sleep", "60"]
    with subprocess.Popen(holds) as running:
        for _ in range(100):
            if "running" in written.run("status", "rented").stdout.splitlines()[:1]:
                break
        fetched = written.run("fetch", "rented", str(tmp_path / "home"))
        again = written.run("start", "rented", "quickstart", "-")
        running.terminate()
    assert "The study was still running: fetch again" in fetched.stdout
    assert again.returncode == 2
    assert "A study is running on this machine already" in again.stderr


def test_a_ledger_at_home_is_replaced_only_where_it_is_what_was_fetched(written: Machine, tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert written.run("fetch", "rented", str(home)).returncode == 0
    assert written.run("fetch", "rented", str(home)).returncode == 0
    ledger = sqlite3.connect(home / "studies.db")
    _add(ledger, "run at home")
    in_log = written.run("fetch", "rented", str(home))
    ledger.close()
    in_file = written.run("fetch", "rented", str(home))
    for refused in (in_log, in_file):
        assert refused.returncode == 2
        assert "was written since it was fetched" in refused.stderr
    assert _count(home / "studies.db") == 1
    own = tmp_path / "own"
    own.mkdir()
    database_of(own).open().close()
    refused = written.run("fetch", "rented", str(own))
    assert refused.returncode == 2
    assert "has a studies.db of its own" in refused.stderr


def test_logs_of_the_copy_before_are_not_left_beside_new_databases(written: Machine, tmp_path: Path) -> None:
    home = tmp_path / "home"
    with sqlite3.connect(written.work / "out" / "mlruns" / "mlflow.db") as tracked:
        tracked.execute("CREATE TABLE runs (name)")
    written.run("fetch", "rented", str(home))
    (home / "mlruns" / "mlflow.db-wal").write_bytes(b"left by a browser that was killed")
    (home / "studies.db-wal").touch()
    assert written.run("fetch", "rented", str(home)).returncode == 0
    assert not list(home.rglob("*.db-wal"))


@pytest.mark.parametrize(
    ("words", "environment", "said"),
    [
        (("start", "rented", "no_such_study", "-"), {}, "STUDY must be a file or the name of a study of the project"),
        (("start", "rented", "quickstart", "no such folder"), {}, "IMAGES must be a folder, or - for none"),
        (
            ("start", "rented", "quickstart", "-"),
            {"PYTHON": "/no/python"},
            "must have Python 3.11 or newer, but /no/python",
        ),
        (
            ("start", "rented", "quickstart", "-"),
            {"DEVICE": "cuda"},
            "must have an NVIDIA GPU",
        ),
        (("start", "-oProxyCommand=x", "quickstart", "-"), {}, "HOST must not begin with a dash"),
        (("status", "rented"), {"WORK": "a b"}, "WORK must hold letters"),
        (("status", "rented"), {"WORK": "elsewhere"}, "Nothing was started in elsewhere"),
        (("fetch", "rented"), {}, "Runs a study on a rented machine"),
        (("fetch", "rented", "home"), {}, "There is no studies.db on this machine yet"),
        (("strat", "rented"), {}, "Runs a study on a rented machine"),
    ],
)
def test_wrong_words_are_refused_with_what_to_do(
    machine: Machine, words: tuple[str, ...], environment: dict[str, str], said: str
) -> None:
    if environment.get("DEVICE") == "cuda" and shutil.which("nvidia-smi"):
        pytest.skip("there is a GPU here")
    refused = machine.run(*words, **environment)
    assert refused.returncode == 2
    assert said in refused.stderr
