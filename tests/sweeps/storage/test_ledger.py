"""What the ledger remembers comes back as it was."""

import dataclasses
from collections.abc import Iterator

import pytest
import sqlalchemy.exc

from resnet_tl.result import Epoch
from sweeps.records import (
    NAMING,
    ConfirmRecord,
    DataRecord,
    EnvironmentRecord,
    RunState,
    SeedRun,
    StageRecord,
    StudyRecord,
    TrialRecord,
    TrialState,
    study_from_json,
    study_to_json,
)
from sweeps.storage.database import Database
from sweeps.storage.ledger import Ledger
from sweeps.study_trial import StudyTrial
from tests.conftest import trial

RUN = SeedRun(
    study="s", fingerprint="f", seed=0, state=RunState.COMPLETE, max_epoch=3, best_epoch=2,
    metrics={"val/accuracy": 0.5}, wall_s=1.5, reason=None, started="2026-01-01T00:00:00+00:00",
    finished="2026-01-01T00:00:02+00:00", commit=None, network="mlruns/networks/s/f-0/checkpoint",
    compact={"val": b"\x00\x01", "test": b"\x02"},
    history=(Epoch(epoch=1, lr=0.1, metrics={"val/loss": 0.5}, wall_s=1.0),),
)  # fmt: skip
STUDY = StudyRecord(
    name="s", created="2026-01-01T00:00:00+00:00", naming=NAMING, question="?", about="", hypotheses=("A sentence.",),
    hypotheses_changed=None, method="grid", metric="val/accuracy", direction="maximize", seeds=(0, 1),
    space={"lr": {"values": [1e-3, 1e-2]}}, base={"backbone": "resnet18", "epochs": 2}, base_weights="none",
    pretrain={"p": StageRecord(trial={"lr": 0.1}, seed=0, data={"source": "digits"})},
    data=DataRecord(
        source="digits", options={"source": "digits"}, classes=("a", "b"), num_images={"train": 3, "val": 1, "test": 1},
        test_name="d", images_name="d", presentation_name="d", skipped={"x.png": "is empty"},
    ),
    environment=EnvironmentRecord(numerics=4, torch="2", torchvision="0", device="cpu", threads=1),
    tables=("summary", {"pivot": {"rows": "lr"}}), figures=("curves",), confirm=ConfirmRecord(top=1, seeds=(1000,)),
    num_trials=2, command="python -m sweeps.run", out=".",
)  # fmt: skip


@pytest.fixture
def ledger(database: Database) -> Iterator[Ledger]:
    ledger = database.open()
    yield ledger
    ledger.close()


def test_a_seed_run_stands_once_for_each_study(ledger: Ledger) -> None:
    ledger.put([RUN])
    with pytest.raises(sqlalchemy.exc.IntegrityError):
        ledger.put([RUN])
    ledger.put([dataclasses.replace(RUN, study="t")])
    assert ledger.seed_runs("s", heavy=True) == [RUN]
    assert ledger.seed_runs("s") == [dataclasses.replace(RUN, compact=None, history=None)]


@pytest.mark.parametrize("state", [RunState.FAILED, RunState.CANCELLED])
def test_what_is_no_result_is_replaced_and_a_result_never_is(ledger: Ledger, state: RunState) -> None:
    ledger.put([dataclasses.replace(RUN, state=state, metrics={}, best_epoch=None)])
    assert ledger.find("f", 0) is None, "a failure is no result to take over"
    ledger.put([RUN])
    assert [run.state for run in ledger.seed_runs("s")] == [RunState.COMPLETE]
    assert ledger.find("f", 0) == dataclasses.replace(RUN, repeated_s=RUN.wall_s), (
        "what earlier tries took is not forgotten"
    )
    assert ledger.find("f", 1) is None


def test_numbers_that_are_not_finite_never_get_in(ledger: Ledger) -> None:
    with pytest.raises(ValueError, match="JSON"):
        ledger.put([dataclasses.replace(RUN, metrics={"val/loss": float("nan")})])
    assert ledger.seed_runs("s") == []


def test_a_study_that_was_stored_before_there_were_several_aims_has_one() -> None:
    content = study_to_json(dataclasses.replace(STUDY, aims=("seconds",)))
    assert study_from_json(content).aims == ("seconds",)
    del content["aims"], content["data"]["channels"]
    assert study_from_json(content) == STUDY


def test_studies_and_trials_come_back_as_they_were(ledger: Ledger) -> None:
    ledger.put_study(dataclasses.replace(STUDY, question="before"))
    ledger.put_study(STUDY)
    assert ledger.study("s") == STUDY
    assert ledger.studies() == [STUDY]
    assert ledger.study("t") is None
    record = TrialRecord(number=0, fingerprint="f", params={"lr": 1e-3}, config=trial(lr=1e-3))
    ledger.put_trials("s", [record])
    seen = StudyTrial.model_validate(record.config.model_dump() | {"balanced": "off", "size": 32, "crop": None})
    anew = dataclasses.replace(record, params={"lr": 1e-3, "momentum": 0.9}, config=seen)
    ledger.describe("s", [anew])
    assert ledger.trials("s") == [anew]
    assert ledger.trials("t") == []


def test_a_trials_state_is_that_of_its_seed_runs(ledger: Ledger) -> None:
    ledger.put_study(STUDY)
    ledger.put_trials("s", [TrialRecord(number=0, fingerprint="f", params={}, config=trial())])

    def state() -> TrialState:
        return ledger.trials("s")[0].state

    assert state() == TrialState.PLANNED
    ledger.put([RUN])
    assert state() == TrialState.INCOMPLETE
    ledger.put([dataclasses.replace(RUN, seed=1, state=RunState.FAILED, metrics={})])
    assert state() == TrialState.FAILED
    ledger.put([dataclasses.replace(RUN, seed=1)])
    ledger.put([dataclasses.replace(RUN, seed=1000, state=RunState.DIVERGED)])
    assert state() == TrialState.COMPLETE, "seeds of a confirmation are none of the search"


def test_marks_and_networks_change_one_seed_run(ledger: Ledger) -> None:
    ledger.put([RUN, dataclasses.replace(RUN, seed=1)])
    ledger.mark_tracked("s", [("f", 1)])
    ledger.drop_networks("s", [("f", 0)])
    ledger.mark_tracked("s", [])
    first, second = ledger.seed_runs("s")
    assert (first.tracked, first.network) == (False, None)
    assert (second.tracked, second.network) == (True, RUN.network)


def test_compact_predictions_of_a_study_are_read_at_once(ledger: Ledger) -> None:
    ledger.put([RUN, dataclasses.replace(RUN, seed=1, compact=None)])
    ledger.put([dataclasses.replace(RUN, study="t")])
    assert ledger.compact("s", "val") == {("f", 0): b"\x00\x01"}
    assert ledger.compact("s", "test") == {("f", 0): b"\x02"}
