"""However a study ends, what is done is kept, said and gone on from: a full disk, lost workers, kills, errors."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from benchmarks import kills
from tests.conftest import Run, write_images
from tests.sweeps.engine.test_run import STUDY, children_of, frame, start, wait_for_rows

WORDS = ["study=small.yaml", "trial.freeze=all"]
ONE_BY_ONE = ["study=small.yaml", "run.workers=1", "run.reuse=off"]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    write_images(tmp_path / "images")
    (tmp_path / "small.yaml").write_text(STUDY)
    return tmp_path


def run_with(
    home: Path, patch: str, *words: str, everywhere: bool = False, check: bool = False
) -> "subprocess.CompletedProcess[str]":
    """Runs a study after some lines of Python, in the driver or in every process."""
    environment = dict(os.environ)
    if everywhere:
        (home / "site").mkdir(exist_ok=True)
        (home / "site" / "sitecustomize.py").write_text(patch)
        environment["PYTHONPATH"] = f"{home / 'site'}:{environment.get('PYTHONPATH', '')}"
        patch = ""
    script = f"{patch}\nfrom resnet_tl.command import entry\nfrom sweeps.run import main\nentry(main)"
    return subprocess.run(
        [sys.executable, "-c", script, *words],
        cwd=home, env=environment, capture_output=True, text=True, check=check, timeout=300,
    )  # fmt: skip


NO_ROOM_FOR_PREDICTIONS = """
import os
sync = os.fsync
def fsync(descriptor):
    if "-0/.predictions" in os.readlink(f"/proc/self/fd/{descriptor}"):
        raise OSError(28, "No space left on device")
    sync(descriptor)
os.fsync = fsync
"""


def test_the_first_no_space_stops_a_study_and_throws_no_score_away(home: Path, run: Run) -> None:
    words = ONE_BY_ONE
    full = run_with(home, NO_ROOM_FOR_PREDICTIONS, *words, everywhere=True)
    assert full.returncode == 2, full.stdout + full.stderr
    assert "must have room for" in full.stderr
    assert "predictions.safetensors" in full.stderr
    assert "Traceback" not in full.stderr
    first = frame(home)
    assert first["state"].tolist() == ["complete"], "the one whose files could not be stored, and no other was trained"
    assert first["val/accuracy"].notna().all()
    assert not list((home / "mlruns" / ".work").glob("reserve*"))

    done = run("sweeps.run", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    again, first = (rows.drop(columns="trial_state") for rows in (frame(home)[:1], first))
    pd.testing.assert_frame_equal(again, first, check_exact=True)


def test_a_need_that_is_known_is_asked_for_before_training(home: Path) -> None:
    patch = "import shutil\nfree = shutil.disk_usage('/')._replace(free=40_000_000)\nshutil.disk_usage = lambda _: free"
    refused = run_with(home, patch, "study=small.yaml", "trial.weights=none", "trial.freeze=none")
    assert refused.returncode == 2, refused.stdout + refused.stderr
    assert re.search(r"must have room for 2\d\d MB of networks .* but has 40 MB.* run\.keep=best", refused.stderr)
    assert "trial 0" not in refused.stdout
    enough = run_with(home, patch, *WORDS, "run.keep=none", "trial.epochs=1")
    assert enough.returncode == 0, enough.stdout + enough.stderr


LEDGER_FULL_ONCE = """
from sweeps.storage import ledger
from sweeps.storage.schema import LedgerError
put, times = ledger.Ledger.put, []
def full(self, rows):
    times.append(1)
    if len(times) == 1:
        raise LedgerError("studies.db cannot be written: database or disk is full")
    put(self, rows)
ledger.Ledger.put = full
"""


def test_scores_go_into_the_reserve_when_the_ledger_finds_the_disk_full(home: Path) -> None:
    full = run_with(home, LEDGER_FULL_ONCE, *ONE_BY_ONE)
    assert full.returncode == 2, full.stdout + full.stderr
    assert "it is full, so that the study stops here" in full.stderr
    assert "(1 of 4 seed runs are done)" in full.stdout
    assert len(frame(home)) == 1


def test_an_error_of_the_program_costs_no_report(home: Path) -> None:
    patch = """
from sweeps.engine.kept_networks import KeptNetworks
def broken(*_):
    raise KeyError("a mistake of ours")
KeptNetworks.settle = broken
"""
    broken = run_with(home, patch, *WORDS)
    assert broken.returncode == 1
    assert "a mistake of ours" in broken.stderr
    assert "(4 of 4 seed runs are done)" in broken.stdout
    assert len(frame(home)) == 4


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGHUP])
def test_an_interrupted_study_reports_what_is_done(home: Path, sent: signal.Signals) -> None:
    process = start(home, "trial.epochs=30")
    wait_for_rows(home, 1)
    process.send_signal(sent)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "Interrupted" in output
    assert 1 <= len(frame(home)) < 4


@pytest.mark.slow
def test_a_worker_that_is_stopped_costs_its_run_one_more_try(home: Path) -> None:
    patch = "from sweeps.execution import watch\nwatch.STILL_S = 4.0\n"
    script = f"{patch}from resnet_tl.command import entry\nfrom sweeps.run import main\nentry(main)"
    process = subprocess.Popen(
        [sys.executable, "-c", script, "study=small.yaml", "trial.weights=none", "trial.epochs=40"],
        cwd=home, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    wait_for_rows(home, 1)
    workers = [pid for server in children_of(process.pid, "forkserver") for pid in children_of(server, "forkserver")]
    os.kill(workers[0], signal.SIGSTOP)
    output, _ = process.communicate(timeout=200)
    assert process.returncode == 0, output
    assert "showed no sign of life for" in output
    assert "trying once more" in output
    assert (frame(home)["state"] == "complete").all()
    assert not Path(f"/proc/{workers[0]}").exists()


@pytest.mark.slow
def test_kills_at_random_moments_change_nothing_that_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    assert kills.main(["count=9", "seed=7"]) == 0, capsys.readouterr().out


DIES_AT_STEP = """
import os, pathlib
left = [{step}]
def counted(kind, name):
    real = getattr(kind, name)
    def call(self, *args, **kwargs):
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), 9)
        return real(self, *args, **kwargs)
    setattr(kind, name, call)
counted(pathlib.Path, "rename")
counted(pathlib.Path, "replace")
from sweeps.storage.ledger import Ledger
for name in ("put", "put_study", "put_trials", "mark_tracked", "drop_networks"):
    counted(Ledger, name)
"""


@pytest.mark.slow
@pytest.mark.parametrize("keep", ["all", "best"])
def test_a_kill_before_any_move_or_mark_of_the_driver_is_made_good(home: Path, run: Run, keep: str) -> None:
    words = [*WORDS, "trial.epochs=1", f"run.keep={keep}"]
    assert run("sweeps.run", *words, "run.out=whole").returncode == 0
    begun = time.monotonic()
    for step in range(1, 200):
        died = run_with(home, DIES_AT_STEP.format(step=step), *words, "run.out=out")
        assert died.returncode in (0, -9), died.stdout + died.stderr
        if died.returncode == 0:
            break
    assert step > 5, f"it died at {step - 1} steps in {time.monotonic() - begun:.0f} s"
    whole, out = (kills.left(home / name, home / "cache", "small") for name in ("whole", "out"))
    del whole["cache"], out["cache"]
    assert out == whole
