"""How far the frozen prefix reaches, and what names its outputs."""

from pathlib import Path

import pytest

from resnet_tl.architecture import pieces
from resnet_tl.config import DataConfig
from resnet_tl.data.prepare import Prepared, prepare
from resnet_tl.features.key import FrozenPrefix, frozen_prefix_of
from resnet_tl.freezing import cut_of
from resnet_tl.training.member import head_group
from tests.conftest import CPU, trial, write_images

pytestmark = pytest.mark.filterwarnings("ignore:the frozen part of the backbone has random weights")


@pytest.mark.parametrize(
    ("changes", "last"),
    [
        ({"freeze": "layer2"}, "layer2.1"),
        ({"freeze": 0.7}, "layer4.1.conv1"),
        ({"freeze": 0.9}, "layer4.1.conv2"),
        ({"freeze": 0.4}, "layer3.1"),
        ({"freeze": "all"}, "pool"),
        ({"freeze": 1.0, "augment": ["hflip", "vflip", "five_crop"]}, "pool"),
        ({"trainable_blocks": 1}, "layer4.0"),
        ({"freeze": "conv1"}, "stem"),
    ],
)
def test_the_cut_is_behind_the_last_piece_that_is_frozen_whole(
    images: Prepared, changes: dict[str, object], last: str
) -> None:
    config = trial(weights="w.pth", **changes)
    prefix = frozen_prefix_of(config, images, "x", CPU)
    assert prefix is not None
    assert pieces("resnet18")[prefix.cut - 1] == last


@pytest.mark.parametrize(
    "changes",
    [
        {"freeze": "none"},
        {"freeze": "layer2", "bn": "batch_stats"},
        {"freeze": "layer2", "bn": "train_affine"},
        {"freeze": "layer2", "augment": "random_crop"},
        {"freeze": "all", "augment": "rotation"},
        {"freeze": "all", "augment": ["hflip", "mixup"]},
        {"freeze": "all", "weights": "none"},
    ],
)
def test_what_can_change_is_never_stored(images: Prepared, changes: dict[str, object]) -> None:
    assert frozen_prefix_of(trial(**{"weights": "w.pth"} | changes), images, "x", CPU) is None


@pytest.mark.parametrize("balanced", ["oversample", "class_weights"])
def test_what_pixels_and_splits_are_alike_share_outputs_whatever_their_balance_and_labels(
    tmp_path: Path, balanced: str
) -> None:
    def prefixes(root: Path, **changes: object) -> FrozenPrefix | None:
        options = {"source": "image_folder", "root": str(root), "size": 32} | changes
        data = prepare(DataConfig.model_validate(options), tmp_path / "cache")
        return frozen_prefix_of(trial(weights="w.pth", freeze="layer2"), data, "x", CPU)

    plain = prefixes(write_images(tmp_path / "a"))
    assert plain is not None
    assert prefixes(tmp_path / "a", balanced=balanced) == plain
    assert prefixes(write_images(tmp_path / "b", classes=("bars", "dots", "zebras"))) == plain
    for changes in ({"crop": 24}, {"size": 24}, {"split_seed": 1}, {"val_fraction": 0.3}):
        assert prefixes(tmp_path / "a", **changes) != plain


def test_how_a_first_layer_is_fitted_counts_only_where_it_is(binary: Prepared) -> None:
    configs = [trial(weights="w.pth", freeze="layer2", first_layer=rule) for rule in ("sum", "luma")]
    for channels, differ in ((3, True), (None, True), (1, False)):
        rgb, luma = (frozen_prefix_of(config, binary, "x", CPU, weights_channels=channels) for config in configs)
        assert (rgb != luma) is differ


def test_a_head_on_endless_augmentation_still_goes_through_the_kernel_of_heads(images: Prepared) -> None:
    config = trial(freeze="all", augment="rotation")
    assert cut_of(config, 3) == len(pieces("resnet18"))
    assert head_group(config) == head_group(trial(freeze=1.0, augment="rotation", lr=0.5, epochs=9, momentum=0.0))
    assert head_group(config) != head_group(trial(freeze="all", augment="rotation", batch_size=4))
