"""Each pretrain stage has one whole run in the experiment of its study, whatever was interrupted or lost."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from resnet_tl.address import parse
from sweeps.tracking import mlflow_runs
from sweeps.tracking.mlflow_client import MlflowTracker
from sweeps.tracking.mlflow_database import Place
from sweeps.tracking.mlflow_files import fetch_checkpoint
from sweeps.tracking.outbox import Ended
from sweeps.tracking.tracker import TrainedStage
from tests.sweeps.tracking.server import serve
from tests.sweeps.tracking.stages import METRICS, trained_stage
from tests.sweeps.tracking.test_tracker import ABOUT, TRIAL, mlflow, told


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds MLflow's empty database, which takes seconds to make."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def place(tmp_path: Path, cache: Path) -> Place:
    return Place(out=tmp_path / "out", cache=cache, given=None)


def tracker_at(place: Place) -> MlflowTracker:
    return MlflowTracker(place, about=ABOUT, commit="abc", say=lambda _: None)


def send(place: Place, *stages: TrainedStage) -> None:
    tracker = tracker_at(place)
    tracker.connect(set(), set())
    tracker.stages(stages)
    tracker.end_open(killed=False)
    tracker.close()


def runs_of(place: Place) -> list[Any]:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(place.uri)
    experiment = client.get_experiment_by_name("s")
    return list(client.search_runs([experiment.experiment_id], "tags.kind = 'pretrain stage'", 3))


def curve(place: Place, run: Any, metric: str) -> list[tuple[int, float]]:
    from mlflow.tracking import MlflowClient

    return [(point.step, point.value) for point in MlflowClient(place.uri).get_metric_history(run.info.run_id, metric)]


def require_whole(place: Place) -> Any:
    (run,) = runs_of(place)
    assert run.info.status == "FINISHED"
    assert curve(place, run, "val/loss") == [(1, 2.0), (2, 1.0)]
    assert curve(place, run, "lr") == [(1, 0.1), (2, 0.05)]
    assert curve(place, run, "best/val/accuracy") == [(0, 0.25)]
    assert curve(place, run, "wall_s") == [(0, 2.5)]
    assert run.data.params["lr"] == "0.01"
    assert run.data.params["seed"] == "7"
    assert run.data.tags["state"] == "complete"
    return run


def test_a_stage_is_a_run_with_all_that_is_known_of_it(tmp_path: Path, place: Place) -> None:
    stage = trained_stage(tmp_path)
    assert place.lacking_stages("s", {stage.fingerprint}) == {stage.fingerprint}
    send(place, stage)
    run = require_whole(place)
    assert run.info.run_name == "pretrain drawings resnet18"
    assert (run.info.end_time - run.info.start_time, run.info.end_time) == (2500, 1767225610000)
    expected = {
        "kind": "pretrain stage", "study": "s", "stage": "drawings", "fingerprint": stage.fingerprint,
        "backbone": "resnet18", "seed": "7", "data": "image_folder", "data_fingerprint": "d1", "best_epoch": "2",
    }  # fmt: skip
    assert expected.items() <= run.data.tags.items()
    assert "mlflow.source.git.commit" not in run.data.tags, "what trained it may have been other code"
    assert {"test/loss", "test/accuracy", "best/val/loss"} <= set(run.data.metrics)
    assert set(run.data.params) == set(mlflow_runs.params_of(stage.trial, 7))
    fetch_checkpoint(place, f"runs:/{run.info.run_id}", tmp_path / "fetched")
    assert [path.name for path in (tmp_path / "fetched").iterdir()] == ["model.json"]
    assert place.lacking_stages("s", {stage.fingerprint}) == set()
    assert place.lacking_stages("another", {stage.fingerprint}) == {stage.fingerprint}


def test_a_stage_that_is_told_again_keeps_its_run_and_others_get_theirs(tmp_path: Path, place: Place) -> None:
    stage, other = trained_stage(tmp_path), trained_stage(tmp_path, "photographs")
    send(place, stage)
    first = require_whole(place)
    send(place, stage)
    assert require_whole(place).info.run_id == first.info.run_id
    send(place, stage, other)
    assert sorted(run.info.run_name for run in runs_of(place)) == [
        "pretrain drawings resnet18", "pretrain photographs resnet18",
    ]  # fmt: skip


def test_a_stage_without_a_curve_has_its_scores_alone(tmp_path: Path, place: Place) -> None:
    for _ in range(2):
        send(place, trained_stage(tmp_path, num_epochs=0))
    (run,) = runs_of(place)
    assert run.info.status == "FINISHED"
    assert set(run.data.metrics) == {name.replace("val/", "best/val/") for name in METRICS}
    assert curve(place, run, "best/val/loss") == [(0, 0.25)]


class Killed(BaseException):
    """What a kill leaves is what an exception leaves that nothing of ours catches."""


CALLS = ("create_run", "log_batch", "set_terminated")


def kills(patch: pytest.MonkeyPatch, at: int, *, before: bool) -> Iterator[None]:
    """Dies at the given write of MLflow's client, before or after it is done."""
    from mlflow.tracking import MlflowClient

    left = [at]
    for name in CALLS:
        real = getattr(MlflowClient, name)

        def call(self: Any, *args: Any, real: Any = real, **kwargs: Any) -> Any:
            left[0] -= 1
            if not left[0] and before:
                raise Killed
            done = real(self, *args, **kwargs)
            if not left[0]:
                raise Killed
            return done

        patch.setattr(MlflowClient, name, call)
    yield


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("ended", [True, False])
def test_a_kill_at_any_write_leaves_one_run_that_is_completed(
    tmp_path: Path, place: Place, monkeypatch: pytest.MonkeyPatch, before: bool, ended: bool
) -> None:
    monkeypatch.setattr(mlflow_runs, "MOST_METRICS", 10)  # so that the curve takes two batches
    for at in range(1, 7):
        stage = trained_stage(tmp_path)
        own = Place(out=tmp_path / f"{at}", cache=place.cache, given=None)
        tracker = tracker_at(own)
        tracker.connect(set(), set())
        with monkeypatch.context() as patch:
            next(kills(patch, at, before=before))
            try:
                tracker.stages([stage])
            except Killed:
                was_killed = True
            else:
                was_killed = False
        if ended:  # as an interrupted study does, or another one that ended meanwhile
            tracker.end_open(killed=at % 2 == 0)
        tracker.close()
        is_whole = at > 5 or (at == 5 and (not before or (ended and at % 2 == 1)))
        assert was_killed == (at <= 5), "create, parameters, two batches, end"
        assert (own.lacking_stages("s", {stage.fingerprint}) == set()) == is_whole, at
        send(own, stage)
        require_whole(own)
        assert own.lacking_stages("s", {stage.fingerprint}) == set()


def test_what_our_own_database_has_lost_comes_back_and_what_people_removed_does_not(
    tmp_path: Path, cache: Path
) -> None:
    from mlflow.tracking import MlflowClient

    stage = trained_stage(tmp_path)
    first, second = (Place(out=tmp_path / name, cache=cache, given=None) for name in ("first", "second"))
    send(first, stage)
    run = require_whole(first)
    with sqlite3.connect(first.path) as connection:
        for table in ("params", "metrics", "latest_metrics", "tags", "runs"):
            connection.execute(f"delete from {table}")
    connection.close()
    assert first.lacking_stages("s", {stage.fingerprint}) == {stage.fingerprint}
    send(first, stage)
    assert require_whole(first).info.run_id != run.info.run_id
    send(second, stage)
    client = MlflowClient(second.uri)
    client.delete_run(require_whole(second).info.run_id)
    assert second.lacking_stages("s", {stage.fingerprint}) == set()
    send(second, stage)
    assert [run.info.lifecycle_stage for run in runs_of(second)] == ["deleted"]


def test_a_run_that_people_removed_half_done_is_left_alone(
    tmp_path: Path, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.tracking import MlflowClient

    stage = trained_stage(tmp_path)
    with monkeypatch.context() as patch:
        next(kills(patch, 2, before=False))
        with pytest.raises(Killed):
            send(place, stage)
    (run,) = runs_of(place)
    MlflowClient(place.uri).delete_run(run.info.run_id)
    send(place, stage)
    assert [run.info.lifecycle_stage for run in runs_of(place)] == ["deleted"]
    assert place.lacking_stages("s", {stage.fingerprint}) == set(), "it is not looked for at every start"


def test_scores_that_arrived_before_a_kill_are_not_sent_again(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = trained_stage(tmp_path, num_epochs=0)
    with serve((tmp_path / "served").as_uri()) as server:
        place = Place(out=tmp_path / "out", cache=cache, given=parse(f"http://{server.place}", "x"))
        with monkeypatch.context() as patch:
            next(kills(patch, 4, before=True))
            with pytest.raises(Killed):
                send(place, stage)
        (run,) = server.runs.values()
        assert run["info"]["status"] == "RUNNING"
        sent = list(run["data"]["metrics"])
        assert sent
        send(place, stage)
        assert run["info"]["status"] == "FINISHED"
        assert run["data"]["metrics"] == sent


def test_a_server_gets_the_same(tmp_path: Path, cache: Path) -> None:
    stage = trained_stage(tmp_path)
    with serve((tmp_path / "served").as_uri()) as server:
        place = Place(out=tmp_path / "out", cache=cache, given=parse(f"http://{server.place}", "x"))
        for _ in range(2):
            send(place, stage)
        (run,) = server.runs.values()
        assert run["info"]["status"] == "FINISHED"
        tags = {tag["key"]: tag["value"] for tag in run["data"]["tags"]}
        assert (tags["kind"], tags["state"], tags["stage"]) == ("pretrain stage", "complete", "drawings")
        points = [(metric["key"], metric["step"]) for metric in run["data"]["metrics"]]
        assert points.count(("val/loss", 2)) == points.count(("best/val/loss", 0)) == 1
        assert (tmp_path / "served" / run["info"]["run_id"] / "checkpoint" / "model.json").exists()


def test_stages_and_seed_runs_do_not_get_into_each_others_way(tmp_path: Path, cache: Path) -> None:
    out = tmp_path / "out"
    study = told(mlflow(out, cache), out)
    study.outbox.stages([trained_stage(tmp_path)])
    study.run(0)
    study.run(1, shown=True, completes=True)
    study.close()
    assert study.warnings == []
    place = Place(out=out, cache=cache, given=None)
    require_whole(place)
    assert place.lacking("s", {("f", 0), ("f", 1)}) == set()
    again = told(mlflow(out, cache), out)
    again.outbox.stages([trained_stage(tmp_path)])
    again.close([Ended(trial=TRIAL, seed=seed, completes=True) for seed in (0, 1)])
    require_whole(place)
    with sqlite3.connect(place.path) as connection:
        kinds = connection.execute("select value, count(*) from tags where key = 'kind' group by 1 order by 1")
        assert kinds.fetchall() == [("pretrain stage", 1), ("seed run", 2), ("trial", 1)]
    connection.close()
