import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnet_tl.config import AUGMENTATIONS, DataConfig, TrialConfig
from resnet_tl.errors import ConfigError
from resnet_tl.option_text import validate
from tests.conftest import trial

GOOD = {"backbone": "resnet18", "optimizer": "sgd", "lr": 1e-3, "epochs": 3, "batch_size": 4}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lr": float("nan")}, "`trial.lr` should be a finite number"),
        ({"lr": -5}, "`trial.lr` should be greater than 0, but got -5"),
        ({"lr": 0}, "greater than 0"),
        ({"backbone": "resnet19"}, "did you mean"),
        ({"optimizer": "sdg"}, "did you mean `sgd`"),
        ({"epoch": 4}, "`trial.epoch` is not an option; did you mean `epochs`"),
        ({"epochs": 0}, "`trial.epochs` should be greater than or equal to 1"),
        ({"epochs": True}, "must not be `true`"),
        ({"epochs": 2.5}, "valid integer"),
        ({"batch_size": 0}, "batch_size"),
        ({"momentum": 1.0}, "less than 1"),
        ({"weight_decay": -1}, "weight_decay"),
        ({"dropout": 1.0}, "dropout"),
        ({"label_smoothing": -0.1}, "label_smoothing"),
        ({"freeze": 1.5}, "must be a fraction in"),
        ({"freeze": "layer9"}, "must be a fraction in"),
        ({"freeze": 0.5, "trainable_blocks": 1}, "either `freeze` or `trainable_blocks`"),
        ({"trainable_blocks": 99}, "at most 8 for resnet18"),
        ({"warmup_epochs": 3}, "`warmup_epochs < epochs` must hold, but got warmup_epochs=3, epochs=3"),
        ({"head_epochs": -1}, "`trial.head_epochs` should be greater than or equal to 0"),
        ({"head_epochs": 2, "warmup_epochs": 2}, "`warmup_epochs < head_epochs` must hold"),
        ({"head_epochs": 2, "freeze": "all"}, "`head_epochs` must be 0 where all .* got head_epochs=2, freeze=all"),
        ({"head_epochs": 2, "freeze": 1.0}, "`head_epochs` must be 0 where all"),
        ({"head_epochs": 2, "trainable_blocks": 0}, "head_epochs=2, trainable_blocks=0"),
        ({"head": "mlp_batchnorm", "batch_size": 1}, "at least 2"),
        ({"batch_size": 1}, "at least 2 for BatchNorm layers that train"),
        ({"batch_size": 1, "freeze": "all", "augment": "mixup"}, "at least 2 for augment: mixup"),
        ({"augment": 5}, "must be `none` or any of"),
        ({"monitor": "test/accuracy"}, "never steers"),
        ({"augment": ["blur"]}, "must be `none` or any of"),
        ({"augment": ["hflip", "hflip"]}, "once"),
        ({"augment": ["random_crop", "five_crop"]}, "crop twice"),
        ({"precision": "fp16"}, "precision"),
        ({"patience": 0}, "patience"),
        ({"backbone_lr_factor": 0}, "backbone_lr_factor"),
        ({"momentum": False}, "must not be `false`, but a number"),
        ({"schedule": True}, "must not be `true`, but one of constant, cosine, step"),
        ({"weights": True}, "must not be `true`, but words"),
        ({"epochs": 10**19}, "must be at most 9007199254740992"),
        ({"epochs": 1e19}, "must be at most 9007199254740992"),
        ({"weights": ["a"]}, "`trial.weights` must be a word, but got"),
    ],
)  # fmt: skip
def test_a_bad_value_is_refused_with_its_rule(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("(", r"\(")):
        validate(TrialConfig, GOOD | changes, "trial")


@pytest.mark.parametrize("bn", ["batch_stats", "train_affine"])
def test_a_head_may_be_trained_first_where_batchnorm_alone_is_not_frozen(bn: str) -> None:
    config = validate(TrialConfig, GOOD | {"head_epochs": 2, "freeze": "all", "bn": bn}, "trial")
    assert config.num_epochs == 5


def test_all_problems_are_reported_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        validate(TrialConfig, {"backbone": "resnet18", "lr": -1, "epochs": 0, "colour": 3}, "trial")
    assert len(caught.value.problems) == 5  # lr, epochs, colour, and the missing optimizer and batch_size


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"val_fraction": 0.5, "test_fraction": 0.5}, "nothing is left to train on"),
        ({"size": 32, "crop": 64}, "`crop <= size` must hold"),
        ({"channels": 2}, "channels"),
        ({"resize": "stretch"}, "resize"),
        ({"bits": 9}, "bits"),
        ({"bits": True}, "must not be `true`"),
        ({"max_pixels": 0}, "max_pixels"),
        ({"size": 10**9}, "less than or equal to 16384"),
        ({"synthetic": "x"}, "`data.synthetic` must be a mapping"),
        ({"synthetic": {"steps": 5}}, r"`data\.synthetic\.share` must be given"),
        ({"synthetic": {"share": 0}}, r"`data\.synthetic\.share` should be greater than 0"),
        ({"synthetic": {"share": 1}}, r"`data\.synthetic\.share` should be less than 1"),
        ({"synthetic": {"share": 0.5, "epochs": 3}}, r"`data\.synthetic\.epochs` is not an option"),
        ({"synthetic": {"share": 0.5}, "balanced": "oversample"}, "so give one of them"),
        ({"shifted": {"synthetic": "x"}}, "must name each set by lower-case letters"),
        ({"url": "ftp://x.org/a.zip"}, "`data.url` must begin with http:// or https://"),
        ({"url": "http://x.org/a b.zip"}, "`data.url` must not hold spaces"),
        ({"sha256": "0" * 64}, "`sha256` needs `url`"),
        ({"url": "http://x.org/a.zip", "sha256": "0" * 63}, "must be 64 hexadecimal digits"),
        ({"resize": "pad"}, "`resize` needs `size`"),
        ({"group_missing": "own"}, "`group_missing` needs `group_key`"),
        ({"group_missing": "drop", "group_key": "(.)"}, "group_missing"),
        ({"shifted": {"test": "x"}}, "must name each set by lower-case letters"),
        ({"shifted": {"Night": "x"}}, "must name each set by lower-case letters"),
    ],
)
def test_bad_data_options_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        validate(DataConfig, {"source": "image_folder"} | changes, "data")


@given(
    lr=st.floats(1e-9, 10),
    freeze=st.one_of(st.floats(0, 1), st.sampled_from(["none", "all", "layer1", "layer4"])),
    augment=st.lists(st.sampled_from([a for a in AUGMENTATIONS if a != "five_crop"]), unique=True),
    patience=st.one_of(st.none(), st.integers(1, 50)),
)
def test_a_config_survives_being_stored(
    lr: float, freeze: float | str, augment: list[str], patience: int | None
) -> None:
    config = trial(lr=lr, freeze=freeze, augment=augment, patience=patience)
    assert TrialConfig.model_validate_json(config.model_dump_json()) == config
    assert TrialConfig.model_validate(config.model_dump(mode="json")) == config


def test_the_order_in_which_augmentations_are_written_makes_no_difference() -> None:
    assert trial(augment=["rotation", "hflip"]) == trial(augment=["hflip", "rotation"])
    assert trial(augment="none").augment == ()
    assert trial(patience="off").patience is None
