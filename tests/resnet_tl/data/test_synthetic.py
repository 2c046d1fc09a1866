"""Generated images have names before they are made."""

from pathlib import Path

import pytest

from resnet_tl.config import DataConfig, SyntheticConfig, real_images
from resnet_tl.data.prepare import Prepared, prepare
from resnet_tl.data.synthetic import with_generated
from resnet_tl.errors import ConfigError
from resnet_tl.identity import Environment
from tests.conftest import CPU, write_images


def named(real: Prepared, cache: Path = Path("cache"), environment: Environment = CPU, **options: object) -> Prepared:
    config = SyntheticConfig.model_validate({"share": 0.5} | options)
    return with_generated(real, config, environment=environment, cache=cache)


def test_they_stand_beside_the_real_ones_and_are_never_scored(prepared: Prepared) -> None:
    data = named(prepared)
    assert not data.is_made
    assert data.num_images == prepared.num_images | {"synthetic": prepared.num_images["train"]}
    assert data.table["synthetic"] == prepared.table["train"]
    assert data.scored == ("val", "test")
    assert data.num_learnable == 2 * prepared.num_images["train"]
    assert (data.test_name, data.images_name) == (prepared.test_name, prepared.images_name)


def test_another_share_is_other_data_from_the_same_generator(prepared: Prepared) -> None:
    half, third = named(prepared), named(prepared, share=0.3)
    assert half.folder == third.folder
    assert half.pixels_name == third.pixels_name != prepared.pixels_name
    assert len({half.fingerprint, third.fingerprint, prepared.fingerprint}) == 3
    assert named(prepared).fingerprint == half.fingerprint


@pytest.mark.parametrize(
    "other", [{"steps": 3}, {"seed": 1}, {"environment": Environment(device="cpu", threads=2)}], ids=str
)
def test_whatever_changes_the_images_has_a_place_of_its_own(prepared: Prepared, other: dict[str, object]) -> None:
    one, changed = named(prepared), named(prepared, **other)  # type: ignore[arg-type]
    assert one.folder != changed.folder
    assert one.fingerprint != changed.fingerprint
    assert one.pixels_name != changed.pixels_name


def test_crop_and_balance_leave_the_generator_as_it_is(tmp_path: Path) -> None:
    config = DataConfig(source="image_folder", root=str(write_images(tmp_path / "images")), size=32)
    plain = prepare(config, tmp_path / "cache")
    changes: list[dict[str, object]] = [{"crop": 24}, {"balanced": "class_weights"}]
    for change in changes:
        other = prepare(config.model_copy(update=change), tmp_path / "cache", like=plain)
        assert named(other).folder == named(plain).folder
        assert named(other).fingerprint != named(plain).fingerprint


def test_a_request_for_generated_images_is_not_met_with_real_ones_alone(tmp_path: Path) -> None:
    config = DataConfig(source="image_folder", root=str(write_images(tmp_path / "images")), size=32)
    made = config.model_copy(update={"synthetic": SyntheticConfig(share=0.5)})
    with pytest.raises(ConfigError, match="needs a request without `synthetic`"):
        prepare(made, tmp_path / "cache")
    assert real_images(made) == real_images(config) == config


def test_what_needs_another_train_for_each_seed_is_refused(prepared: Prepared, tmp_path: Path) -> None:
    config = DataConfig(source="image_folder", root=str(write_images(tmp_path / "images")), size=32)
    folded = prepare(config, tmp_path / "cache", folds=3)
    with pytest.raises(ConfigError, match=r"leave it or `study\.folds` out"):
        named(folded)
    with pytest.raises(ConfigError, match="bagging draws one for each member"):
        named(prepared.drawn_by("bagging", {}))


@pytest.mark.parametrize("share", [0.01, 0.99])
def test_an_epoch_has_room_for_both_kinds(prepared: Prepared, share: float) -> None:
    with pytest.raises(ConfigError, match=f"a generated and a real image in an epoch, but {share} of 24 samples"):
        named(prepared, share=share)
