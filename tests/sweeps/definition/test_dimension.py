"""Distributions of W&B: what is drawn, how long ranges are held, and what is refused."""

import math
import time
from random import Random
from typing import Any

import pytest

from resnet_tl.errors import ConfigError
from sweeps.definition.dimension import Dimension, parse_dimension


def parse(written: Any, name: str = "lr") -> Dimension:
    return parse_dimension(name, name, written, f"`study.space.{name}`")


def drawn(dimension: Dimension, count: int = 300) -> list[Any]:
    random = Random(0)
    return [dimension.draw(random) for _ in range(count)]


@pytest.mark.parametrize("name", ["batch_size", "epochs", "head_width", "warmup_epochs", "patience"])
@pytest.mark.parametrize(
    ("written", "least", "most"),
    [
        ({"min": 2, "max": 9}, 2, 9),
        ({"min": 1.5, "max": 9.5}, 2, 9),
        ({"distribution": "uniform", "min": 2, "max": 9}, 2, 9),
        ({"distribution": "int_uniform", "min": 2, "max": 9}, 2, 9),
        ({"distribution": "q_uniform", "min": 2, "max": 9, "q": 2}, 2, 8),
        ({"distribution": "q_uniform", "min": 1.5, "max": 9.0, "q": 1.0}, 2, 9),
        ({"distribution": "log_uniform_values", "min": 2, "max": 300}, 2, 300),
        ({"distribution": "inv_log_uniform_values", "min": 2.5, "max": 300.5}, 3, 300),
        ({"distribution": "q_log_uniform_values", "min": 8, "max": 256, "q": 8}, 8, 256),
        ({"distribution": "log_uniform", "min": 1, "max": 5}, 3, 148),
        ({"distribution": "q_log_uniform", "min": 1.0, "max": 5.0, "q": 4}, 4, 148),
        ({"distribution": "inv_log_uniform", "min": -5, "max": -1}, 3, 148),
    ],
)
def test_whole_options_are_drawn_whole(name: str, written: dict[str, Any], least: int, most: int) -> None:
    dimension = parse(written, name)
    listed = dimension.enumerate()
    assert listed is not None
    assert (listed[0], listed[-1]) == (least, most)
    values = drawn(dimension)
    assert all(type(value) is int for value in [*values, *listed])
    assert all(dimension.contains(value) for value in values)
    assert not dimension.contains(least - 1)
    assert not dimension.contains(least + 0.5)


@pytest.mark.parametrize("kind", ["normal", "q_normal", "log_normal", "q_log_normal", "beta", "q_beta"])
@pytest.mark.parametrize(
    "written",
    [
        {"mu": -3, "sigma": 0.5, "q": 0.01}, {}, {"mu": 1e308, "sigma": 1e308}, {"mu": 1e308, "sigma": 1},
        {"mu": 0.1, "sigma": 1e-6}, {"mu": 1, "sigma": -1}, {"mu": -400, "sigma": 299}, {"min": 0, "max": 1},
    ],
)  # fmt: skip
def test_distributions_without_bounds_are_refused_with_one_that_can_be_pasted(
    kind: str, written: dict[str, Any]
) -> None:
    with pytest.raises(ConfigError, match="is not available; use") as caught:
        parse({"distribution": kind, **written})
    pasted = str(caught.value).partition("{")[2].partition("}")[0]
    words = dict(part.split(": ") for part in pasted.split(", "))
    parse({key: value if key == "distribution" else float(value) for key, value in words.items()})


def test_logarithmic_distributions_mean_what_they_mean_at_wandb() -> None:
    for written in (
        {"distribution": "log_uniform", "min": math.log(1e-4), "max": math.log(1e-1)},
        {"distribution": "log_uniform_values", "min": 1e-4, "max": 1e-1},
        {"distribution": "inv_log_uniform", "min": math.log(1e1), "max": math.log(1e4)},
        {"distribution": "inv_log_uniform_values", "min": 1e-4, "max": 1e-1},
    ):
        dimension = parse(written)
        assert (dimension.low, dimension.high) == pytest.approx((1e-4, 1e-1))
        below = sum(value < math.sqrt(1e-5) for value in drawn(dimension, 2000))
        assert 900 < below < 1100, "half of the values lie below the geometric mean"


def test_multiples_are_drawn_by_their_logarithm() -> None:
    dimension = parse({"distribution": "q_log_uniform_values", "min": 1e-4, "max": 1e-2, "q": 1e-4}, "weight_decay")
    listed = dimension.enumerate()
    assert listed is not None
    assert (listed[0], listed[1], listed[-1], len(listed)) == (1e-4, 2e-4, 1e-2, 100)


@pytest.mark.parametrize(
    "written",
    [
        {"min": 1, "max": 1_000_000},
        {"min": 1, "max": 2**53},
        {"distribution": "log_uniform_values", "min": 1, "max": 1_000_000},
    ],
)
def test_long_ranges_take_neither_time_nor_memory(written: dict[str, Any]) -> None:
    began = time.perf_counter()
    dimension = parse(written, "epochs")
    assert len(dimension.enumerate() or ()) == written["max"]
    assert dimension.contains(written["max"])
    assert not dimension.contains(written["max"] + 1)
    assert time.perf_counter() - began < 0.1


@pytest.mark.parametrize(
    ("name", "written", "message"),
    [
        ("lr", {"distribution": "q_uniform", "min": 0.0, "max": 1.0, "q": 1e-12}, "at most 100,000 values"),
        ("epochs", {"min": 1, "max": 10**19}, "at most 9007199254740992"),
        ("epochs", {"min": 1, "max": 1e19}, "at most 9007199254740992"),
        ("epochs", {"distribution": "log_uniform_values", "min": 1, "max": 1e19}, "at most 1,000,000"),
        ("epochs", {"min": 1.2, "max": 1.8}, "must hold a whole number"),
        ("epochs", {"distribution": "q_uniform", "min": 1, "max": 9, "q": 0.5}, "`q` must be a whole number"),
        ("epochs", {"distribution": "q_log_uniform_values", "min": 1, "max": 9, "q": 20}, "`0 < q <= max - min`"),
        ("lr", {"distribution": "log_uniform", "min": 1e-5, "max": 1e-1}, "log_uniform_values takes the values them"),
        ("lr", {"distribution": "inv_log_uniform", "min": 1e-5, "max": 1e-1}, "so 1e-05 to 0.1 means 0.9048 to 1;"),
        ("lr", {"distribution": "inv_log_uniform", "min": -800, "max": 5}, "but got -800 to 5"),
        ("epochs", {"min": 1, "max": 5000, "set": {math.inf: {"lr": 1}}}, "speaks of inf, which is not one of its"),
        ("lr", {"distribution": "log_uniform", "min": -5000, "max": 5000}, "exponents of e, from -700 to 700"),
        ("lr", {"distribution": ["uniform"], "min": 0, "max": 1}, "unknown distribution"),
        ("lr", {"distribution": {"a": 1}, "min": 0, "max": 1}, "unknown distribution"),
        ("lr", {"values": [1, 2], "probabilities": [0.1, 0.9]}, "every value is as likely"),
        ("lr", {"parameters": {"a": 1}}, "parameters within a parameter"),
        ("lr", {"values": 3}, "must be a list of at least one value"),
        ("lr", {"min": [1], "max": {}}, "`min < max` must hold"),
        ("lr", 1, "must be a mapping"),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_is_refused(name: str, written: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse(written, name)


WEIGHT_DECAYS = [
    {"distribution": "q_log_uniform", "min": -4.7, "max": -2.302585093, "q": 0.01},
    {"distribution": "q_log_uniform", "min": -4.60517018, "max": -2.4, "q": 0.01},
    {"distribution": "q_log_uniform_values", "min": 1e-14, "max": 0.1, "q": 0.01},
    {"distribution": "q_uniform", "min": 0.0123456789012345, "max": 0.1, "q": 0.01},
    {"distribution": "q_uniform", "min": 0.0, "max": 0.9999999999, "q": 0.1},
    {"distribution": "q_uniform", "min": 0.0, "max": 1.0, "q": 0.3333333333333333},
    {"distribution": "q_uniform", "min": 1.2345678912345e-6, "max": 1e-5, "q": 1.1111111111111e-7},
    {"distribution": "q_uniform", "min": 1e10, "max": 1e10 + 1, "q": 0.1},
]


@pytest.mark.parametrize("written", WEIGHT_DECAYS, ids=str)
def test_optuna_takes_every_value_of_a_range_with_steps_and_proposes_no_other(written: dict[str, Any]) -> None:
    optuna = pytest.importorskip("optuna")
    from sweeps.planning.sampler import _stored, suggest

    dimension = parse(written, "weight_decay")
    listed = dimension.enumerate()
    assert listed
    assert listed[0] > 0 or not dimension.log, "zero has no logarithm"
    memory = optuna.create_study()
    for value in listed:
        stored, distribution = _stored(dimension, value)
        memory.add_trial(
            optuna.trial.create_trial(value=value, params={"x": stored}, distributions={"x": distribution})
        )
    found = {suggest(dimension, optuna.samplers.RandomSampler(seed=seed), memory) for seed in range(300)}
    assert found <= set(listed)
    assert len(found) > len(listed) / 2


def test_values_of_long_ranges_are_found_without_going_through_them() -> None:
    dimension = parse({"distribution": "q_uniform", "min": 0.0, "max": 1.0, "q": 1e-5})
    listed = dimension.enumerate()
    assert listed
    began = time.perf_counter()
    for value in listed[::100]:
        assert dimension.contains(value)
        assert not dimension.contains(value + 1e-7)
        assert dimension.closest(value + 1e-7) == value
    assert time.perf_counter() - began < 0.5, "1,000 values; searched from the start they took 7 s"


def test_a_sampler_proposes_whole_numbers_and_knows_them_again() -> None:
    optuna = pytest.importorskip("optuna")
    from sweeps.planning.sampler import _stored, suggest

    for written in (
        {"distribution": "log_uniform_values", "min": 8, "max": 500},
        {"distribution": "q_log_uniform_values", "min": 8, "max": 256, "q": 8},
        {"distribution": "q_uniform", "min": 16, "max": 250, "q": 16},
        {"distribution": "uniform", "min": 8.5, "max": 31.5},
    ):
        sampler, memory = optuna.samplers.RandomSampler(seed=0), optuna.create_study()
        for _ in range(20):
            dimension = parse(written, "batch_size")
            value = suggest(dimension, sampler, memory)
            assert type(value) is int
            assert dimension.contains(value)
            stored, distribution = _stored(dimension, value)
            assert distribution._contains(distribution.to_internal_repr(stored))
