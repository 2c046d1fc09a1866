"""Proposals are a pure function of the study and of the results that they may know."""

import dataclasses
from collections.abc import Callable
from typing import Any

import optuna
import pytest

from resnet_tl.errors import ConfigError
from sweeps.definition.config import Definition
from sweeps.definition.space import Params
from sweeps.planning.sampler import Sampler, frozen_trial
from sweeps.planning.study_state import Result
from sweeps.records import TrialRecord
from tests.conftest import trial
from tests.sweeps.storage.test_optuna_study import definition

LR_AND_MOMENTUM = {
    "lr": {"distribution": "log_uniform_values", "min": 1e-5, "max": 1e-1},
    "momentum": {"min": 0.0, "max": 0.95},
}


def result(number: int, params: Params, value: float | None) -> Result:
    record = TrialRecord(number=number, params=params, config=trial(), fingerprint=repr(params))
    return Result(trial=record, value=value)


def search(made: Definition, length: int, score: Callable[[Params], float | None]) -> list[Result]:
    sampler, results, taken = Sampler(made.study, made.space), [], dict[str, int]()
    for number in range(length):
        params = sampler.propose(number, results, taken, repr).params
        assert params is not None
        taken[repr(params)] = number
        results.append(result(number, params, score(params)))
    return results


def test_sampled_steps_are_the_listed_values() -> None:
    made = definition({"dropout": {"distribution": "q_uniform", "min": 0.0, "max": 0.6, "q": 0.1}, "lr": {"value": 1}})
    found = search(made, 7, lambda params: 0.5)
    assert sorted(item.trial.params["dropout"] for item in found) == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    taken = {item.trial.fingerprint: item.trial.number for item in found}
    assert Sampler(made.study, made.space).propose(7, found, taken, repr).params is None, "the space has no other"


@pytest.mark.parametrize("method", ["random", "bayes"])
def test_a_sampler_that_met_other_points_on_its_way_proposes_the_same(method: str) -> None:
    made = definition(LR_AND_MOMENTUM, method)
    found = search(made, 16, lambda params: params["momentum"])
    used = Sampler(made.study, made.space)
    for number in (3, 11, 15):
        for sampler in (used, Sampler(made.study, made.space)):
            proposal = sampler.propose(number, found[:number], {}, repr)
            assert proposal.params == found[number].trial.params


def test_points_that_are_tried_out_leave_no_trials_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    space = {
        "momentum": {"values": [0.1, 0.5, 0.9]},
        "lr": {"values": [1e-3, 1e-2, 1e-1]},
        "epochs": {"values": [1, 2]},
    }
    seen = set()
    sample = optuna.samplers.TPESampler.sample_independent

    def watched(self: Any, study: optuna.Study, *rest: Any) -> Any:
        seen.add(len(study.get_trials(deepcopy=False)))
        return sample(self, study, *rest)

    monkeypatch.setattr(optuna.samplers.TPESampler, "sample_independent", watched)
    found = search(definition(space, "bayes"), 18, lambda params: params["momentum"])
    assert len({item.trial.fingerprint for item in found}) == 18
    assert seen == set(range(18)), "or every suggestion would go through all points that were ever tried"


def test_results_that_changed_are_never_stale() -> None:
    made = definition(LR_AND_MOMENTUM, "bayes")
    found = search(made, 14, lambda params: params["momentum"])
    changed = [result(item.trial.number, dict(item.trial.params), 1 - (item.value or 0)) for item in found]
    used = Sampler(made.study, made.space)
    before = used.propose(14, found, {}, repr)
    anew = Sampler(made.study, made.space).propose(14, changed, {}, repr)
    assert used.propose(14, changed, {}, repr) == anew
    assert anew != before, "or the results would not matter"


def test_what_diverges_is_proposed_less_and_less() -> None:
    first, last = [], []
    for seed in range(3):
        made = definition(LR_AND_MOMENTUM, "bayes")
        made = dataclasses.replace(made, study=made.study.model_copy(update={"seeds": (seed,)}))
        found = search(made, 40, lambda params: None if params["lr"] > 1e-3 else 0.5 + params["momentum"] / 10)
        first += [item.value is None for item in found[:10]]
        last += [item.value is None for item in found[-20:]]
    assert sum(first) >= 10, "the first ten are drawn at random"
    assert sum(last) <= 20, "of 60; of a sampler that hears nothing of them, nearly all"


def test_a_trial_that_diverged_ranks_below_every_complete_one_and_none_of_them_above_another() -> None:
    made = definition(LR_AND_MOMENTUM, "bayes")
    state = frozen_trial(result(0, {"lr": 1e-3, "momentum": 0.5}, None), made.space, curve={1: 0.1})
    assert state.state == optuna.trial.TrialState.PRUNED
    assert not state.intermediate_values


def test_points_that_break_a_rule_are_passed_over_and_counted() -> None:
    made = definition(LR_AND_MOMENTUM)

    def name_of(params: dict[str, Any]) -> str:
        if params["momentum"] > 0.1:
            raise ConfigError("`momentum` must be small.")
        return repr(params)

    proposal = Sampler(made.study, made.space).propose(0, [], {}, name_of)
    assert proposal.params is not None
    assert proposal.params["momentum"] <= 0.1
    assert proposal.num_invalid > 0
    assert proposal.broken == "`momentum` must be small."


def test_a_space_without_a_valid_point_proposes_nothing_and_says_why() -> None:
    def name_of(params: dict[str, Any]) -> str:
        raise ConfigError("nothing is right")

    for space in (LR_AND_MOMENTUM, {"epochs": {"min": 1, "max": 1000}}):
        made = definition(space)
        proposal = Sampler(made.study, made.space).propose(0, [], {}, name_of)
        assert (proposal.params, proposal.broken) == (None, "nothing is right")


def of_aims(number: int, params: Params, values: tuple[float, ...] | None) -> Result:
    record = TrialRecord(number=number, params=params, config=trial(), fingerprint=repr(params))
    return Result(trial=record, value=values[0] if values else None, others=values[1:] if values else ())


def search_by_aims(made: Definition, length: int, score: Callable[[Params], tuple[float, ...] | None]) -> list[Result]:
    sampler, results, taken = Sampler(made.study, made.space), list[Result](), dict[str, int]()
    for number in range(length):
        params = sampler.propose(number, results, taken, repr).params
        assert params is not None
        taken[repr(params)] = number
        results.append(of_aims(number, params, score(params)))
    return results


AIMS = {"metric": ["val/accuracy", "seconds"], "direction": None}


def test_with_several_aims_it_proposes_the_same_after_a_restart() -> None:
    made = definition(LR_AND_MOMENTUM, "bayes", **AIMS)
    found = search_by_aims(made, 24, lambda params: (params["momentum"], 1 + params["momentum"] + params["lr"]))
    for number in (3, 12, 18, 23):
        anew = Sampler(made.study, made.space).propose(number, found[:number], {}, repr)
        assert anew.params == found[number].trial.params


def test_with_several_aims_the_front_is_proposed_more_than_what_it_dominates() -> None:
    last, alone = [], []
    for seed in range(3):
        made = definition(LR_AND_MOMENTUM, "bayes", **AIMS | {"seeds": [seed]})
        # momentum trades one aim for the other, and all with a low rate is dominated
        found = search_by_aims(
            made, 40, lambda params: (params["momentum"] + params["lr"], params["momentum"] - params["lr"])
        )
        last += [item.trial.params for item in found[-20:]]
        one = definition(LR_AND_MOMENTUM, "bayes", seeds=[seed])
        alone += [item.trial.params for item in search(one, 40, lambda params: params["momentum"])[-20:]]
    assert sum(params["lr"] > 1e-2 for params in last) >= 40, "of 60; by chance 15"
    assert sum(params["momentum"] < 0.5 for params in last) >= 15
    assert sum(params["momentum"] < 0.5 for params in alone) <= 15, "who hears of one aim leaves that side"


def test_with_several_aims_a_trial_that_diverged_ranks_below_every_complete_one() -> None:
    made = definition(LR_AND_MOMENTUM, "bayes", **AIMS)
    state = frozen_trial(of_aims(0, {"lr": 1e-3, "momentum": 0.5}, None), made.space, curve={1: 0.1})
    assert (state.state, state.values, state.intermediate_values) == (optuna.trial.TrialState.PRUNED, None, {})
    kept = frozen_trial(of_aims(0, {"lr": 1e-3, "momentum": 0.5}, (0.5, 2.0)), made.space, curve={1: 0.1})
    assert (kept.values, kept.intermediate_values) == ([0.5, 2.0], {})
    found = search_by_aims(
        made, 40, lambda params: None if params["lr"] > 1e-3 else (0.5 + params["momentum"] / 10, params["momentum"])
    )
    assert sum(item.value is None for item in found[-20:]) <= 8, "at random it would be ten"
