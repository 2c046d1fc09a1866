"""Optuna's record is derived from the ledger, and made anew where it disagrees."""

from typing import Any

import optuna
import pytest

from sweeps.definition.check import build
from sweeps.definition.config import Definition
from sweeps.planning.study_state import Result
from sweeps.records import TrialRecord
from sweeps.storage.database import Database
from sweeps.storage.optuna_study import OptunaStudy
from tests.conftest import trial


@pytest.fixture(autouse=True)
def _made(database: Database) -> None:
    database.open().close()


def definition(space: dict[str, Any], method: str = "random", **changes: Any) -> Definition:
    base = {"backbone": "resnet18", "weights": "none", "optimizer": "sgd", "epochs": 2, "batch_size": 4, "lr": 0.1}
    base |= {"head": "mlp_leaky_dropout"} if "dropout" in space else {}
    study = {"name": "s", "question": "?", "method": method, "direction": "maximize", "seeds": [0], "trials": 9}
    base = {name: value for name, value in base.items() if name not in space}
    return build({"study": study | {"space": space} | changes, "trial": base, "data": {"source": "digits"}})


SPACE = {"lr": {"min": 1e-5, "max": 1e-1}, "augment": {"values": ["none", ["hflip", "vflip"]]}}


def result(number: int, value: float | None, *others: float, **params: Any) -> Result:
    record = TrialRecord(number=number, params=params, config=trial(), fingerprint=str(number))
    return Result(trial=record, value=value, others=others)


TWO = [result(0, 0.5, lr=1e-3, augment="none"), result(1, None, lr=1e-2, augment=["hflip", "vflip"])]


def matched(database: Database, made: Definition, *results: Result) -> list[optuna.trial.FrozenTrial]:
    """What stands in the record after it was made to agree with results."""
    study = OptunaStudy(database.optuna(), made.study, made.space, lambda trial: {1: 0.25, 2: 0.5})
    study.match(results)
    study.close()
    return optuna.load_study(study_name="s", storage=database.optuna()).trials


def test_trials_stand_in_it_with_value_and_curve_and_divergence_is_a_result(database: Database) -> None:
    made = definition(SPACE)
    matched(database, made, *TWO)
    stored = matched(database, made, *TWO)
    assert [t.state.name for t in stored] == ["COMPLETE", "PRUNED"], "nothing is there twice"
    assert [t.params for t in stored] == [
        {"lr": 1e-3, "augment": "none"},
        {"lr": 1e-2, "augment": '["hflip", "vflip"]'},
    ]
    assert [t.intermediate_values for t in stored] == [{1: 0.25, 2: 0.5}, {}]


def test_a_mean_over_more_seeds_takes_the_place_of_the_old_one(database: Database) -> None:
    made = definition(SPACE)
    matched(database, made, *TWO)
    (stored,) = matched(database, made, TWO[1])
    assert stored.user_attrs["trial"] == 1, "the mean over all seeds of trial 0 is not known yet"
    first, second = matched(database, made, result(0, 0.25, lr=1e-3, augment="none"), TWO[1])
    assert {t.user_attrs["trial"]: t.value for t in (first, second)} == {0: 0.25, 1: None}


def test_what_another_hand_changed_or_left_is_made_anew(database: Database) -> None:
    made = definition(SPACE)
    matched(database, made, *TWO)
    study = optuna.load_study(study_name="s", storage=database.optuna())
    study.ask()
    study.add_trial(optuna.trial.create_trial(value=9.0))
    assert [t.value for t in matched(database, made, *TWO)] == [0.5, None]


def test_a_changed_space_or_direction_makes_the_record_anew(database: Database) -> None:
    matched(database, definition({"lr": {"values": [1e-3, 1e-2]}}), result(0, 0.5, lr=1e-3))
    (stored,) = matched(database, definition({"lr": {"values": [1e-3, 1e-2, 1e-1]}}), result(0, 0.5, lr=1e-3))
    assert stored.distributions["lr"].choices == (1e-3, 1e-2, 1e-1)


AIMS = ["val/accuracy", "seconds"]


def test_several_aims_are_several_values_without_a_curve(database: Database) -> None:
    results = (result(0, 0.5, 2.5, lr=1e-3, augment="none"), TWO[1])
    for _ in range(2):
        stored = matched(database, definition(SPACE, metric=AIMS, direction=None), *results)
    assert [trial.values for trial in stored] == [[0.5, 2.5], None]
    assert [trial.state.name for trial in stored] == ["COMPLETE", "PRUNED"], "nothing is there twice"
    assert not any(trial.intermediate_values for trial in stored)
    study = optuna.load_study(study_name="s", storage=database.optuna())
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert [trial.user_attrs["trial"] for trial in study.best_trials] == [0]


def test_other_aims_make_the_record_anew_and_so_does_another_value_of_one(database: Database) -> None:
    made = definition(SPACE, metric=AIMS, direction=None)
    matched(database, definition(SPACE), TWO[1])
    stored = matched(database, made, result(0, 0.5, 2.5, lr=1e-3, augment="none"), TWO[1])
    assert [trial.values for trial in stored] == [[0.5, 2.5], None]
    (stored,) = matched(database, made, result(0, 0.5, 3.5, lr=1e-3, augment="none"))
    assert stored.values == [0.5, 3.5]
    (stored,) = matched(database, definition(SPACE), result(0, 0.5, lr=1e-3, augment="none"))
    assert stored.values == [0.5]
