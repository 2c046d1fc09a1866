"""Stored and computed features are the same bits."""

from pathlib import Path

import pytest

from resnet_tl.config import SyntheticConfig
from resnet_tl.data.prepare import Prepared
from resnet_tl.data.synthetic import with_generated
from resnet_tl.identity import Environment
from resnet_tl.training.generating import make_generated
from resnet_tl.training.seed_run import fit
from tests.conftest import CPU, numbers, trial
from tests.resnet_tl.conftest import materialised

pytestmark = pytest.mark.filterwarnings("ignore:the frozen part of the backbone has random weights")


@pytest.mark.parametrize("freeze", [0.7, 1.0])
def test_two_threads_have_bits_of_their_own_and_the_same_either_way(
    images: Prepared, weights: dict[str, str], tmp_path: Path, freeze: float
) -> None:
    two = Environment(device="cpu", threads=2)
    config = trial(weights=weights["resnet18"], freeze=freeze)
    place = materialised(config, images, tmp_path, two)
    results = [fit(config, images, seed=1, environment=two, features=features) for features in (None, place)]
    assert numbers(results[0]) == numbers(results[1])


FREEZES = [0.7, 0.8, 0.9, 1.0]


@pytest.mark.parametrize("freeze", FREEZES)
@pytest.mark.parametrize(
    "backbone",
    [
        "resnet18",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("resnet34", "resnet50", "resnext50_32x4d")),
    ],
)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_stored_and_recomputed_features_train_the_same_weights(
    images: Prepared, weights: dict[str, str], tmp_path: Path, freeze: float, backbone: str, precision: str
) -> None:
    config = trial(
        backbone=backbone,
        weights=weights[backbone],
        freeze=freeze,
        precision=precision,
        head="mlp_leaky_dropout",
        augment=["hflip", "five_crop"],
        batch_size=20,  # no multiple of what passes through the prefix at a time
        epochs=1,
    )
    place = materialised(config, images, tmp_path)
    plain = fit(config, images, seed=1, environment=CPU, folder=tmp_path / "plain")
    reused = fit(config, images, seed=1, environment=CPU, folder=tmp_path / "reused", features=place)
    assert numbers(plain) == numbers(reused)
    tensors = [(tmp_path / run / "checkpoint" / "model.safetensors").read_bytes() for run in ("plain", "reused")]
    assert tensors[0] == tensors[1]


@pytest.mark.parametrize("freeze", [0.7, 1.0])
def test_generated_images_train_the_same_weights_either_way(
    images: Prepared, weights: dict[str, str], tmp_path: Path, freeze: float
) -> None:
    data = with_generated(images, SyntheticConfig(share=0.4, steps=1), environment=CPU, cache=tmp_path)
    make_generated(data, device="cpu")
    config = trial(
        weights=weights["resnet18"], freeze=freeze, augment=["hflip"], head="mlp_leaky_dropout", batch_size=20
    )
    place = materialised(config, data, tmp_path)
    results = [fit(config, data, seed=1, environment=CPU, features=features) for features in (None, place)]
    assert numbers(results[0]) == numbers(results[1])
    assert {name.split("/")[0] for name in results[0].metrics} == {"val", "test"}, "they are never scored"
    assert numbers(results[0]) != numbers(fit(config, images, seed=1, environment=CPU))
