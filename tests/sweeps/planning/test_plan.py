"""Planning is pure: these tests have no data, no network and no database."""

import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_tl.config import TrialConfig
from resnet_tl.errors import ConfigError
from resnet_tl.identity import Environment, fingerprint
from sweeps.definition.check import build
from sweeps.definition.config import Definition
from sweeps.planning.plan import Known, Plan, plan
from sweeps.records import RunState
from tests.conftest import CPU


def definition(space: Any = None, *, trial: Any = None, **study: Any) -> Definition:
    space = {"lr": {"values": [1e-3, 1e-2]}} if space is None else space
    base = {"backbone": "resnet18", "weights": "none", "optimizer": "sgd", "epochs": 2, "batch_size": 4}
    return build(
        {
            "study": {
                "name": "s",
                "question": "?",
                "method": "grid",
                "direction": "maximize",
                "seeds": [0, 1],
                "space": space,
            }
            | study,
            "trial": base | (trial or {}),
            "data": {"source": "digits"},
        }
    )


def name_of(trial: TrialConfig, **changes: Any) -> str:
    values = {"data": "d", "weights": trial.weights, "num_classes": 5, "channels": 1, "environment": CPU}
    return fingerprint(trial, **(values | changes))


def after(made: Plan, states: dict[tuple[str, int], RunState] | None = None) -> Known:
    return Known(trials=made.trials, states=states or {})


def test_a_fresh_study_does_everything_in_order() -> None:
    made = plan(definition(), Known(), name_of)
    assert [(t.number, s) for t, s in made.todo] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert made.new == made.trials


@settings(max_examples=50)
@given(st.sets(st.tuples(st.integers(0, 1), st.integers(0, 1))), st.sampled_from(list(RunState)))
def test_planning_again_asks_for_exactly_what_is_missing(done: set[tuple[int, int]], state: RunState) -> None:
    first = plan(definition(), Known(), name_of)
    states = {(first.trials[number].fingerprint, seed): state for number, seed in done}
    again = plan(definition(), after(first, states), name_of)
    missing = {(t.number, s) for t, s in again.todo}
    assert again.new == ()
    assert missing == ({(0, 0), (0, 1), (1, 0), (1, 1)} - (done if state.is_result else set()))


def test_seeds_values_and_parameters_can_be_added_without_renumbering() -> None:
    first = plan(definition(), Known(), name_of)
    states = {(t.fingerprint, s): RunState.COMPLETE for t, s in first.todo}
    more = plan(definition({"lr": {"values": [1e-4, 1e-3, 1e-2]}}, seeds=[0, 1, 2]), after(first, states), name_of)
    assert [t.params["lr"] for t in more.trials] == [1e-3, 1e-2, 1e-4]
    assert [(t.number, s) for t, s in more.todo] == [(0, 2), (1, 2), (2, 0), (2, 1), (2, 2)]
    space = {"lr": {"values": [1e-3, 1e-2]}, "momentum": {"values": [0.0, 0.9]}}
    wider = plan(definition(space), after(first, states), name_of)
    assert [t.number for t in wider.trials] == [0, 1, 2, 3]
    assert [t.params for t in wider.renamed] == [{"lr": 1e-3, "momentum": 0.9}, {"lr": 1e-2, "momentum": 0.9}]
    assert {t.number for t, _ in wider.todo} == {2, 3}


@pytest.mark.parametrize(
    "changed",
    [
        definition(trial={"epochs": 3}),
        definition({"lr": {"values": [1e-3]}}),
        definition({"lr": {"values": [1e-3, 2e-2]}}),
        definition({"lr": {"values": [1e-3, 1e-2], "set": {1e-2: {"epochs": 5}}}}),
    ],
)
def test_a_definition_that_loses_or_changes_a_trial_is_refused(changed: Definition) -> None:
    first = plan(definition(), Known(), name_of)
    with pytest.raises(ConfigError, match="of 2 trials in the ledger are not trials of this definition"):
        plan(changed, after(first), name_of)


def test_spelling_that_means_the_same_is_no_change() -> None:
    first = plan(definition(), Known(), name_of)
    same = definition(trial={"freeze": 0.0, "augment": "none", "monitor": "val/accuracy"})
    assert plan(same, after(first), name_of).new == ()


def test_values_that_mean_the_same_network_are_run_once_and_named() -> None:
    made = plan(definition({"freeze": {"values": [0.7, 0.8, 0.9]}}, trial={"lr": 1e-3}), Known(), name_of)
    assert [t.params["freeze"] for t in made.trials] == [0.7, 0.8]
    assert made.coinciding == (({"freeze": 0.9}, {"freeze": 0.8}),)


def test_samplers_are_asked_for_the_rest_of_the_total() -> None:
    bayes = definition({"lr": {"min": 1e-4, "max": 1e-1}}, method="bayes", trials=5)
    assert plan(bayes, Known(), name_of).to_ask == 5
    first = plan(definition(), Known(), name_of)
    assert plan(bayes, after(first), name_of).to_ask == 3
    with pytest.raises(ConfigError, match="is a total and must be at least 2"):
        plan(definition({"lr": {"min": 1e-4, "max": 1e-1}}, method="bayes", trials=1), after(first), name_of)


def test_a_finite_space_is_asked_for_no_more_than_it_has() -> None:
    space = {"freeze": {"values": [0.7, 0.8, 0.9]}}
    made = plan(definition(space, trial={"lr": 1e-3}, method="random", trials=50), Known(), name_of)
    assert made.to_ask == 2, "0.8 and 0.9 are one network"


@pytest.mark.parametrize(
    "changes",
    [
        {"data": "other"}, {"weights": "other"},
        {"environment": Environment(device="cpu", threads=2)},
        {"environment": Environment(device="cuda", threads=1)},
    ],
)  # fmt: skip
def test_what_decides_a_result_is_in_the_fingerprint(changes: dict[str, Any]) -> None:
    trial = definition().trial({"lr": 1e-3})
    assert name_of(trial) == name_of(trial)
    assert name_of(trial, **changes) != name_of(trial)


OTHER_VALUES: dict[str, Any] = {
    "memory_format": "contiguous", "fused_optimizer": False,
    "backbone": "resnet34", "head": "mlp_relu", "freeze": 0.5, "optimizer": "adam", "lr": 0.5, "momentum": 0.5,
    "weight_decay": 0.1, "schedule": "cosine", "warmup_epochs": 1, "backbone_lr_factor": 0.1, "criterion": "bce",
    "label_smoothing": 0.1, "epochs": 9, "head_epochs": 2,
    "batch_size": 7, "patience": 3, "monitor": "val/loss", "precision": "bf16",
    "augment": ("hflip",), "trainable_blocks": 1,
}  # fmt: skip


@pytest.mark.parametrize("option", list(TrialConfig.model_fields))
def test_every_option_that_has_an_effect_is_in_the_fingerprint(option: str) -> None:
    base: dict[str, Any] = {}
    if option in ("weights",):
        return  # named by its content, as tested above
    if option in ("head_width", "dropout"):
        base, value = {"head": "mlp_leaky_dropout"}, {"head_width": 3, "dropout": 0.1}[option]
    elif option in ("head_norm", "head_activation"):
        base, value = {"head": "mlp"}, {"head_norm": "batch", "head_activation": "leaky_relu"}[option]
    elif option == "first_layer":
        base, value = {"weights": "imagenet"}, "luma"
    elif option == "bn":
        base, value = {"freeze": 0.5}, "batch_stats"
    else:
        value = OTHER_VALUES[option]
    before = definition(space={}, trial=base | {"lr": 1e-3}).base
    one, two = (TrialConfig.model_validate(values) for values in (before, before | {option: value}))
    assert name_of(one) != name_of(two)


def test_options_without_effect_are_not_in_the_fingerprint() -> None:
    base = definition(space={}, trial={"lr": 1e-3}).base
    for with_, option, value in (
        ({"optimizer": "adam"}, "momentum", 0.1),
        ({"head": "linear"}, "dropout", 0.1),
        ({"head": "linear"}, "head_width", 8),
        ({"head": "mlp_leaky_dropout"}, "dropout", 0.5),
        ({"head": "mlp_relu"}, "head_norm", "batch"),
        ({"freeze": "none"}, "bn", "batch_stats"),
        ({"freeze": "all"}, "backbone_lr_factor", 0.1),
    ):
        one = TrialConfig.model_validate(base | with_)
        assert name_of(one) == name_of(TrialConfig.model_validate(base | with_ | {option: value}))


def test_plans_hold_no_hidden_state() -> None:
    one, two = (plan(definition(), Known(), name_of) for _ in range(2))
    assert one == two
    assert dataclasses.is_dataclass(one)
