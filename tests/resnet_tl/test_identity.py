"""Equal networks have equal names, and a name never changes."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field, create_model

from resnet_tl import identity
from resnet_tl.config import TrialConfig
from resnet_tl.identity import canonical, digest

GOLDEN = json.loads((Path(__file__).parent / "golden_fingerprints.json").read_text())
BASE = {"backbone": "resnet18", "optimizer": "sgd", "lr": 1e-3, "epochs": 10, "batch_size": 32}


def name_of(
    trial: dict[str, Any], *, num_classes: int = 10, channels: int = 3, weights_channels: int | None = 3
) -> str:
    config = TrialConfig.model_validate(BASE | trial)
    options = canonical(config, num_classes=num_classes, channels=channels, weights_channels=weights_channels)
    return digest(options)


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: f"{case['name']}")
def test_names_never_change(case: dict[str, Any]) -> None:
    """Those of every finished study out there depend on them: a declared default that changed would show here."""
    name = name_of(
        case["trial"],
        num_classes=case["num_classes"],
        channels=case["channels"],
        weights_channels=case["weights_channels"],
    )
    assert name == case["name"]


def test_a_new_option_at_its_default_renames_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    wider = create_model("Wider", __base__=TrialConfig, ema=(bool, Field(False)))
    monkeypatch.setattr(identity, "TrialConfig", wider)
    for case in GOLDEN:
        kwargs = {name: case[name] for name in ("num_classes", "channels", "weights_channels")}
        assert digest(canonical(wider.model_validate(case["trial"]), **kwargs)) == case["name"]
        changed = wider.model_validate(case["trial"] | {"ema": True})
        assert digest(canonical(changed, **kwargs)) != case["name"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"optimizer": "adam", "momentum": 0.1}, {"optimizer": "adam"}),
        ({"dropout": 0.1}, {}),
        ({"head_width": 8}, {}),
        ({"bn": "batch_stats"}, {}),
        ({"freeze": "all", "backbone_lr_factor": 0.1}, {"freeze": "all"}),
        ({"freeze": 0.8}, {"freeze": 0.9}),
        ({"head": "mlp_leaky_dropout", "dropout": 0.5}, {"head": "mlp_leaky_dropout"}),
        ({"head": "mlp_relu"}, {"head": "mlp"}),
        ({"head": "mlp_batchnorm"}, {"head": "mlp", "head_norm": "batch"}),
        (
            {"head": "mlp_leaky_dropout", "head_width": 64},
            {"head": "mlp", "head_width": 64, "head_activation": "leaky_relu", "dropout": 0.5},
        ),
        ({"criterion": "cross_entropy"}, {}),
        ({"first_layer": "luma"}, {}),
    ],
)
def test_options_without_effect_and_other_spellings_are_not_in_the_name(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    assert name_of(one) == name_of(other)


def test_the_first_layers_rule_counts_where_channels_differ_and_only_there() -> None:
    def names(channels: int, weights_channels: int | None, weights: str = "imagenet") -> set[str]:
        rules = ({"first_layer": rule, "weights": weights} for rule in ("sum", "luma"))
        return {name_of(rule, channels=channels, weights_channels=weights_channels) for rule in rules}

    assert len(names(1, 3)) == 2
    assert len(names(1, None)) == 2, "what weights expect may not be known before they are loaded"
    assert len(names(1, 1)) == len(names(3, 3)) == len(names(1, None, "none")) == 1
