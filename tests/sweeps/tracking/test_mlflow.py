"""What is written many at a time is what MLflow's own client would have written; and what a move does to addresses."""

import errno
import shutil
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from filelock import FileLock

from resnet_tl.address import parse
from resnet_tl.files import link_folder
from sweeps.storage.sqlite import sqlite_engine
from sweeps.tracking import mlflow_database
from sweeps.tracking.mlflow_client import MlflowTracker
from sweeps.tracking.mlflow_database import Place
from sweeps.tracking.mlflow_files import fetch_checkpoint, publish, report_name
from sweeps.tracking.outbox import Ended
from tests.sweeps.tracking.test_tracker import ABOUT, TRIAL, mlflow, told

TABLES = ("runs", "tags", "params", "metrics", "latest_metrics")
DATA = """select r.name run, i.source_type, i.destination_type, i.step, t.name, t.value,
d.name data, d.digest, d.dataset_source_type, d.dataset_source, d.dataset_schema, d.dataset_profile
from inputs i join runs r on r.run_uuid = i.destination_id join datasets d on d.dataset_uuid = i.source_id
join input_tags t on t.input_uuid = i.input_uuid order by r.name"""


def content(path: Path) -> dict[str, list[dict[str, Any]]]:
    """All rows of seed runs, without ids and times of writing."""
    engine = sqlite_engine(path)
    found: dict[str, list[dict[str, Any]]] = {}
    with engine.connect() as connection:
        runs = connection.execute(sqlalchemy.text("select run_uuid, name from runs")).mappings()
        names = {run["run_uuid"]: run["name"] for run in runs}
        for table in TABLES:
            rows = []
            for stored in connection.execute(sqlalchemy.text(f"select * from {table}")).mappings():
                values = dict(stored)
                values["run_uuid"] = names[values["run_uuid"]]
                if values.get("key") in ("mlflow.parentRunId", "kind", "mlflow.runName"):
                    values["value"] = "?" if values["key"] == "mlflow.parentRunId" else values["value"]
                for volatile in ("timestamp", "artifact_uri", "start_time", "end_time"):
                    if values["run_uuid"] == "trial 0" or volatile in ("timestamp", "artifact_uri"):
                        values.pop(volatile, None)
                rows.append(values)
            found[table] = sorted(rows, key=repr)
        found["data"] = [dict(row) for row in connection.execute(sqlalchemy.text(DATA)).mappings()]
    engine.dispose()
    return found


def recorded(out: Path, cache: Path, *, shown: bool) -> dict[str, Any]:
    """Two seed runs in a fresh folder; `shown` while they ran, so that the client writes them, or written at once."""
    study = told(mlflow(out, cache), out)
    for seed in (0, 1):
        study.run(seed, shown=shown, completes=seed == 1)
    study.close()
    assert study.warnings == []
    return content(out / "mlruns" / "mlflow.db")


def artifacts(out: Path) -> list[str]:
    return sorted(path.name for path in (out / "mlruns" / "artifacts").rglob("*") if path.is_file())


def test_both_ways_leave_the_same_rows_and_files(tmp_path: Path) -> None:
    quick = recorded(tmp_path / "quick", tmp_path / "cache", shown=False)
    slow = recorded(tmp_path / "slow", tmp_path / "cache", shown=True)
    assert [row["run"] for row in quick["data"]] == ["trial 0", "trial 0 seed 0", "trial 0 seed 1"]
    for table in (*TABLES, "data"):
        if table == "runs":
            for side in (quick, slow):
                for values in side[table]:
                    values.pop("start_time", None)  # the client's runs began when they were first shown
        assert quick[table] == slow[table], table
    assert len(quick["metrics"]) > 20
    for out in ("quick", "slow"):
        assert artifacts(tmp_path / out) == [*["confusion.json"] * 2, *["model.json"] * 2, "seeds.csv"]
        assert (tmp_path / out / "networks" / "0" / "model.json").exists(), "what MLflow has is a link or a copy"


def test_a_kill_before_the_ledger_knows_changes_nothing_at_the_next_start(tmp_path: Path) -> None:
    out, cache = tmp_path / "out", tmp_path / "cache"
    first = recorded(out, cache, shown=False)
    engine = sqlite_engine(out / "studies.db")
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("update sweeps_seed_runs set tracked = 0"))
    again = told(mlflow(out, cache), out)
    again.close([Ended(trial=TRIAL, seed=seed, completes=True) for seed in (0, 1)])
    assert content(out / "mlruns" / "mlflow.db") == first
    assert all(run.tracked for run in again.ledger.seed_runs("s"))


def test_after_a_move_or_a_copy_addresses_are_of_here_and_files_are_found(tmp_path: Path) -> None:
    from mlflow.tracking import MlflowClient

    recorded(tmp_path / "first", tmp_path / "cache", shown=False)
    shutil.copytree(tmp_path / "first", tmp_path / "copy é#")
    (tmp_path / "first").rename(tmp_path / "moved")
    for name in ("moved", "copy é#"):
        out = tmp_path / name
        place = Place(out=out, cache=tmp_path / "cache", given=None)
        tracker = MlflowTracker(place, about=ABOUT, commit=None, say=lambda _: None)
        tracker.connect(set(), set())
        client = MlflowClient(place.uri)
        (experiment,) = client.search_experiments(filter_string="name = 's'")
        assert str(experiment.artifact_location) == (out / "mlruns" / "artifacts" / "s").as_uri()
        runs = client.search_runs([experiment.experiment_id], "tags.kind = 'seed run'")
        assert len(runs) == 2
        for run in runs:
            assert run.info.artifact_uri.startswith(experiment.artifact_location + "/")
            assert [f.path for f in client.list_artifacts(run.info.run_id)] == ["checkpoint", "confusion.json"]
            fetched = Path(client.download_artifacts(run.info.run_id, "checkpoint/model.json"))
            assert fetched.read_text() == "{}"
        tracker.close()


NAMES = [
    "a b",
    "ü",
    "#",
    "%41%",
    "a?b=c",
    "a&b",
    "a+b",
    "it's",
    'say "so"',
    "a;b",
    "a=b",
    "{a}",
    "a@b:c",
    "$HOME",
    "[a]",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_of_any_name_is_tracked_within_it_and_can_be_browsed(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.tracking import MlflowClient

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    out, cache = tmp_path / "below" / name, tmp_path / "cache"
    recorded(out, cache, shown=True)
    place = Place(out=out, cache=cache, given=None)
    source = tmp_path / "report.md"
    source.write_text("text")
    assert place.lacks_report("s", report_name([source], "Best by far."))
    assert publish(place, "s", [source], "Best by far.") is None
    assert not place.lacks_report("s", report_name([source], "Best by far."))
    assert place.lacks_report("s", report_name([source], "Another."))
    client = MlflowClient(place.uri)  # as a browser's server opens it
    (experiment,) = client.search_experiments(filter_string="name = 's'")
    for run in client.search_runs([experiment.experiment_id], "tags.kind = 'seed run'"):
        assert [f.path for f in client.list_artifacts(run.info.run_id)] == ["checkpoint", "confusion.json"]
        assert Path(client.download_artifacts(run.info.run_id, "checkpoint/model.json")).read_text() == "{}"
    (report,) = client.search_runs([experiment.experiment_id], "tags.kind = 'report'")
    assert [f.path for f in client.list_artifacts(report.info.run_id)] == ["report.md"]
    assert report.info.run_name == "s"
    assert report.data.tags["mlflow.note.content"] == "Best by far."
    assert [path.name for path in (tmp_path / "below").iterdir()] == [name]
    assert not list(elsewhere.iterdir())
    assert {path.name for path in tmp_path.iterdir()} == {"below", "cache", "elsewhere", "report.md"}


@pytest.mark.parametrize("harm", ["removed", "emptied", "overwritten", "stripped"])
def test_what_our_own_database_has_lost_is_sent_again(harm: str, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    first = recorded(tmp_path / "before", cache, shown=False)
    out = tmp_path / "out"  # a copy, since MLflow holds the files of a process open to its end
    shutil.copytree(tmp_path / "before", out)
    path = out / "mlruns" / "mlflow.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
    for beside in path.parent.glob("mlflow.db-*"):
        beside.unlink()
    if harm == "removed":
        path.unlink()
    elif harm == "stripped":
        with sqlite3.connect(path) as connection:
            seeds = "select run_uuid from tags where key = 'seed'"
            for table in ("params", "metrics", "latest_metrics", "runs", "tags"):
                connection.execute(f"delete from {table} where run_uuid in ({seeds})")
    else:
        path.write_text("" if harm == "emptied" else "no database at all")
    place = Place(out=out, cache=cache, given=None)
    keys = {("f", 0), ("f", 1)}
    assert place.lacking("s", keys) == keys
    again = told(mlflow(out, cache), out)
    again.outbox.flush()
    again.close([Ended(trial=TRIAL, seed=seed, completes=True) for seed in (0, 1)])
    assert again.warnings == []
    assert place.lacking("s", keys) == set()
    assert content(path) == first
    assert (path.with_name("mlflow.damaged.db")).exists() == (harm in ("emptied", "overwritten"))


@pytest.mark.parametrize("trouble", ["locked", "folder"])
def test_a_database_that_cannot_be_opened_raises_what_its_callers_expect(trouble: str, tmp_path: Path) -> None:
    place = Place(out=tmp_path / "out", cache=tmp_path / "cache", given=None)
    place.path.parent.mkdir(parents=True)
    if trouble == "folder":
        place.path.mkdir()
    else:
        other = sqlite3.connect(place.path, isolation_level=None)
        other.execute("CREATE TABLE experiments (x)")
        other.execute("BEGIN EXCLUSIVE")
    begun = time.monotonic()
    assert place.lacking("s", {("f", 0)}) == set()
    with pytest.raises(OSError, match="locked by another program for more than 1 s|cannot be opened"):
        place.relocate()
    assert "mlflow.db" in str(publish(place, "s", [], ""))
    with pytest.raises(OSError, match=r"mlflow\.db"):
        fetch_checkpoint(place, "runs:/1", tmp_path / "x")
    assert time.monotonic() - begun < 20


def test_what_another_database_raises_is_a_reason_and_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: str) -> None:
        raise sqlalchemy.exc.OperationalError("connect", {}, OSError("no route to it"))

    monkeypatch.setattr("mlflow.tracking.MlflowClient", refuse)
    place = Place(out=tmp_path, cache=tmp_path, given=parse("postgresql://host/db", "x"))
    assert "no route to it" in str(publish(place, "s", [], ""))
    with pytest.raises(OSError, match="no route to it"):
        fetch_checkpoint(place, "runs:/1", tmp_path / "x")


def test_every_damaged_database_is_kept_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlflow_database, "_migrate", lambda making: (making.touch(), making)[1])
    place = Place(out=tmp_path / "out", cache=tmp_path / "cache", given=None)
    said: list[str] = []
    contents = ("first" * 2000, "", "third")
    for content in contents:
        place.make(said.append)
        place.path.write_text(content)
        place.path.with_name("mlflow.db-wal").write_text(f"of the {content}")
    place.make(said.append)
    names = ["mlflow.damaged.db", "mlflow.damaged-2.db", "mlflow.damaged-3.db"]
    for name, content, sentence in zip(names, contents, said, strict=True):
        assert place.path.with_name(name).read_text() == content
        assert place.path.with_name(f"{name}-wal").read_text() == f"of the {content}"
        assert sentence.endswith(f"it is {name} now, and a new one is made.")


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOSPC])
def test_a_cache_that_cannot_be_written_only_costs_time(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Place) -> Path:
        raise OSError(number, "no")

    monkeypatch.setattr(Place, "_empty", refuse)
    monkeypatch.setattr(mlflow_database, "_migrate", lambda making: making.touch())
    place = Place(out=tmp_path / "out", cache=tmp_path / "cache", given=None)
    place.make(print)
    assert place.path.exists()


def test_an_experiment_that_was_deleted_in_the_browser_is_taken_up_again(tmp_path: Path) -> None:
    from mlflow.tracking import MlflowClient

    out = tmp_path / "out"
    study = told(mlflow(out, tmp_path / "cache"), out)
    study.run(0)
    study.close()
    client = MlflowClient(Place(out=out, cache=tmp_path / "cache", given=None).uri)
    client.delete_experiment(client.get_experiment_by_name("s").experiment_id)
    again = told(mlflow(out, tmp_path / "cache"), out)
    again.run(1, completes=True)
    again.close()
    assert again.warnings == []
    assert all(run.tracked for run in again.ledger.seed_runs("s"))


def test_what_killed_starts_left_is_removed_but_nothing_of_one_that_lives(tmp_path: Path) -> None:
    out, cache = tmp_path / "out", tmp_path / "cache"
    work = out / "mlruns" / ".work"
    work.mkdir(parents=True)
    (work / "mlflow.123.db").write_text("half")
    (cache / "mlflow" / "tmpabc").mkdir(parents=True)
    place = Place(out=out, cache=cache, given=None)
    with FileLock(cache / "mlflow" / ".lock"):  # as a start holds it that makes an empty database just now
        thread = threading.Thread(target=place.make, args=(print,))
        thread.start()
        thread.join(1)
        assert (cache / "mlflow" / "tmpabc").exists()
    thread.join()
    assert [path.name for path in work.iterdir()] == ["locks"]
    assert not list((cache / "mlflow").glob("tmp*"))
    assert place.path.exists()


def test_a_run_that_is_named_twice_stands_once_and_a_dropped_network_is_gone(tmp_path: Path) -> None:
    out = tmp_path / "out"
    study = told(mlflow(out, tmp_path / "cache"), out)
    study.run(0)
    study.run(1, shown=True, completes=True)
    study.outbox.finished([Ended(trial=TRIAL, seed=seed, completes=True) for seed in (0, 1)])
    study.outbox.drop_networks([("f", 0)])
    study.close()
    assert [row["name"] for row in content(out / "mlruns" / "mlflow.db")["runs"]].count("trial 0 seed 1") == 1
    assert artifacts(out) == ["confusion.json", "confusion.json", "model.json", "seeds.csv"]


def test_a_folder_is_linked_and_a_second_time_replaced(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "a").write_text("1")
    for _ in range(2):
        link_folder(source, tmp_path / "there")
        assert (tmp_path / "there" / "a").stat().st_ino == (source / "a").stat().st_ino
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source", "there"]
