"""Whole studies, run as a user runs them: separate processes, real training on small drawings."""

import hashlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from sweeps.storage.database import database_of
from tests.conftest import Run, write_images

STUDY = """
study:
  name: small
  question: Does it work?
  method: grid
  direction: maximize
  seeds: [0, 1]
  space:
    lr: {values: [1e-3, 1e-2]}
  tables: [summary, lists, flat]
trial: {backbone: resnet18, weights: pre, freeze: layer3, optimizer: sgd, epochs: 2, batch_size: 8}
data: {source: image_folder, root: images, size: 32}
pretrain:
  pre:
    trial: {optimizer: sgd, lr: 1e-2, epochs: 1, batch_size: 8}
    data: {source: image_folder, root: images, size: 32, split_seed: 1}
run: {cache: cache, workers: 2}
"""


TWICE = "select count(*) from (select 1 from metrics group by run_uuid, key, step having count(*) > 1)"
"""Points of a curve that stand there more than once."""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    write_images(tmp_path / "images")
    (tmp_path / "small.yaml").write_text(STUDY)
    return tmp_path


def frame(home: Path, name: str = "small") -> pd.DataFrame:
    return pd.read_csv(home / "reports" / f"{name}.csv")


def query(home: Path, sql: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(home / "mlruns" / "mlflow.db")
    return connection.execute(sql).fetchall()


def test_a_study_from_first_start_to_extension(home: Path, run: Run) -> None:
    done = run("sweeps.run", "study=small.yaml")
    assert done.returncode == 0, done.stderr + done.stdout
    assert "| Learning rate | n | Val acc |" in done.stdout
    first = frame(home)
    assert first[["trial", "seed", "state"]].values.tolist() == [
        [0, 0, "complete"], [0, 1, "complete"], [1, 0, "complete"], [1, 1, "complete"],
    ]  # fmt: skip
    assert {path.name for path in home.iterdir()} == {
        "images", "small.yaml", "cache", "studies.db", "mlruns", "reports",
    }  # fmt: skip

    # the tree with the study's own run, the curves and the artifacts in MLflow
    assert sorted(query(home, "select status, count(*) from runs group by 1")) == [("FINISHED", 8)]
    children = "select count(*) from tags where key = 'mlflow.parentRunId'"
    assert query(home, children) == [(4,)]
    assert query(home, "select distinct step from metrics where key = 'val/loss' and step < 9 order by 1")[-2:] == [
        (1,),
        (2,),
    ]
    tags = {key for (key,) in query(home, "select distinct key from tags")}
    assert {"backbone", "fingerprint", "seed", "state"} <= tags
    assert len(list((home / "mlruns" / "artifacts").rglob("model.safetensors"))) == 5, "the stage's too"
    assert len(list((home / "mlruns" / "artifacts").rglob("confusion.json"))) == 4
    assert not list((home / "mlruns" / ".work").rglob("state.pt"))

    # the best network predicts without any other file
    predicted = run(
        "resnet_tl.predict", "checkpoint=mlruns/best/small", "images=mlruns/best/small/samples", "out=p.csv"
    )
    assert predicted.returncode == 0, predicted.stderr
    assert pd.read_csv(home / "p.csv").shape == (3, 5)
    (home / "p.csv").unlink()

    # MLflow lost sight of a run: it is completed, and no curve gets a second point
    connection = sqlite3.connect(home / "studies.db")
    connection.execute("update sweeps_seed_runs set tracked = 0")
    connection.commit()
    connection.close()
    again = run("sweeps.run", "study=small.yaml")
    assert again.returncode == 0, again.stderr
    assert query(home, TWICE) == [(0,)]

    # a second start trains nothing, and a report is rebuilt from the ledger alone
    again = run("sweeps.run", "study=small.yaml")
    assert "all 4 seed runs are done; nothing was trained" in again.stdout
    for path in (home / "reports").iterdir():
        path.unlink()
    report = run("sweeps.report", "study=small")
    assert report.returncode == 0, report.stderr
    assert report.stdout == (home / "reports" / "small.md").read_text()
    pd.testing.assert_frame_equal(frame(home), first, check_exact=True)

    # single tables do not replace the report
    assert run("sweeps.report", "study=small", "table=[lists,summary]").returncode == 0
    assert (home / "reports" / "small.md").read_text() == report.stdout
    assert run("sweeps.report", "results=reports/small.csv").returncode == 2
    assert (home / "reports" / "small.md").read_text() == report.stdout

    # what would change numbers is refused, with a difference and a way on
    for words in (["trial.epochs=3"], ["study.seeds=[0]"], ["data.split_seed=5"], ["run.threads=2"], ["trial.lr=1e-3"]):
        refused = run("sweeps.run", "study=small.yaml", *words)
        assert refused.returncode == 2, words
        assert "study.name=small_2" in refused.stderr
        assert "Traceback" not in refused.stderr
    pd.testing.assert_frame_equal(frame(home), first, check_exact=True)

    # an added value and an added seed extend the study; what is there stays as it is
    dry = run("sweeps.run", "study=small.yaml", "study.seeds=[0,1,2]", "run.dry_run=true")
    assert "6 seed runs in all, 4 done, 2 to do" in dry.stdout, dry.stderr
    space = "study.space={lr: {values: [1e-3, 1e-2, 2e-2]}}"
    more = run("sweeps.run", "study=small.yaml", "study.seeds=[0,1,2]", space)
    assert more.returncode == 0, more.stderr
    extended = frame(home)
    assert len(extended) == 9
    kept = extended[(extended["trial"] < 2) & (extended["seed"] < 2)].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept, first, check_exact=True)

    # a study of another name takes over what is the same
    dry = run("sweeps.run", "study=small.yaml", "study.name=fork", "run.dry_run=true")
    assert "taken over: 4 seed runs that other studies of this ledger have done" in dry.stdout, dry.stderr
    forked = run("sweeps.run", "study=small.yaml", "study.name=fork")
    assert "4 seed runs are taken over" in forked.stdout, forked.stdout + forked.stderr
    same = frame(home, "fork").drop(columns="study")
    pd.testing.assert_frame_equal(same, first.drop(columns="study"), check_exact=True)

    watched = run("sweeps.status", "watch=true")  # ends, since nothing runs
    status = run("sweeps.status")
    assert watched.stdout == status.stdout
    assert "3 trials × 3 seeds: 9 complete, 0 diverged, 0 failed, 0 to do" in status.stdout


def test_diverged_and_broken_runs_are_visible_and_never_averaged(home: Path, run: Run) -> None:
    space = "study.space={lr: {values: [1e-3, 1e30]}}"
    done = run("sweeps.run", "study=small.yaml", space, "trial.weights=none", "trial.freeze=none", "study.seeds=[0,1]")
    assert done.returncode == 0, done.stderr
    rows = frame(home)
    assert rows["state"].tolist() == ["complete", "complete", "diverged", "diverged"]
    assert rows[rows["state"] == "diverged"]["test/accuracy"].isna().all()
    text = (home / "reports" / "small.md").read_text()
    assert "1 of 2 trials diverged: trial 1 (seeds 0, 1: the training loss became" in text
    assert (
        "all 4 seed runs are done"
        in run("sweeps.run", "study=small.yaml", space, "trial.weights=none", "trial.freeze=none").stdout
    )


@pytest.mark.slow
def test_a_bayesian_study_tries_the_same_whatever_the_workers_and_ends_with_its_space(home: Path, run: Run) -> None:
    words = [
        "study=small.yaml", "trial.weights=none", "trial.freeze=all", "trial.epochs=1", "study.seeds=[0]",
        "study.method=bayes",
        "study.space={lr: {values: [1e-4, 1e-3, 1e-2]}, head: {values: [linear, mlp_relu]}}",
    ]  # fmt: skip
    one = run("sweeps.run", *words, "study.trials=5", "run.workers=1", "run.out=one")
    two = run("sweeps.run", *words, "study.trials=5", "run.workers=2", "run.out=two")
    assert (one.returncode, two.returncode) == (0, 0), one.stderr + two.stderr
    first = frame(home / "one").drop(columns="wall_s")
    pd.testing.assert_frame_equal(first, frame(home / "two").drop(columns="wall_s"), check_exact=True)
    assert first["fingerprint"].nunique() == 5
    rest = run("sweeps.run", *words, "study.trials=50", "run.out=one")
    assert "no more than 6 different trials" in rest.stdout, rest.stdout + rest.stderr
    assert frame(home / "one")["fingerprint"].nunique() == 6


def start(home: Path, *words: str, weights: str = "none") -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "sweeps.run", "study=small.yaml", f"trial.weights={weights}", *words],
        cwd=home, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        # a test runner in the background ignores SIGINT, and its children would inherit that
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip


def wait_for_rows(home: Path, count: int) -> None:
    for _ in range(600):
        time.sleep(0.1)
        if (home / "studies.db").exists():
            connection = sqlite3.connect(home / "studies.db", timeout=60)
            if connection.execute("select count(*) from sweeps_seed_runs").fetchone()[0] >= count:
                return
    raise AssertionError("no seed run was finished in a minute")


@pytest.mark.slow
def test_killed_drivers_lose_nothing_and_repeat_nothing(home: Path, run: Run) -> None:
    whole = run("sweeps.run", "study=small.yaml", "trial.weights=none", "run.out=whole")
    assert whole.returncode == 0, whole.stderr
    for finished in (0, 1, 2):
        process = start(home)
        if finished:
            wait_for_rows(home, finished)
        else:
            time.sleep(1.0)
        process.kill()
        process.wait()
    last = run("sweeps.run", "study=small.yaml", "trial.weights=none")
    assert last.returncode == 0, last.stdout + last.stderr
    pd.testing.assert_frame_equal(
        frame(home).drop(columns="wall_s"), frame(home / "whole").drop(columns="wall_s"), check_exact=True
    )
    assert query(home, "select status, count(*) from runs group by 1") == [("FINISHED", 7)]
    assert query(home, TWICE) == [(0,)]


FROZEN = ["study=small.yaml", "trial.freeze=all", "trial.epochs=3", "trial.augment=hflip"]
THREE_RATES = "study.space={lr: {values: [1e-3, 1e38, 1e-2]}}"


def test_what_is_computed_once_changes_no_number_and_damage_is_found(home: Path, run: Run) -> None:
    dry = run("sweeps.run", *FROZEN, THREE_RATES, "run.dry_run=true")
    assert "times fewer" in dry.stdout, dry.stdout + dry.stderr
    assert "GB a worker" in dry.stdout
    once = run("sweeps.run", *FROZEN, THREE_RATES, "run.out=once")
    assert once.returncode == 0, once.stdout + once.stderr
    assert "computing once, for 36 images (centre): resnet18 up to pool" in once.stdout
    assert "computing once, for 24 images (centre+hflip)" in once.stdout
    expected = frame(home / "once").drop(columns="wall_s")
    assert expected["state"].tolist() == ["complete"] * 2 + ["diverged"] * 2 + ["complete"] * 2
    assert query(home / "once", TWICE) == [(0,)]
    assert query(home / "once", "select count(*) from metrics where key = 'val/loss' and step = 3") == [(4,)]

    again = run("sweeps.run", *FROZEN, THREE_RATES, "run.out=again", "run.workers=1")
    assert "computing once" not in again.stdout, "the outputs were in the cache"
    plain = run("sweeps.run", *FROZEN, THREE_RATES, "run.out=plain", "run.reuse=off")
    assert "computing once" not in plain.stdout
    for other in ("again", "plain"):
        pd.testing.assert_frame_equal(frame(home / other).drop(columns="wall_s"), expected, check_exact=True)

    # a flipped byte is found by its hash, and what it was in is computed anew
    paths = sorted((home / "cache" / "features").glob("*/outputs.bin"))
    assert len(paths) == 2
    flip(paths[0])
    mended = run("sweeps.run", *FROZEN, THREE_RATES, "run.out=mended")
    assert "They were removed" in mended.stdout
    assert mended.stdout.count("computing once") == 1
    pd.testing.assert_frame_equal(frame(home / "mended").drop(columns="wall_s"), expected, check_exact=True)

    # outputs that are wrong in spite of a right hash are found by training on them, before any result is believed
    for path in paths:
        flip(path)
        table = json.loads(path.with_name("features.json").read_text())
        table["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
        path.with_name("features.json").write_text(json.dumps(table))
    wrong = run("sweeps.run", *FROZEN, THREE_RATES, "run.out=wrong")
    assert wrong.returncode == 2
    assert "must give the same bits" in wrong.stderr
    assert "run.reuse=off" in wrong.stderr
    connection = sqlite3.connect(home / "wrong" / "studies.db")
    assert connection.execute("select count(*) from sweeps_seed_runs").fetchall() == [(0,)]


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    for place in range(3, len(content), 512):  # some bit of every image
        content[place] ^= 1
    path.write_bytes(content)


@pytest.mark.slow
def test_killed_groups_of_heads_lose_nothing_and_repeat_nothing(home: Path, run: Run) -> None:
    words = ["trial.freeze=all", "trial.epochs=300", "study.seeds=[0,1,2,3]"]
    whole = run("sweeps.run", "study=small.yaml", *words, "run.out=whole")
    assert whole.returncode == 0, whole.stderr
    for pause in (3.0, 4.5, 6.0):
        process = start(home, *words, weights="pre")
        time.sleep(pause)
        process.kill()
        process.wait()
    process = start(home, *words, weights="pre")
    time.sleep(4.0)
    for server in children_of(process.pid, "forkserver"):
        for pid in children_of(server, "forkserver"):
            os.kill(pid, signal.SIGKILL)
    output, _ = process.communicate(timeout=200)
    assert process.returncode == 0, output
    last = run("sweeps.run", "study=small.yaml", *words)
    assert last.returncode == 0, last.stdout + last.stderr
    pd.testing.assert_frame_equal(
        frame(home).drop(columns="wall_s"), frame(home / "whole").drop(columns="wall_s"), check_exact=True
    )
    assert query(home, "select status, count(*) from runs group by 1") == [("FINISHED", 12)]
    assert query(home, TWICE) == [(0,)]


def test_a_second_driver_of_the_same_study_is_refused(home: Path, run: Run) -> None:
    with database_of(home).lock("small"):
        second = run("sweeps.run", "study=small.yaml", "trial.weights=none")
    assert second.returncode == 2
    assert "is being run by another process" in second.stderr


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_study_ends_cleanly_and_goes_on(home: Path, run: Run, sent: signal.Signals) -> None:
    process = start(home, "trial.epochs=30")
    wait_for_rows(home, 1)
    process.send_signal(sent)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert ("Stopping after the epochs that are running" in output) == (sent == signal.SIGINT)
    assert "Interrupted" in output
    assert "Traceback" not in output
    if sent == signal.SIGINT:
        assert list((home / "mlruns" / ".work").rglob("state.pt")), "what ran goes on from the epoch that it was at"
    assert query(home, "select count(*) from runs where status = 'RUNNING'") == [(0,)]
    rest = run("sweeps.run", "study=small.yaml", "trial.weights=none", "trial.epochs=30")
    assert rest.returncode == 0, rest.stdout + rest.stderr
    assert len(frame(home)) == 4


def children_of(pid: int, kind: str) -> list[int]:
    """Processes whose command line has a word in it."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")  # any thread may have started them
    children = [int(child) for task in tasks for child in task.read_text().split()]
    return [child for child in children if kind in Path(f"/proc/{child}/cmdline").read_text()]


@pytest.mark.slow
def test_a_killed_worker_costs_its_run_one_more_try(home: Path) -> None:
    process = start(home, "trial.epochs=40")
    wait_for_rows(home, 1)
    workers = [pid for server in children_of(process.pid, "forkserver") for pid in children_of(server, "forkserver")]
    assert len(workers) == 2
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
    output, _ = process.communicate(timeout=200)
    assert process.returncode == 0, output
    assert "trying once more" in output
    assert (frame(home)["state"] == "complete").all()


def test_a_tracker_that_is_down_costs_no_result(home: Path, run: Run) -> None:
    words = ["study=small.yaml", "trial.weights=none", "trial.epochs=1", "study.seeds=[0]"]
    done = run("sweeps.run", *words, "run.tracking_uri=http://127.0.0.1:9")
    assert done.returncode == 0, done.stderr
    assert "results are kept in the ledger and sent later" in " ".join(done.stdout.split())
    assert len(frame(home)) == 2
    later = run("sweeps.run", *words)
    assert later.returncode == 0, later.stderr
    assert sorted(query(home, "select status, count(*) from runs group by 1")) == [("FINISHED", 5)]
    assert len(list((home / "mlruns" / "artifacts").rglob("model.safetensors"))) == 2
    parents = "select count(*) from latest_metrics where key = 'n'"
    assert query(home, parents) == [(2,)], "trials get their means too"


def test_names_of_studies_are_free_and_a_start_without_result_binds_nobody(home: Path, run: Run) -> None:
    words = ["study=small.yaml", "study.seeds=[0]", "trial.lr=1e-3", "trial.epochs=1", "study.name=mlflow"]
    refused = run("sweeps.run", *words, "trial.weights=imagenet", "data.size=40")
    assert refused.returncode == 2, refused.stdout
    assert "must be downloaded once" in refused.stderr
    done = run("sweeps.run", *words, "trial.weights=none")
    assert done.returncode == 0, done.stdout + done.stderr
    assert run("sweeps.run", *words, "trial.weights=none", "trial.criterion=bce").returncode == 2


def test_wrong_requests_end_with_status_2_and_write_nothing(home: Path, run: Run) -> None:
    before = {path.name for path in home.iterdir()}
    for words in (
        ["study=smal.yaml"],
        ["study=small.yaml", "trial.weights=imagnet"],
        ["study=small.yaml", "data.root=nowhere"],
        ["study=small.yaml", "trial.lr=nan", "trial.batch_size=-1"],
    ):
        refused = run("sweeps.run", *words)
        assert refused.returncode == 2, (words, refused.stdout, refused.stderr)
        assert refused.stderr.startswith("error: ")
        assert "Traceback" not in refused.stderr
    assert {path.name for path in home.iterdir()} - before <= {"cache", "mlruns"}
    assert not (home / "studies.db").exists()


def test_help_and_list_answer_quickly(home: Path, run: Run) -> None:
    assert "run.dry_run=true" in run("sweeps.run", "--help").stdout
    listed = run("sweeps.run", "--list").stdout
    assert "resnet34_lr\n    Which learning rate" in listed
    for module in ("sweeps.report", "sweeps.status", "resnet_tl.fit", "resnet_tl.predict", "resnet_tl.pretrain"):
        done = run(module, "--help")
        assert done.returncode == 0, (module, done.stderr)
        assert f"python -m {module}" in done.stdout


def test_what_outlives_a_study_is_what_run_keep_says(home: Path, run: Run) -> None:
    def networks(out: Path) -> int:
        return len(list((out / "mlruns" / "networks").rglob("model.json")))

    words = ["study=small.yaml", "trial.weights=none", "trial.epochs=1", "run.keep=best"]
    dry = run("sweeps.run", *words, "run.dry_run=true")
    assert "disk: the best network alone; predictions are kept always" in dry.stdout, dry.stdout + dry.stderr
    done = run("sweeps.run", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert networks(home) == 0
    assert not list((home / "mlruns" / "artifacts").rglob("model.json"))
    assert (home / "mlruns" / "best" / "small" / "model.json").exists()
    assert len(list((home / "mlruns" / "networks").rglob("predictions.safetensors"))) == 4
    assert "all 4 seed runs are done" in run("sweeps.run", *words).stdout

    # where none is kept it goes too, and that is said
    space = "study.space={lr: {values: [1e-3, 1e-2, 1e-1]}}"
    more = run("sweeps.run", *words[:-1], space, "run.keep=none")
    assert more.returncode == 0, more.stdout + more.stderr
    assert "Best network" not in more.stdout
    assert "The best network was removed, as run.keep=none says" in more.stdout
    assert not (home / "mlruns" / "best" / "small").exists()
    assert networks(home) == 0

    # a study that takes runs over has networks of its own
    all_kept = run("sweeps.run", *words[:-1], "study.name=whole", "run.out=other")
    assert all_kept.returncode == 0, all_kept.stderr
    taken = run("sweeps.run", *words[:-1], "study.name=fork", "run.out=other")
    assert "4 seed runs are taken over" in taken.stdout
    assert networks(home / "other") == 8
    fewer = run("sweeps.run", *words[:-1], "study.name=whole", "run.out=other", "run.keep=best")
    assert "4 networks were removed, as run.keep=best says" in fewer.stdout, fewer.stdout + fewer.stderr
    assert networks(home / "other") == 4


@pytest.mark.slow
def test_a_moved_and_a_copied_folder_go_on_on_their_own_files(home: Path, run: Run) -> None:
    words = ["study=small.yaml", "trial.weights=none", "trial.epochs=1"]
    assert run("sweeps.run", *words, "study.seeds=[0]", "run.out=first").returncode == 0
    shutil.copytree(home / "first", home / "copy")
    (home / "first").rename(home / "moved é")
    for name in ("copy", "moved é"):
        done = run("sweeps.run", *words, f"run.out={name}")
        assert done.returncode == 0, done.stdout + done.stderr
        assert len(frame(home / name)) == 4
        best = home / name / "mlruns" / "best" / "small"
        assert run("resnet_tl.predict", f"checkpoint={best}", f"images={best / 'samples'}").returncode == 0
        places = query(home / name, "select artifact_location from experiments where name = 'small'")
        assert places == [((home / name / "mlruns" / "artifacts" / "small").as_uri(),)]
        for (uri,) in query(home / name, "select artifact_uri from runs"):
            assert str(uri).startswith((home / name).as_uri())
    assert not (home / "first").exists()


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("pretrain.pre.trial.monitor=val/auroc", "`val/auroc` needs images of two classes in val"),
        ("pretrain.pre.trial.criterion=bce", "needs two classes, but the data has 3"),
    ],
)
def test_a_stage_whose_own_images_do_not_suit_it_is_refused_by_the_dry_run(
    home: Path, run: Run, option: str, message: str
) -> None:
    write_images(home / "staged" / "train")
    write_images(home / "staged" / "val", classes=("bars",))
    told = run("sweeps.run", "study=small.yaml", "pretrain.pre.data.root=staged", option, "run.dry_run=true")
    assert told.returncode == 2
    assert f"`pretrain.pre`: `{'trial.criterion: bce' if 'bce' in option else 'val/auroc'}`" in told.stderr
    assert message in told.stderr
