"""What every tracker must do, told through an outbox as a driver tells it. A second one is added to `make`."""

import dataclasses
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from resnet_tl.result import Epoch
from sweeps.records import NAMING, DataRecord, EnvironmentRecord, RunState, SeedRun, StudyRecord, TrialRecord
from sweeps.storage.database import database_of
from sweeps.storage.ledger import Ledger
from sweeps.tracking import outbox
from sweeps.tracking.mlflow_client import MlflowTracker
from sweeps.tracking.mlflow_database import Place
from sweeps.tracking.outbox import Ended, Outbox
from sweeps.tracking.tracker import Tracker
from tests.conftest import trial
from tests.sweeps.tracking.stages import trained_stage

TRIAL = TrialRecord(number=0, params={"lr": 0.01}, config=trial(), fingerprint="f")

ABOUT = StudyRecord(
    name="s", created="2026", naming=NAMING, question="?", about="", hypotheses=(), hypotheses_changed=None,
    method="grid", metric="val/accuracy", direction="maximize", seeds=(0, 1), space={"lr": {"values": [0.01]}}, base={},
    base_weights=None, pretrain={},
    data=DataRecord(
        source="digits", options={"size": 32}, classes=("0", "1"), num_images={"train": 3, "val": 2, "test": 1},
        test_name="t", images_name="abcdef", presentation_name="p",
    ),
    environment=EnvironmentRecord(numerics=0, torch="0", torchvision="0", device="cpu", threads=1),
    tables=(), figures=(), confirm=None, num_trials=1, command="none", out=".",
)  # fmt: skip


def seed_run(seed: int, **changes: Any) -> SeedRun:
    metrics = {f"{split}/{name}": 0.1 + seed for split in ("train", "val", "test") for name in ("loss", "accuracy")}
    history = tuple(
        Epoch(epoch=n, lr=0.1 / n, metrics={"train/loss": 1 / n, "val/loss": 2 / n}, wall_s=0.5) for n in (1, 2)
    )
    run = SeedRun(
        study="s", fingerprint="f", seed=seed, state=RunState.COMPLETE, max_epoch=2, best_epoch=2, metrics=metrics,
        wall_s=1.5, reason=None, started="2026-01-01T00:00:00+00:00", finished="2026-01-01T00:00:10+00:00",
        commit="abc", network=f"networks/{seed}", confusion={"test": [[1, 0], [0, 1]]}, history=history,
    )  # fmt: skip
    return dataclasses.replace(run, **changes)


@dataclasses.dataclass
class Told:
    """One study as a driver tells a tracker of it."""

    out: Path
    ledger: Ledger
    outbox: Outbox
    warnings: list[str]

    def network(self, seed: int) -> None:
        folder = self.out / "networks" / str(seed)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.json").write_text("{}")

    def run(self, seed: int, *, shown: bool = False, completes: bool = False, **changes: Any) -> None:
        """A seed run from its begin to its end; `shown` while it went on."""
        row = seed_run(seed, **changes)
        if shown:
            self.outbox.epochs(TRIAL, seed, [])
            self.outbox.epochs(TRIAL, seed, (row.history or ())[:1])
            self.outbox.flush()
        if row.state.is_result:
            self.network(seed)
        self.ledger.put([row])
        self.outbox.finished([Ended(trial=TRIAL, seed=seed, completes=completes)])

    def close(self, missing: Sequence[Ended] = (), *, interrupted: bool = False) -> None:
        self.outbox.flush()
        self.outbox.close(missing, interrupted=interrupted)


def told(tracker: Tracker, out: Path) -> Told:
    ledger = database_of(out).open()
    warnings: list[str] = []
    box = Outbox(
        tracker, ledger, "s", name="the tracker", seeds=(0, 1), warn=warnings.append,
        network_of=lambda run: out / run.network if run.network else None, confusion_of=lambda run: run.confusion,
    )  # fmt: skip
    return Told(out, ledger, box, warnings)


def mlflow(out: Path, cache: Path) -> Tracker:
    place = Place(out=out, cache=cache, given=None)
    return MlflowTracker(place, about=ABOUT, commit="abc", say=lambda _: None)


@pytest.fixture(params=["mlflow"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Told]:
    kinds = {"mlflow": mlflow}
    return lambda: told(kinds[request.param](tmp_path / "out", tmp_path / "cache"), tmp_path / "out")


def test_what_has_ended_is_sent_and_marked(make: Callable[[], Told]) -> None:
    study = make()
    study.run(0, shown=True)
    study.run(1, completes=True)
    study.close()
    assert study.warnings == []
    assert all(run.tracked for run in study.ledger.seed_runs("s"))


def test_being_told_twice_changes_nothing(make: Callable[[], Told]) -> None:
    for _ in range(2):
        study = make()
        if not study.ledger.seed_runs("s"):
            study.run(0)
            study.run(1, completes=True)
        study.close([Ended(trial=TRIAL, seed=seed, completes=True) for seed in (0, 1)])
        assert study.warnings == []


def test_a_failure_is_replaced_by_what_comes_after_it(make: Callable[[], Told]) -> None:
    study = make()
    study.run(0, state=RunState.FAILED, reason="disk", metrics={}, history=(), network=None)
    study.close(interrupted=True)
    again = make()
    again.run(0)
    again.run(1, completes=True)
    again.close()
    assert again.warnings == []
    assert all(run.tracked for run in again.ledger.seed_runs("s"))


def test_being_told_twice_at_once_sends_once(make: Callable[[], Told]) -> None:
    study = make()
    study.run(0)
    study.run(1, completes=True)
    study.outbox.finished([Ended(trial=TRIAL, seed=seed, completes=True) for seed in (0, 1)])
    study.outbox.drop_networks([("f", 0)])
    study.close([Ended(trial=TRIAL, seed=seed) for seed in (0, 1)])
    assert study.warnings == []


def test_a_stage_is_told_at_once_and_at_every_start(make: Callable[[], Told]) -> None:
    for _ in range(2):
        study = make()
        stage = trained_stage(study.out)
        study.outbox.stages([])
        study.outbox.stages([stage, stage])
        if not study.ledger.seed_runs("s"):
            study.run(0)
            study.run(1, completes=True)
        study.close([Ended(trial=TRIAL, seed=seed, completes=True) for seed in (0, 1)])
        assert study.warnings == []
        assert all(run.tracked for run in study.ledger.seed_runs("s"))


class Down:
    """A tracker that fails at chosen calls, and notes what arrives."""

    def __init__(self, fails: set[str]) -> None:
        self.fails, self.arrived, self.calls = fails, set[int](), list[str]()

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if name in self.fails:
            raise ConnectionError(f"no {name}")

    def connect(self, unsent: Any, sent: Any) -> set[Any]:
        self._call("connect")
        return set()

    def stages(self, stages: Any) -> None:
        self._call("stages")
        self.known_stages = {stage.name for stage in stages}

    def begin(self, trial: Any, seed: int) -> None:
        self._call("begin")

    def epochs(self, trial: Any, seed: int, epochs: Any) -> None:
        self._call("epochs")
        self.last_epoch = epochs[-1].epoch

    def finish(self, runs: Any, trials: Any) -> None:
        self._call("finish")
        self.arrived |= {ended.run.seed for ended in runs}

    def drop_networks(self, runs: Any) -> None:
        self._call("drop_networks")

    def end_open(self, *, killed: bool) -> None:
        self._call("end_open")

    def close(self) -> None:
        self.calls.append("close")


@pytest.mark.parametrize("fails", [{"connect"}, {"begin"}, {"finish"}, {"end_open"}])
def test_a_tracker_that_fails_costs_nothing_and_gets_it_later(tmp_path: Path, fails: set[str]) -> None:
    tracker = Down(set(fails))
    study = told(tracker, tmp_path)
    study.run(0, shown=True)
    study.run(1, completes=True)
    study.outbox.flush()
    missing = [Ended(trial=TRIAL, seed=seed) for seed in (0, 1)]
    study.close(missing)
    assert len(study.warnings) == 1, "it is said once"
    assert "kept in the ledger and sent later" in study.warnings[0]
    if fails != {"end_open"}:
        assert study.outbox.failed
    tracker.fails.clear()
    later = told(tracker, tmp_path)
    later.close(missing)
    assert tracker.arrived == {0, 1}
    assert all(run.tracked for run in later.ledger.seed_runs("s"))


def test_after_a_failure_the_tracker_is_connected_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "RETRY_S", 0.0)
    tracker = Down({"begin"})
    study = told(tracker, tmp_path)
    study.run(0, shown=True)
    study.run(1)
    study.close()
    assert tracker.calls.count("connect") >= 2
    assert tracker.arrived == {0, 1}


@pytest.mark.parametrize("fails", [{"connect"}, {"stages"}])
def test_stages_that_a_tracker_missed_are_sent_when_it_is_back(tmp_path: Path, fails: set[str]) -> None:
    tracker = Down(set(fails))
    study = told(tracker, tmp_path)
    study.outbox.stages([trained_stage(tmp_path)])
    study.outbox.flush()
    assert len(study.warnings) == 1
    study.run(0)
    tracker.fails.clear()
    study.close([Ended(trial=TRIAL, seed=0)])
    assert tracker.known_stages == {"drawings"}, "told while it was down, and not told again"
    assert tracker.arrived == {0}


def test_a_stage_that_cannot_be_sent_keeps_no_seed_run_from_it(tmp_path: Path) -> None:
    tracker = Down({"stages"})
    study = told(tracker, tmp_path)
    study.outbox.stages([trained_stage(tmp_path)])
    study.run(0)
    study.close([Ended(trial=TRIAL, seed=0)])
    assert tracker.arrived == {0}
    assert len(study.warnings) == 1
    assert "lacks a pretrain stage" in study.warnings[0]


def test_a_run_that_goes_on_is_shown_again_once_the_tracker_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = Down({"connect"})
    study = told(tracker, tmp_path)
    study.outbox.flush()
    history = seed_run(0).history or ()
    study.outbox.epochs(TRIAL, 0, history[:1])
    study.outbox.flush()
    assert "begin" not in tracker.calls
    tracker.fails.clear()
    monkeypatch.setattr(outbox.time, "monotonic", lambda: float("inf"))
    study.outbox.epochs(TRIAL, 0, history)
    study.close()
    assert tracker.last_epoch == 2


def test_epochs_that_come_while_others_are_sent_are_shown_too(tmp_path: Path) -> None:
    tracker = Down(set())
    study = told(tracker, tmp_path)
    for number in range(1, 2001):
        study.outbox.epochs(TRIAL, 0, [Epoch(epoch=number, lr=0.1, metrics={}, wall_s=0.5)])
    study.close()
    assert tracker.last_epoch == 2000


def test_a_run_that_was_sent_before_its_turn_does_not_begin_anew(tmp_path: Path) -> None:
    """While one is sent, slowly, another is shown and ends: both go out together, before its showing has its turn."""
    goes_on = threading.Event()

    class Slow(Down):
        def connect(self, unsent: Any, sent: Any) -> set[Any]:
            goes_on.wait()
            return super().connect(unsent, sent)

    tracker = Slow(set())
    study = told(tracker, tmp_path)
    study.run(0)
    study.outbox.epochs(TRIAL, 1, (seed_run(1).history or ())[:1])
    study.run(1, completes=True)
    goes_on.set()
    study.close()
    assert tracker.arrived == {0, 1}
    assert "begin" not in tracker.calls
