"""How many seed runs a study has: of the search, and on fresh seeds before it is known which trials are confirmed."""

from dataclasses import replace

import pytest

from sweeps.definition.config import StudyConfig
from sweeps.planning.study_state import StudyState
from sweeps.records import RunState, SeedRun, TrialRecord
from tests.conftest import trial
from tests.sweeps.storage.test_ledger import RUN

STUDY = StudyConfig.model_validate(
    {"name": "s", "question": "?", "method": "random", "trials": 4, "seeds": [0, 1], "space": {},
     "confirm": {"top": 3, "seeds": 2}}
)  # fmt: skip
TRIALS = [TrialRecord(number=n, params={}, config=trial(), fingerprint=f"f{n}") for n in range(4)]


def ended(number: int, seed: int, state: RunState = RunState.COMPLETE) -> SeedRun:
    metrics = {"val/accuracy": 0.1 * number} if state == RunState.COMPLETE else {}
    return replace(RUN, fingerprint=f"f{number}", seed=seed, state=state, metrics=metrics)


SEARCH = [ended(number, seed) for number in range(4) for seed in (0, 1)]
DIVERGED = [ended(number, seed, RunState.DIVERGED) for number in (0, 1) for seed in (0, 1)]
FAILED = [*SEARCH[:-1], ended(3, 1, RunState.FAILED)]


@pytest.mark.parametrize(
    ("trials", "runs", "told"),
    [
        (0, [], "0 of 8 seed runs and 0 of 6 on fresh seeds"),
        (2, SEARCH[:3], "3 of 8 seed runs and 0 of 6 on fresh seeds"),
        (4, SEARCH, "8 of 8 seed runs and 0 of 6 on fresh seeds"),
        (4, [*SEARCH, ended(3, 1000), ended(3, 1001)], "8 of 8 seed runs and 2 of 6 on fresh seeds"),
        (4, [*DIVERGED, *SEARCH[4:]], "8 of 8 seed runs and 0 of 4 on fresh seeds"),
        (4, FAILED, "7 of 8 seed runs and 0 of 6 on fresh seeds"),
    ],
)
def test_fresh_seeds_are_counted_from_the_start(trials: int, runs: list[SeedRun], told: str) -> None:
    state = StudyState(STUDY, trials=TRIALS[:trials], runs=runs, to_ask=4 - trials)
    for run in runs:
        if run.state == RunState.FAILED:
            state.know(run)
    assert state.outcome(ran=0, best=None).told() == told


def test_a_study_that_confirms_nothing_has_no_fresh_seeds() -> None:
    state = StudyState(STUDY.model_copy(update={"confirm": None}), trials=TRIALS, runs=SEARCH, to_ask=0)
    counts = state.outcome(ran=0, best=None)
    assert (counts.told(), counts.done, counts.total) == ("8 of 8 seed runs", 8, 8)


def aimed(*aims: str) -> StudyState:
    study = STUDY.model_copy(update={"aims": aims, "confirm": None})
    runs = [replace(run, wall_s=1.0 + run.seed, metrics=run.metrics | {"val/loss": 0.25}) for run in SEARCH[2:]]
    old = [replace(run, metrics={"val/accuracy": 0.5}) for run in SEARCH[:2]]
    runs[-1] = ended(3, 1, RunState.DIVERGED)
    return StudyState(study, trials=TRIALS, runs=[*old, *runs], to_ask=0, sizes_of=lambda config: {"parameters": 7})


def test_further_aims_are_means_over_seeds_and_sizes_of_the_network() -> None:
    found = aimed("seconds", "parameters", "val/loss").results(TRIALS[1:2])
    assert [result.others for result in found] == [(1.5, 7.0, 0.25)]


def test_what_lacks_a_further_aim_is_told_to_no_sampler_and_what_diverged_is() -> None:
    results = aimed("val/loss").results()
    assert [result.trial.number for result in results] == [1, 2, 3], "trial 0 was run before there was this score"
    assert (results[-1].value, results[-1].others) == (None, ())
    assert [result.trial.number for result in aimed("seconds").results()] == [0, 1, 2, 3]
