"""MLflow's UI as a person meets it: what is refused, what is seen, and that nothing is left running."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from resnet_tl.errors import ConfigError
from sweeps.ui import main
from tests.browser import Page, chromium
from tests.conftest import write_images

STUDY = """
study:
  name: drawn
  question: Which learning rate?
  method: grid
  seeds: [0, 1]
  space: {lr: {values: [0.003, 0.03]}, head: {values: [linear, mlp_relu]}}
trial: {backbone: resnet18, weights: none, freeze: all, optimizer: sgd, epochs: 2, batch_size: 8}
data: {source: image_folder, root: images, size: 32}
run: {out: ., cache: cache}
"""
MOST_S = 200.0
HEADINGS = "JSON.stringify([...document.querySelectorAll('.ag-header-cell[col-id]')].map(e => e.innerText.trim()))"
CELLS = """JSON.stringify([...document.querySelectorAll('.ag-cell[col-id="metrics.`val/accuracy`"]')].map(
    e => [Number(e.closest('.ag-row').getAttribute('row-index')), e.innerText]))"""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["port=no"], "`port` must be a number from 1 to 65535, but got 'no'"),
        (["port=70000"], "`port` must be a number"),
        (["open=1"], "`open` must be true or false"),
        (["stuyd=x"], "did you mean `study`"),
        (["run.tracking_uri=http://h:1", "port=5001"], "`port` does not go with a server"),
        ([], r"there is no .*mlflow\.db; give run.out=FOLDER"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_starts(words: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        main([f"run.out={tmp_path}", *words])
    assert not list(tmp_path.iterdir())


def test_a_port_that_is_taken_or_that_browsers_refuse_is_named(tmp_path: Path) -> None:
    (tmp_path / "mlruns").mkdir()
    (tmp_path / "mlruns" / "mlflow.db").touch()
    with pytest.raises(ConfigError, match="browsers open, but they refuse 5061"):
        main([f"run.out={tmp_path}", "port=5061"])
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(
            ConfigError, match=r"`port` must be free, but \d+ cannot be used \(Address already in use\)"
        ):
            main([f"run.out={tmp_path}", f"port={taken.getsockname()[1]}"])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a study has run."""
    home = tmp_path_factory.mktemp("home")
    write_images(home / "images", count=20)
    (home / "drawn.yaml").write_text(STUDY)
    done = subprocess.run(
        [sys.executable, "-m", "sweeps.run", "study=drawn.yaml"], cwd=home, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Browse runs    python -m sweeps.ui study=drawn\n" in done.stdout
    assert "MLflow lacks" not in done.stdout
    return home


@contextmanager
def started(command: list[str], home: Path, mark: str) -> Iterator[tuple["subprocess.Popen[bytes]", str]]:
    """A program of a group of its own, once it has said something; what it said."""
    said = home / "said.txt"
    with said.open("w") as stream:
        process = subprocess.Popen(
            command, cwd=home, stdout=stream, stderr=stream, start_new_session=True,
            env=os.environ | {"PATH": "/usr/bin:/bin"},  # where there is no mlflow
        )  # fmt: skip
    try:
        deadline = time.monotonic() + MOST_S
        while mark not in said.read_text():
            assert process.poll() is None, said.read_text()
            assert time.monotonic() < deadline, said.read_text()
            time.sleep(0.2)
        yield process, said.read_text()
    finally:
        process.terminate()  # not killed at once, since it has to end what it started
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def below(process: int) -> set[int]:
    """The processes that a process has started, and those that these have."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    parents = {int(child): int(parent) for child, parent in map(str.split, listed.splitlines())}
    found = {process}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {process}


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.skipif(chromium() is None, reason="there is no Chromium")
def test_the_link_opens_the_trials_by_rank_and_ctrl_c_leaves_nothing(home: Path, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "sweeps.ui", "study=drawn", f"port={free_port()}"]
    with started(words, home, "Ctrl-C ends it.") as (process, said):
        trials, report = (line.split()[1] for line in said.splitlines() if line.startswith("  "))
        assert len(trials) < 110
        with Page(tmp_path / "profile", width=1500, height=760) as browser:
            browser.open(trials)
            seen = browser.wait_for("4 matching runs", "val/accuracy_sd", "Trials by rank")
            browser.screenshot(home / "trials.png", whole=False)
            headings = browser.run(HEADINGS)
            assert {"Run Name", "val/accuracy", "val/accuracy_sd", "n", "head", "lr"} <= set(json.loads(headings))
            means = scores_of(home)
            rows = [line for line in seen.splitlines() if line.startswith("trial ")]
            assert rows == [f"trial {number}" for number, _ in means]
            cells = [text for _, text in sorted(json.loads(browser.run(CELLS)))]
            assert [float(text) for text in cells] == pytest.approx([mean for _, mean in means], abs=1e-9)
            browser.open(report)
            browser.wait_for("Best by val/accuracy", "Registered models", "drawn")
            browser.screenshot(home / "report.png", whole=False)
            browser.open(f"{report.partition('#')[0]}#/models/drawn")
            browser.wait_for("Version 1", "best", "fingerprint")
            browser.screenshot(home / "model.png", whole=False)
        children = below(process.pid)
        assert children
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0
        assert not children & {int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()}


def scores_of(home: Path) -> list[tuple[int, float]]:
    """Number and mean of each trial, best first, as the report's CSV has them."""
    import pandas as pd

    frame = pd.read_csv(home / "reports" / "drawn.csv")
    means = frame.groupby("trial")["val/accuracy"].mean().sort_values(ascending=False, kind="stable")
    assert means.is_unique, "trials of equal score have no order"
    return [(int(str(number)), float(mean)) for number, mean in means.items()]


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.skipif(chromium() is None, reason="there is no Chromium")
@pytest.mark.skipif(shutil.which("optuna-dashboard") is None, reason="optuna-dashboard is not installed")
def test_optunas_dashboard_opens_the_ledger_as_it_is(home: Path, tmp_path: Path) -> None:
    program, port = shutil.which("optuna-dashboard"), free_port()
    assert program is not None
    command = [sys.executable, program, "sqlite:///studies.db", "--port", str(port), "--server", "wsgiref"]
    with started(command, home, "Listening"), Page(tmp_path / "profile", width=1500, height=760) as browser:
        browser.open(f"http://127.0.0.1:{port}/dashboard")
        browser.wait_for("drawn", "MAXIMIZE")
        browser.open(f"http://127.0.0.1:{port}/dashboard/studies/1/trials")
        browser.wait_for("Trial 3", "Complete")
        browser.screenshot(home / "optuna.png", whole=False)


@pytest.mark.slow
def test_an_unknown_study_is_refused_with_those_that_are_there(home: Path) -> None:
    with pytest.raises(ConfigError, match="`study=` must name a study that MLflow has, but got drwan; did you mean"):
        main([f"run.out={home}", "study=drwan", f"port={free_port()}"])
