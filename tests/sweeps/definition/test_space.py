from typing import Any

import pytest

from resnet_tl.errors import ConfigError
from sweeps.definition.space import Space


def space(written: Any, **base: Any) -> Space:
    return Space.parse(written, base)


def points(written: Any, **base: Any) -> list[dict[str, Any]]:
    return list(space(written, **base).grid())


def test_a_grid_is_every_point_the_last_parameter_fastest() -> None:
    got = points({"head": {"values": ["linear", "mlp_relu"]}, "lr": {"values": [1, 2]}})
    assert got == [
        {"head": "linear", "lr": 1}, {"head": "linear", "lr": 2},
        {"head": "mlp_relu", "lr": 1}, {"head": "mlp_relu", "lr": 2},
    ]  # fmt: skip


def test_conditions_hold_whatever_the_order_of_writing() -> None:
    written = {
        "momentum": {"values": [0.0, 0.9], "when": {"optimizer": "sgd"}},
        "optimizer": {"values": ["sgd", "adam"]},
    }
    assert points(written) == [
        {"optimizer": "sgd", "momentum": 0.0}, {"optimizer": "sgd", "momentum": 0.9}, {"optimizer": "adam"},
    ]  # fmt: skip


def test_a_condition_may_speak_of_the_base_and_of_defaults() -> None:
    written = {"momentum": {"values": [0.5], "when": {"optimizer": ["sgd"]}}}
    assert points(written, optimizer="sgd") == [{"momentum": 0.5}]
    assert points(written, optimizer="adam") == [{}]
    assert points({"dropout": {"values": [0.5], "when": {"head": "linear"}}}) == [{"dropout": 0.5}]


def test_alternatives_are_told_apart_by_their_conditions() -> None:
    written = {
        "head": {"values": ["linear", "mlp_relu"]},
        "lr": [
            {"values": [1, 2], "when": {"head": "linear"}},
            {"values": [3], "when": {"head": "mlp_relu"}, "set": {3: {"epochs": 9}}},
        ],
    }
    got = space(written)
    assert [p["lr"] for p in got.grid()] == [1, 2, 3]
    assert got.apply({"head": "mlp_relu", "lr": 3}, {"epochs": 1})["epochs"] == 9
    assert got.apply({"head": "linear", "lr": 1}, {"epochs": 1})["epochs"] == 1


def test_values_may_set_other_parameters_and_contradictions_are_refused() -> None:
    written = {
        "lr": {"values": [1, 2], "set": {2: {"epochs": 5}}},
        "head": {"values": ["linear", "mlp_relu"], "set": {"mlp_relu": {"epochs": 7}}},
    }
    got = space(written)
    assert got.apply({"lr": 2, "head": "linear"}, {"epochs": 1})["epochs"] == 5
    with pytest.raises(ConfigError, match=r"`epochs` is set to 5 by `study.space.lr` and to 7 by `study.space.head`"):
        got.apply({"lr": 2, "head": "mlp_relu"}, {"epochs": 1})


def test_wandb_blocks_mean_what_they_mean_there() -> None:
    got = space(
        {
            "lr": {"distribution": "log_uniform_values", "min": 1e-5, "max": 1e-2},
            "epochs": {"min": 3, "max": 5},
            "momentum": {"min": 0.0, "max": 0.9},
            "dropout": {"distribution": "q_uniform", "min": 0.1, "max": 0.5, "q": 0.2},
            "batch_size": {"value": 32},
            "head": {"distribution": "categorical", "values": ["linear"]},
        }
    )
    by_name = {dimension.name: dimension for dimension in got.dimensions}
    assert by_name["lr"].log
    assert by_name["epochs"].enumerate() == (3, 4, 5)
    assert by_name["momentum"].enumerate() is None
    assert by_name["dropout"].enumerate() == (0.1, 0.3, 0.5)
    assert by_name["batch_size"].enumerate() == (32,)
    assert not got.is_finite()


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"learning_rate": {"values": [1]}}, "did you mean `lr`"),
        ({"lrr": {"values": [1]}}, "did you mean `lr`"),
        ({"lr": [1, 2]}, "must be a mapping"),
        ({"lr": {"valuess": [1]}}, "has no option `valuess`; did you mean `values`"),
        ({"lr": {}}, "must have `values`"),
        ({"lr": {"values": [], }}, "at least one value"),
        ({"lr": {"values": [1, 1]}}, "must be different"),
        ({"lr": {"min": 2, "max": 1}}, "`min < max` must hold"),
        ({"lr": {"min": 0, "max": 1, "distribution": "log_uniform_values"}}, "above 0"),
        ({"lr": {"min": 0, "max": 1, "distribution": "normal"}}, "not available; use uniform"),
        ({"lr": {"min": 0, "max": 1, "distribution": "unifrom"}}, "did you mean `uniform`"),
        ({"lr": {"min": 0, "max": 1, "q": 0.1}}, "`q` belongs to q_uniform"),
        ({"lr": {"min": 0.5, "max": 1, "distribution": "int_uniform"}}, "whole numbers"),
        ({"lr": {"values": [1], "when": {"optimiser": "sgd"}}}, "did you mean `optimizer`"),
        ({"lr": {"values": [1], "set": {2: {"epochs": 3}}}}, "not one of its values"),
        ({"lr": {"values": [1], "set": {1: {"epoch": 3}}}}, "did you mean `epochs`"),
        ({"lr": {"values": [1], "set": {1: {"head": 3}}}, "head": {"values": ["linear"]}}, "itself searched"),
        ({"lr": {"values": [1], "when": {"head": 1}}, "head": {"values": [1], "when": {"lr": 1}}}, "in a circle"),
    ],
)  # fmt: skip
def test_bad_spaces_are_refused(written: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        space(written)


def test_a_searched_parameter_must_not_stand_in_the_base_too() -> None:
    with pytest.raises(ConfigError, match="must not both be given"):
        space({"lr": {"values": [1]}}, lr=2)


def test_stored_points_are_recognised() -> None:
    got = space(
        {"optimizer": {"values": ["sgd", "adam"]}, "momentum": {"min": 0.0, "max": 0.9, "when": {"optimizer": "sgd"}}}
    )
    assert got.contains({"optimizer": "sgd", "momentum": 0.5})
    assert got.contains({"optimizer": "adam"})
    assert not got.contains({"optimizer": "adam", "momentum": 0.5})
    assert not got.contains({"optimizer": "sgd", "momentum": 0.95})
    assert not got.contains({"optimizer": "sgd"})


def test_of_overlapping_alternatives_the_first_one_holds() -> None:
    first = {"values": [1e-3], "when": {"optimizer": "sgd"}, "set": {1e-3: {"epochs": 5}}}
    got = space({"lr": [first, {"values": [1e-3], "set": {1e-3: {"epochs": 9}}}]}, optimizer="sgd")
    assert [dict(point) for point in got.grid()] == [{"lr": 1e-3}]
    assert got.apply({"lr": 1e-3}, {"epochs": 1})["epochs"] == 5
    assert [dimension.label for dimension, _ in got.active({"lr": 1e-3})] == ["lr#0"]


def test_an_alternative_without_a_condition_stands_for_the_rest_wherever_conditions_are_decided() -> None:
    lr = [{"values": [1e-3], "when": {"head": "linear"}}, {"values": [1e-2]}]
    got = points({"lr": lr, "head": {"values": ["linear", "mlp"]}})
    assert got == [{"head": "linear", "lr": 1e-3}, {"head": "mlp", "lr": 1e-2}]


def test_large_spaces_are_probed_value_by_value() -> None:
    names = ["epochs", "batch_size", "head_width", "patience", "warmup_epochs"]
    got = space({name: {"values": list(range(1, 9))} for name in names})
    probes = got.probes()
    assert len(probes) < 100
    for name in names:
        assert {probe[name] for probe in probes} == set(range(1, 9))


LARGE = {"lr": {"values": [i / 100 for i in range(1, 60)]}, "weight_decay": {"values": [i / 100 for i in range(59)]}}


def test_large_spaces_show_the_values_that_exist_under_conditions() -> None:
    optimizer = {"values": ["adam", "sgd", "adamw"]}
    probes = space(LARGE | {"optimizer": optimizer, "momentum": {"values": [0.9, 5.0], "when": {"optimizer": "sgd"}}})
    assert {probe.get("momentum") for probe in probes.probes()} == {None, 0.9, 5.0}
    chain = {
        "optimizer": optimizer,
        "patience": {"min": 2, "max": 9},
        "head_width": {"values": [1, 2], "when": {"optimizer": ["sgd", "adamw"], "patience": 7}},
        "dropout": {"min": 0.0, "max": 0.5, "when": {"head_width": 2}},
        "momentum": {"values": [0.1], "when": {"optimizer": "rmsprop"}},
    }
    got = space(LARGE | chain)
    probes_of_chain = got.probes()
    assert {probe.get("head_width") for probe in probes_of_chain} == {None, 1, 2}
    assert {probe.get("dropout") for probe in probes_of_chain} == {None, 0.0, 0.5}
    assert not any("momentum" in probe for probe in probes_of_chain), "its condition holds nowhere"
    assert all(got.contains(probe) for probe in probes_of_chain)


def test_large_spaces_show_every_alternative() -> None:
    first, rest = {"values": [1, 2], "when": {"head": ["linear", "mlp"]}}, {"values": [3, 4]}
    got = space(LARGE | {"epochs": [first, rest], "head": {"values": ["linear", "mlp", "mlp_relu"]}})
    assert {probe["epochs"] for probe in got.probes()} == {1, 2, 3, 4}


def test_an_option_of_the_data_in_a_space_is_told_how_to_compare_its_values() -> None:
    for name in ("channels", "data.channels"):
        with pytest.raises(
            ConfigError, match=r"`data.channels` is the same for all trials.*report study=\[one,other\]"
        ):
            Space.parse({name: {"values": [1, 3]}}, {})
    with pytest.raises(ConfigError, match="did you mean `balanced`"):
        Space.parse({"oversample": {"values": [True, False]}}, {})
