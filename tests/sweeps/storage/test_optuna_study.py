"""Optuna's record is derived from the ledger, and its proposals are points of the space."""

from pathlib import Path
from typing import Any

import optuna
import pytest

from sweeps.definition.check import build
from sweeps.definition.config import Definition
from sweeps.records import TrialRecord
from sweeps.storage.database import Database, database_of
from sweeps.storage.optuna_study import OptunaStudy
from tests.conftest import trial


@pytest.fixture
def database(tmp_path: Path) -> Database:
    database = database_of(tmp_path)
    database.open().close()
    return database


def definition(space: dict[str, Any], method: str = "random") -> Definition:
    base = {"backbone": "resnet18", "weights": "none", "optimizer": "sgd", "epochs": 2, "batch_size": 4, "lr": 0.1}
    base |= {"head": "mlp_leaky_dropout"} if "dropout" in space else {}
    study = {"name": "s", "question": "?", "method": method, "direction": "maximize", "seeds": [0], "trials": 9}
    base = {name: value for name, value in base.items() if name not in space}
    return build({"study": study | {"space": space}, "trial": base, "data": {"source": "digits"}})


def opened(database: Database, made: Definition, *, fresh: bool = True) -> OptunaStudy:
    return OptunaStudy(database.optuna(), made.study, made.space, fresh=fresh)


def test_sampled_steps_are_the_listed_values(database: Database) -> None:
    made = definition({"dropout": {"distribution": "q_uniform", "min": 0.0, "max": 0.6, "q": 0.1}, "lr": {"value": 1}})
    study = opened(database, made)
    taken: dict[str, int] = {}
    for number in range(7):
        params = study.propose(number, taken, repr)
        assert params is not None
        taken[repr(params)] = number
        assert params["dropout"] in [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    assert study.propose(7, taken, repr) is None, "the space has no other"


def test_what_is_proposed_does_not_depend_on_a_restart(database: Database) -> None:
    made = definition({"lr": {"min": 1e-5, "max": 1e-1}, "augment": {"values": ["none", ["hflip", "vflip"]]}})
    proposals = []
    for number in range(4):
        study = opened(database, made, fresh=number == 0)  # restarted before each
        study.drop_unknown({trial.number for trial, _ in proposals})
        params = study.propose(number, {}, repr)
        assert params is not None
        record = TrialRecord(number=number, params=params, config=trial(), fingerprint=str(number))
        proposals.append((record, params))
        study.settle(record, 0.5)
        study.close()
    again = opened(database, made, fresh=True)
    assert [again.propose(number, {}, repr) for number in range(4)] == [params for _, params in proposals]


def test_trials_of_the_ledger_are_added_with_their_values(database: Database) -> None:
    made = definition({"lr": {"min": 1e-5, "max": 1e-1}, "augment": {"values": ["none", ["hflip", "vflip"]]}})
    study = opened(database, made)
    for number, (lr, augment, value) in enumerate([(1e-3, "none", 0.5), (1e-2, ["hflip", "vflip"], None)]):
        params = {"lr": lr, "augment": augment}
        record = TrialRecord(number=number, params=params, config=trial(), fingerprint=str(number))
        study.begin(record)
        study.begin(record)
        study.settle(record, value)
        study.settle(record, value)
    study.close()
    stored = optuna.load_study(study_name="s", storage=database.optuna()).trials
    assert [t.state.name for t in stored] == ["COMPLETE", "FAIL"]
    assert [t.params for t in stored] == [
        {"lr": 1e-3, "augment": "none"},
        {"lr": 1e-2, "augment": '["hflip", "vflip"]'},
    ]


def test_a_changed_space_makes_the_record_anew(database: Database) -> None:
    first = opened(database, definition({"lr": {"values": [1e-3, 1e-2]}}))
    first.settle(TrialRecord(number=0, params={"lr": 1e-3}, config=trial(), fingerprint="0"), 0.5)
    first.close()
    second = opened(database, definition({"lr": {"values": [1e-3, 1e-2, 1e-1]}}), fresh=False)
    second.settle(TrialRecord(number=0, params={"lr": 1e-3}, config=trial(), fingerprint="0"), 0.5)
    second.close()
    (stored,) = optuna.load_study(study_name="s", storage=database.optuna()).trials
    assert stored.distributions["lr"].choices == (1e-3, 1e-2, 1e-1)
