"""The doctor finds what was broken, mends it, and loses no result."""

import json
import os
import shutil
from pathlib import Path

import pytest

from sweeps.doctor import main
from sweeps.storage.database import database_of
from tests.conftest import write_images
from tests.sweeps.engine.test_run import STUDY


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that ran to its end."""
    from sweeps.run import main as run_study

    home = tmp_path_factory.mktemp("finished")
    write_images(home / "images")
    (home / "small.yaml").write_text(STUDY)
    before = Path.cwd()
    os.chdir(home)
    try:
        assert run_study(["study=small.yaml", "trial.freeze=all", "run.out=out"]) == 0
    finally:
        os.chdir(before)
    return home


@pytest.fixture
def home(finished: Path, tmp_path: Path) -> Path:
    """A copy of it, to be broken."""
    shutil.copytree(finished, tmp_path / "home", symlinks=True)
    return tmp_path / "home"


def told(home: Path, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    capsys.readouterr()
    status = main([f"run.out={home / 'out'}", f"run.cache={home / 'cache'}", *words])
    return status, capsys.readouterr().out


def test_what_is_well_is_left_alone(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert told(home, capsys) == (0, "All is well.\n")


def test_all_that_is_broken_is_found_and_mended(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, cache = home / "out", home / "cache"
    first, second = sorted((out / "mlruns" / "networks" / "small").glob("*-*"))[:2]
    shutil.rmtree(first / "checkpoint")
    (second / ".checkpoint.123.part").mkdir()
    (out / "reports" / ".small.images.safetensors.123.part").write_bytes(b"half")
    stranger = second.with_name("f00d-7")
    stranger.mkdir()
    note = {
        "host": "h",
        "pid": 1,
        "told": "2020-01-01T00:00:00+00:00",
        "done": 1,
        "total": 4,
        "left_s": None,
        "jobs": [],
    }
    work = out / "mlruns" / ".work" / "studies" / "small"
    work.mkdir(parents=True, exist_ok=True)
    (work / "driver.json").write_text(json.dumps(note))
    (features,) = list((cache / "features").glob("[!.]*"))[:1]
    content = bytearray((features / "outputs.bin").read_bytes())
    content[5] ^= 1
    (features / "outputs.bin").write_bytes(content)
    ledger = database_of(out).open()
    kept = ledger.seed_runs("small")
    lost = kept[-1].fingerprint, kept[-1].seed
    ledger.close()
    import sqlite3

    with sqlite3.connect(out / "mlruns" / "mlflow.db") as connection:
        (run_id,) = connection.execute(
            "SELECT f.run_uuid FROM tags f JOIN tags s USING (run_uuid) "
            "WHERE f.key = 'fingerprint' AND f.value = ? AND s.key = 'seed' AND s.value = ?",
            (lost[0], str(lost[1])),
        ).fetchone()
        connection.execute("UPDATE tags SET value = 'astray' WHERE run_uuid = ? AND key = 'fingerprint'", (run_id,))
    expected = [
        "1 seed run should have a network",
        "1 folders of networks are of seed runs that this ledger does not know (f00d-7)",
        "2 files or folders are left of starts that were killed",
        "its last driver was killed",
        "MLflow lacks 1 seed run that it once had",
        "MLflow has 1 seed run that the ledger does not know",
        "outputs.bin must have sha256",
    ]
    status, found = told(home, capsys)
    assert status == 1
    assert [line for line in expected if line not in found] == []
    assert "7 found, 0 mended" in found
    assert told(home, capsys)[1] == found, "looking changes nothing"
    status, mended = told(home, capsys, "repair=true")
    assert "7 found, 6 mended" in mended, "the folder of another ledger is the user's"
    assert status == 1
    stranger.rmdir()
    assert told(home, capsys) == (0, "All is well.\n")
    ledger = database_of(out).read()
    after = ledger.seed_runs("small")
    ledger.close()
    assert [(r.fingerprint, r.seed, r.metrics) for r in after] == [(r.fingerprint, r.seed, r.metrics) for r in kept]


def test_a_damaged_ledger_is_named_and_nothing_else_is_asked_of_it(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = home / "out" / "studies.db"
    content = bytearray(path.read_bytes())
    content[4096:9000] = bytes(4904)
    path.write_bytes(content)
    status, found = told(home, capsys, "repair=true")
    assert status == 1
    assert "studies.db: it is damaged" in found


def test_a_study_that_is_running_is_left_out(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with database_of(home / "out").lock("small"):
        status, found = told(home, capsys)
    assert status == 0
    assert "small: left out, since The study small is being run by another process" in found


def test_predictions_that_are_gone_or_damaged_are_found(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = sorted((home / "out" / "mlruns" / "networks" / "small").glob("*-*"))[:2]
    (first / "predictions.safetensors").unlink()
    content = bytearray((second / "predictions.safetensors").read_bytes())
    for place in range(len(content) - 40, len(content), 4):  # the high bytes of some logits
        content[place + 3] ^= 0x81
    (second / "predictions.safetensors").write_bytes(content)
    status, text = told(home, capsys)
    assert status == 1
    assert "the predictions of 1 seed run are not there" in text
    assert "the predictions of 1 seed run are damaged: they are not those of the ledger" in text
