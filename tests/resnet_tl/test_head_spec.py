"""Heads as data: presets, what they leave to choose, and what has no effect."""

import pytest

from resnet_tl import cli
from resnet_tl.errors import ConfigError
from resnet_tl.head_spec import HEADS, OPTIONS, HeadSpec, idle_head_options, options_of, spec_of
from tests.conftest import trial


@pytest.mark.parametrize(
    ("changes", "spec"),
    [
        ({}, HeadSpec(width=None)),
        ({"head": "linear", "dropout": 0.3, "head_width": 8}, HeadSpec(width=None)),
        ({"head": "mlp_relu", "dropout": 0.3}, HeadSpec(width=256)),
        ({"head": "mlp_leaky_dropout"}, HeadSpec(width=256, activation="leaky_relu", dropout=0.5)),
        ({"head": "mlp_leaky_dropout", "dropout": 0.0}, HeadSpec(width=256, activation="leaky_relu")),
        ({"head": "mlp_batchnorm", "head_width": 8}, HeadSpec(width=8, norm="batch")),
        ({"head": "mlp"}, HeadSpec(width=256)),
        (
            {"head": "mlp", "head_width": 4, "head_norm": "batch", "head_activation": "leaky_relu", "dropout": 0.1},
            HeadSpec(width=4, norm="batch", activation="leaky_relu", dropout=0.1),
        ),
    ],
)
def test_a_trial_names_its_head(changes: dict[str, object], spec: HeadSpec) -> None:
    assert spec_of(trial(**changes)) == spec


VALUES = {"head_width": 8, "head_norm": "batch", "head_activation": "leaky_relu", "dropout": 0.25}


@pytest.mark.parametrize("head", HEADS)
def test_exactly_the_options_with_an_effect_are_let_through(head: str) -> None:
    for option in OPTIONS:
        config = trial(head=head, **{option: VALUES[option]})
        effect = spec_of(config) != spec_of(trial(head=head))
        assert effect == (option in options_of(head))
        assert bool(idle_head_options(config, ["lr", option])) is not effect


def test_the_command_line_refuses_options_without_effect_all_at_once() -> None:
    words = ["backbone=resnet18", "optimizer=sgd", "lr=0.1", "epochs=1", "batch_size=8", "head=mlp_relu"]
    words += ["dropout=0.5", "head_norm=batch"]
    with pytest.raises(ConfigError) as caught:
        cli.fit_request([f"trial.{word}" for word in words] + ["data.source=digits"])
    assert caught.value.problems == (
        "`dropout` must be left out with `head: mlp_relu`, on which it has no effect; it works with "
        "mlp_leaky_dropout, mlp.",
        "`head_norm` must be left out with `head: mlp_relu`, on which it has no effect; it works with mlp.",
    )


def test_help_lists_the_heads() -> None:
    text = "\n".join(section.text for section in cli.fit_sections())
    assert "[linear | mlp_relu | mlp_leaky_dropout | mlp_batchnorm | mlp]" in text
