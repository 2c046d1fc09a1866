"""Whole studies whose ledger is in PostgreSQL, run as a user runs them."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.conftest import Run, write_images
from tests.postgres import PASSWORD, USER, PostgresServer

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

STUDY = """
study:
  {name: small, question: "Which?", method: bayes, trials: 3, seeds: [0, 1], space: {lr: {min: 1e-3, max: 1e-1}},
   tables: [summary, flat]}
trial: {backbone: resnet18, weights: none, freeze: layer3, optimizer: sgd, epochs: 2, batch_size: 8}
data: {source: image_folder, root: images, size: 32}
run: {cache: cache, workers: 1}
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    write_images(tmp_path / "images")
    (tmp_path / "small.yaml").write_text(STUDY)
    return tmp_path


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """What the study comes to in SQLite."""
    home = tmp_path_factory.mktemp("plain")
    write_images(home / "images")
    (home / "small.yaml").write_text(STUDY)
    subprocess.run([sys.executable, "-m", "sweeps.run", "study=small.yaml", "run.out=out"], cwd=home, check=True)
    return frame(home)


def frame(home: Path) -> pd.DataFrame:
    return pd.read_csv(home / "out" / "reports" / "small.csv").drop(columns="wall_s")


def has_results(server: PostgresServer, address: str) -> bool:
    """Whether a ledger has a seed run that has ended."""
    name = address.rpartition("/")[2]
    if server.execute("SELECT to_regclass('sweeps_seed_runs') IS NOT NULL", name) != [(True,)]:
        return False
    return server.execute("SELECT count(*) > 0 FROM sweeps_seed_runs", name) == [(True,)]


def require_hidden(home: Path, *printed: str) -> None:
    """No file, no name of a file and nothing that was printed holds the login."""
    texts = [text.encode() for text in printed]
    texts += [os.fsencode(path) for path in home.rglob("*")]
    texts += [path.read_bytes() for path in home.rglob("*") if path.is_file()]
    for secret in (USER, PASSWORD, "s3cret%2Fpass%40word"):
        assert not [text for text in texts if secret.encode() in text]


def test_a_study_in_postgres_has_the_numbers_of_one_in_sqlite(
    home: Path, run: Run, postgres: str, postgres_server: Any, plain: pd.DataFrame
) -> None:
    storage = f"run.storage={postgres}"
    printed = []
    for words in (["run.dry_run=true"], [], []):  # planned, done, and started again
        done = run("sweeps.run", "study=small.yaml", "run.out=out", storage, *words)
        assert done.returncode == 0, done.stdout + done.stderr
        printed += [done.stdout, done.stderr]
    assert "all 6 seed runs are done; nothing was trained" in printed[-2]
    shown = "postgresql://127.0.0.1:"
    assert f"Ledger         {shown}" in printed[-2]
    assert not list(home.rglob("out/**/studies*.db*"))
    pd.testing.assert_frame_equal(frame(home), plain, check_exact=True)

    # every command that reads the ledger
    report = (home / "out" / "reports" / "small.md").read_text()
    for module, words, said in (
        ("sweeps.report", ["study=small"], report),
        ("sweeps.status", [], "3 trials × 2 seeds: 6 complete"),
        ("sweeps.ensemble", ["study=small", "method=mean"], "| mean"),
    ):
        told = run(module, *words, "run.out=out", storage)
        assert told.returncode == 0, told.stderr
        assert said in told.stdout
        printed += [told.stdout, told.stderr]
        elsewhere = run(module, *words, "run.out=out")
        assert "studies.db" in elsewhere.stdout + elsewhere.stderr, "without the word it is looked for in the folder"
    (home / "doc.md").write_text("<!-- sweeps: study=small table=flat -->\n<!-- /sweeps -->\n")
    assert run("sweeps.report", "docs=doc.md", "run.out=out", storage).returncode == 0
    assert run("sweeps.report", "docs=doc.md", "run.out=out", storage, "check=true").returncode == 0
    assert f"run.storage={shown}" in report, "its last line says how it was run, without the login"
    records = postgres_server.execute("SELECT record::text FROM sweeps_studies", postgres.rpartition("/")[2])
    require_hidden(home, *printed, *map(str, records))

    # the login may be in the environment
    bare = postgres.replace(postgres.partition("://")[2].rpartition("@")[0] + "@", "")
    environment = os.environ | {"PGUSER": USER, "PGPASSWORD": PASSWORD}
    words = [sys.executable, "-m", "sweeps.status", f"run.storage={bare}"]
    told = subprocess.run(words, cwd=home, capture_output=True, text=True, check=False, env=environment)
    assert "6 complete" in told.stdout, told.stderr


def test_a_server_that_is_gone_for_ten_seconds_ends_no_study(
    home: Path, postgres: str, postgres_server: Any, plain: pd.DataFrame
) -> None:
    storage = f"run.storage={postgres}"
    words = [sys.executable, "-m", "sweeps.run", "study=small.yaml", "run.out=out", storage]
    name = postgres.rpartition("/")[2]
    with (home / "output").open("w+") as output:
        driver = subprocess.Popen(words, cwd=home, stdout=output, stderr=output)

        def interrupt() -> None:
            while driver.poll() is None:
                there = postgres_server.execute("SELECT to_regclass('sweeps_seed_runs') IS NOT NULL", name)
                if there == [(True,)] and postgres_server.execute("SELECT count(*) FROM sweeps_seed_runs", name) > [
                    (0,)
                ]:
                    break
                time.sleep(0.05)
            postgres_server.stop()
            time.sleep(10)
            postgres_server.start()

        thread = threading.Thread(target=interrupt)
        thread.start()
        status = driver.wait(timeout=250)
        thread.join()
        output.seek(0)
        said = output.read()
    assert status == 0, said
    pd.testing.assert_frame_equal(frame(home), plain, check_exact=True)
    (count,) = postgres_server.execute("SELECT count(*) FROM trials", name)
    assert count == (3,), "of Optuna's record"
    require_hidden(home, said)


def test_a_server_that_stays_away_costs_no_result(
    home: Path, run: Run, postgres: str, postgres_server: Any, plain: pd.DataFrame
) -> None:
    storage = f"run.storage={postgres}"
    script = (
        "from sweeps.storage import postgres; postgres.PATIENCE_S = 2.0\n"
        "from sweeps.run import main; from resnet_tl.command import entry\n"
        "entry(main)\n"
    )
    words = [sys.executable, "-c", script, "study=small.yaml", "run.out=out", storage]
    driver = subprocess.Popen(words, cwd=home, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    while driver.poll() is None:
        if has_results(postgres_server, postgres):
            break
        time.sleep(0.05)
    postgres_server.stop()
    try:
        said, _ = driver.communicate(timeout=200)
        assert driver.returncode == 2, said
        assert "could not for 2 s" in said
        assert "Traceback" not in said
        refused = run("sweeps.run", "study=small.yaml", "run.out=out", storage)
        assert refused.returncode == 2
        assert "must be a PostgreSQL database that can be reached" in refused.stderr
    finally:
        postgres_server.start()
    kept = list((home / "out" / "mlruns" / ".work" / "unwritten").glob("*.json"))
    assert len(kept) == ("just ended are kept" in said)
    done = run("sweeps.run", "study=small.yaml", "run.out=out", storage)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not list((home / "out" / "mlruns" / ".work" / "unwritten").glob("*.json"))
    pd.testing.assert_frame_equal(frame(home), plain, check_exact=True)
    require_hidden(home, said, refused.stderr, done.stdout)
