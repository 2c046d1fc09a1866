"""Planted differences are found, planted equality is found, and what the runs cannot tell stays open."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from resnet_tl.errors import ConfigError
from sweeps.definition.hypotheses import parse_hypothesis
from sweeps.reporting.answers import Answer, answers
from sweeps.reporting.results import Results, Trial

HEADS = {"expect": "no_difference", "margin": 0.02, "compare": {"head": ["linear", "mlp_relu"]}}


def results(
    means: dict[str, float], *, seeds: int = 8, noise: float = 0.01, rates: Sequence[float] = (1e-3,)
) -> Results:
    """A grid of heads by learning rates; heads have planted means, and seeds their own luck in every trial."""
    draws = np.random.default_rng(0)
    luck = draws.normal(0, 0.05, seeds)  # shared by all trials of a seed: pairing takes it out
    trials = []
    for head, mean in means.items():
        for lr in rates:
            own = draws.normal(0, noise, seeds)
            scores = tuple(float(v) for v in mean + luck + own - own.mean())  # the planted mean, exactly
            trials.append(
                Trial(
                    number=len(trials),
                    values={"head": head, "lr": lr, "optimizer": "sgd"},
                    seeds=tuple(range(seeds)),
                    states=("complete",) * seeds,
                    columns={"val/accuracy": scores, "test/accuracy": scores, "test/loss": tuple(-s for s in scores)},
                )
            )
    return Results(study="s", trials=tuple(trials), metric="val/accuracy", columns=(), seeds=None)


def ask(found: Results, *written: Any) -> list[Answer]:
    return answers(found, [parse_hypothesis(item) for item in written])


@pytest.mark.parametrize(
    ("gap", "changes", "verdict"),
    [
        (0.0, {}, "supported"),
        (0.1, {}, "contradicted"),
        (0.02, {}, "undecided"),
        (0.1, {"expect": "difference", "margin": None}, "supported"),
        (0.015, {"expect": "difference", "margin": None}, "supported"),
        (0.1, {"expect": "difference"}, "supported"),
        (0.02, {"expect": "difference"}, "undecided"),
        (0.0, {"expect": "difference"}, "contradicted"),
        (0.0, {"expect": "difference", "margin": None}, "undecided"),
        (0.1, {"expect": "mlp_relu", "margin": None}, "supported"),
        (0.1, {"expect": "linear", "margin": None}, "contradicted"),
        (0.0, {"expect": "linear", "margin": None}, "undecided"),
        (0.1, {"expect": "linear", "margin": None, "metric": "test/loss"}, "contradicted"),  # -score: lower is better
    ],
)
def test_each_expectation_is_answered(gap: float, changes: dict[str, Any], verdict: str) -> None:
    written = {key: value for key, value in (HEADS | changes).items() if value is not None}
    (got,) = ask(results({"linear": 0.7, "mlp_relu": 0.7 + gap}), written)
    assert got.verdict == verdict
    assert got.difference is not None
    assert got.difference.n == 8
    assert (got.note is not None) == (verdict == "undecided")


def test_three_values_are_compared_in_pairs() -> None:
    three = HEADS | {"compare": {"head": ["linear", "mlp_relu", "mlp_batchnorm"]}}
    means = {"linear": 0.7, "mlp_relu": 0.7, "mlp_batchnorm": 0.7}
    assert ask(results(means, seeds=12), three)[0].verdict == "supported"
    (got,) = ask(results(means | {"mlp_batchnorm": 0.9}), three)
    assert got.verdict == "contradicted"
    assert got.pair is not None
    assert "mlp_batchnorm" in got.pair
    winner = three | {"expect": "mlp_batchnorm"}
    assert ask(results(means | {"mlp_batchnorm": 0.9}), winner)[0].verdict == "supported"
    assert ask(results(means | {"mlp_batchnorm": 0.9, "linear": 0.9}), winner)[0].verdict == "undecided"


def test_values_are_averaged_over_trials_alike_in_all_else() -> None:
    found = results({"linear": 0.7, "mlp_relu": 0.8}, rates=(1e-4, 1e-3, 1e-2))
    one_missing = replace(found, trials=found.trials[:-1])  # mlp_relu at 1e-2
    (got,) = ask(one_missing, HEADS | {"expect": "mlp_relu"})
    assert (got.num_trials, got.verdict) == (2, "supported")
    (got,) = ask(found, HEADS | {"where": {"lr": 1e-3}, "expect": "mlp_relu"})
    assert got.num_trials == 1


def test_what_a_value_sets_is_compared_with_it() -> None:
    found = results({"linear": 0.7, "mlp_relu": 0.8})
    trials = tuple(
        replace(trial, values=trial.values | {"dropout": 0.5 if trial.values["head"] == "mlp_relu" else 0.0})
        for trial in found.trials
    )
    found = replace(found, trials=trials)
    (alone,) = ask(found, HEADS)
    assert alone.note == "no trials differ in head alone"
    space = {"head": {"values": ["linear", "mlp_relu"], "set": {"mlp_relu": {"dropout": 0.5}}}}
    (told,) = answers(found, [parse_hypothesis(HEADS)], space)
    assert (told.verdict, told.following) == ("contradicted", ("dropout",))
    searched = space | {"dropout": {"values": [0.0, 0.5]}}
    (apart,) = answers(found, [parse_hypothesis(HEADS)], searched)
    assert apart.note == "no trials differ in head alone"


def test_the_more_is_asked_the_surer_an_answer_must_be() -> None:
    found = results({"linear": 0.7, "mlp_relu": 0.707}, seeds=6, noise=0.004)
    written = HEADS | {"expect": "mlp_relu"}
    (alone,) = ask(found, written)
    both = ask(found, written, written | {"expect": "difference", "margin": None})
    assert alone.p is not None
    assert (alone.verdict, both[0].verdict) == ("supported", "undecided")
    assert both[0].p == pytest.approx(2 * alone.p)


def test_what_is_missing_leaves_a_question_open() -> None:
    found = results({"linear": 0.7, "mlp_relu": 0.9})
    first, second = found.trials
    broken = replace(second, states=("diverged", *second.states[1:]), columns={
        name: (None, *values[1:]) for name, values in second.columns.items()})  # fmt: skip
    (got,) = ask(replace(found, trials=(first, broken)), HEADS)
    assert got.verdict == "undecided"
    assert "trial 1 diverged" in (got.note or "")
    (got,) = ask(replace(found, seeds=tuple(range(10))), HEADS)
    assert "not every trial has all seeds" in (got.note or "")
    for seeds in (1, 2):
        (got,) = ask(results({"linear": 0.7, "mlp_relu": 0.9}, seeds=seeds), HEADS)
        assert (got.verdict, "too few seeds" in (got.note or "")) == ("undecided", True)
    (got,) = ask(replace(found, trials=(first,)), HEADS)
    assert got.note == "no trial has mlp_relu for head"


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"compare": {"head": ["linear"]}, "expect": "linear"}, "two values or more"),
        ({"compare": {"heads": ["a", "b"]}, "expect": "a"}, "did you mean `head`"),
        ({"compare": {"head": ["a", "b"]}, "expect": "c"}, "`expect` must be no_difference"),
        ({"compare": {"head": ["a", "b"]}, "expect": "no_difference"}, "needs `margin`"),
        ({"compare": {"head": ["a", "b"]}, "expect": "a", "margin": -1}, "above 0"),
        ({"compare": {"head": ["a", "a"]}, "expect": "a"}, "different values"),
        ({"compare": {"head": ["a", "b"]}, "expect": "a", "metric": "test/acc"}, "did you mean"),
        ({"compare": {"head": ["a", "b"]}, "expect": "a", "where": {"head": "a"}}, "leave head open"),
        ({"compare": {"head": ["a", "b"]}, "expects": "a"}, "no option `expects`"),
        ({"compare": ["head"]}, "must map one parameter"),
        (3, "a sentence or a mapping"),
    ],
)
def test_what_cannot_be_asked_is_refused(written: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_hypothesis(written)


def test_a_hypothesis_is_written_as_it_was_read() -> None:
    for written in ("A sentence.", HEADS, HEADS | {"says": "Alike.", "where": {"lr": 0.1}, "metric": "test/f1"}):
        assert parse_hypothesis(parse_hypothesis(written).written()) == parse_hypothesis(written)
