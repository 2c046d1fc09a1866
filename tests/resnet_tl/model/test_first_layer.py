"""RGB weights on grey images: what they see, and that networks from before there was a choice stay as they were."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from resnet_tl.config import TrialConfig
from resnet_tl.data.prepare import Prepared
from resnet_tl.features.key import frozen_prefix_of
from resnet_tl.inference.predict import predict
from resnet_tl.model import checkpoint
from resnet_tl.model.first_layer import fit_first_layer, fit_normalisation
from resnet_tl.model.weights import IMAGENET_MEAN, IMAGENET_STD, whole_state
from resnet_tl.training.seed_run import fit
from tests.conftest import CPU, trial

conv = torch.nn.functional.conv2d


def normalised(images_BCHW: torch.Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> torch.Tensor:
    return (images_BCHW - torch.tensor(mean).view(1, -1, 1, 1)) / torch.tensor(std).view(1, -1, 1, 1)


def test_under_sum_a_grey_image_is_seen_as_the_same_in_three_channels_but_for_a_constant() -> None:
    torch.manual_seed(0)
    weight, grey = torch.randn(64, 3, 7, 7), torch.rand(4, 1, 40, 40)
    as_rgb = conv(normalised(grey.repeat(1, 3, 1, 1), IMAGENET_MEAN, IMAGENET_STD), weight)
    spread = {}
    for rule in ("sum", "luma"):
        mean, std = fit_normalisation(1, IMAGENET_MEAN, IMAGENET_STD, rule=rule)  # type: ignore[arg-type]
        fitted = fit_first_layer(weight, 1, std=IMAGENET_STD, rule=rule)  # type: ignore[arg-type]
        rest = conv(normalised(grey, mean, std), fitted) - as_rgb
        spread[rule] = float((rest - rest.mean((0, 2, 3), keepdim=True)).norm() / as_rgb.norm())
    assert spread["sum"] < 1e-5
    assert spread["luma"] > 0.3


def test_luma_is_the_common_recipe() -> None:
    weight = torch.randn(64, 3, 7, 7)
    grey = fit_first_layer(weight, 1, std=IMAGENET_STD, rule="luma")
    assert torch.allclose(grey[:, 0], 0.299 * weight[:, 0] + 0.587 * weight[:, 1] + 0.114 * weight[:, 2])
    mean, std = fit_normalisation(1, IMAGENET_MEAN, IMAGENET_STD, rule="luma")
    assert mean == pytest.approx((0.299 * 0.485 + 0.587 * 0.456 + 0.114 * 0.406,))
    assert std == pytest.approx((0.299 * 0.229 + 0.587 * 0.224 + 0.114 * 0.225,))


@pytest.mark.parametrize("rule", ["sum", "luma"])
def test_other_changes_of_channels_do_not_depend_on_the_rule(rule: str) -> None:
    weight, image = torch.randn(64, 1, 7, 7), torch.randn(1, 1, 20, 20)
    back = fit_first_layer(weight, 3, std=(0.2,), rule=rule)  # type: ignore[arg-type]
    assert torch.allclose(conv(image.repeat(1, 3, 1, 1), back), conv(image, weight), atol=1e-4)
    assert fit_first_layer(weight, 1, std=(0.2,), rule=rule) is weight  # type: ignore[arg-type]
    assert fit_normalisation(3, (0.5,), (0.2,), rule=rule) == ((0.5,) * 3, (0.2,) * 3)  # type: ignore[arg-type]


def test_the_rule_changes_results_and_names_of_features_on_grey_images_alone(
    binary: Prepared, prepared: Prepared, weights: dict[str, str]
) -> None:
    configs = [trial(weights=weights["resnet18"], freeze="all", first_layer=rule) for rule in ("sum", "luma")]
    assert configs[0] == trial(weights=weights["resnet18"], freeze="all"), "sum is the default"
    for data, differ in ((binary, True), (prepared, False)):
        metrics = [fit(config, data, seed=0, environment=CPU).metrics for config in configs]
        assert (metrics[0] != metrics[1]) is differ
        assert (frozen_prefix_of(configs[0], data, "x", CPU) != frozen_prefix_of(configs[1], data, "x", CPU)) is differ


def old_card(folder: Path) -> None:
    """Takes away what cards of before this choice did not have."""
    content = json.loads((folder / "model.json").read_text())
    del content["first_layer"], content["trial"]["first_layer"]
    (folder / "model.json").write_text(json.dumps(content))


def test_a_network_is_rebuilt_by_the_rule_on_its_card_and_older_ones_by_luma(
    binary: Prepared, weights: dict[str, str], tmp_path: Path
) -> None:
    files = [Path(name) for name in binary.load().names[:6]]
    for rule in ("sum", "luma"):
        config = trial(weights=weights["resnet18"], freeze="layer3", first_layer=rule)
        fit(config, binary, seed=0, environment=CPU, folder=tmp_path / rule)
    folders = {rule: tmp_path / rule / "checkpoint" for rule in ("sum", "luma")}
    assert {rule: checkpoint.read_card(folder).first_layer for rule, folder in folders.items()} == {
        "sum": "sum",
        "luma": "luma",
    }
    kernels = {
        rule: whole_state(folder, checkpoint.read_card(folder))["backbone.conv1.weight"]
        for rule, folder in folders.items()
    }
    raw = torch.load(weights["resnet18"], weights_only=True)["conv1.weight"]
    for rule, kernel in kernels.items():
        assert torch.equal(kernel, fit_first_layer(raw, 1, std=IMAGENET_STD, rule=rule))  # type: ignore[arg-type]
    before = predict(folders["luma"], files)[1]
    old_card(folders["luma"])
    assert TrialConfig.model_validate(checkpoint.read_card(folders["luma"]).trial).first_layer == "sum"
    assert np.array_equal(predict(folders["luma"], files)[1], before)
