"""What a proposed file says of itself is true of it."""

from dataclasses import replace
from typing import Any

import pytest
import yaml

from resnet_tl.config import DataConfig
from sweeps.proposal.budget import Budget
from sweeps.proposal.proposal import Proposal
from sweeps.proposal.start import Start
from sweeps.proposal.study_file import written
from sweeps.proposal.survey import Survey

MOST = Budget(
    size=48, epochs=30, num_seeds=5, stage_epochs=0, begin_s=5, seed_s=20, end_s=5, fits=True
)  # of 400 images with sides of 60


def proposed(
    *, weights: str = "imagenet", counts: dict[str, int] | None = None, side: int = 60, **budget: Any
) -> Proposal:
    """Two classes with as many images in each of these splits."""
    survey = Survey(
        config=DataConfig(source="image_folder", root="images"),
        classes=("cat", "dog"),
        counts={split: {"cat": many, "dog": many} for split, many in (counts or {"all": 200}).items()},
        short_sides=(side,) * 9,
        is_grey=False,
        num_sampled=9,
        decode_s=0.001,
        patients=None,
        said=(),
    )
    return Proposal(
        name="images",
        root="/images",
        survey=survey,
        start=Start(weights=weights, why="Asked for."),
        budget=replace(MOST, **budget),
        backbone="resnet18",
        batch_size=32,
        device="a machine",
        minutes=3,
        is_slim=False,
        patients=None,
    )


def text(proposal: Proposal) -> str:
    """The comments too, whatever their lines."""
    return " ".join(written(proposal).replace("#", " ").split())


@pytest.mark.parametrize(
    ("budget", "match"),
    [
        ({}, "More time buys nothing"),
        ({"num_seeds": 4}, "More time buys more seeds: run"),
        ({"num_seeds": 3, "epochs": 10}, "More time buys more epochs and more seeds: run"),
        ({"size": 32, "num_seeds": 3, "epochs": 10}, "More time buys larger images, more epochs and more seeds: run"),
    ],
)
def test_more_time_buys_what_is_not_at_its_most(budget: dict[str, Any], match: str) -> None:
    assert match in text(proposed(**budget))


def test_seeds_at_their_most_are_not_said_to_be_what_fits() -> None:
    assert "5 seeds fit into the time" not in text(proposed())
    assert "4 seeds fit into the time" in text(proposed(num_seeds=4))


@pytest.mark.parametrize(
    ("side", "size", "match"),
    [
        (500, 224, "224 is what ImageNet's weights were trained at"),
        (60, 48, "48 is the largest of the usual sizes that needs no enlarging"),
        (60, 32, "32 is what fits into the time"),
        (50, 48, "48 is about all there is"),
        (20, 32, "32 is the least that a ResNet makes sense of"),
    ],
)
def test_the_reason_of_the_size_is_the_one_that_it_was_chosen_for(side: int, size: int, match: str) -> None:
    assert match in text(proposed(side=side, size=size))


def test_a_train_split_alone_is_no_split_that_the_data_brings_itself() -> None:
    assert "brings its own" not in text(proposed(counts={"train": 200}))
    assert "The data brings its own test." in text(proposed(counts={"train": 200, "test": 50}))


def test_without_weights_the_question_names_no_baselines() -> None:
    assert "better than three plain ones" in text(proposed())
    assert "plain" not in yaml.safe_load(written(proposed(weights="none")))["study"]["question"]


def test_no_hypothesis_compares_recipes_at_a_learning_rate_that_suits_one_of_them() -> None:
    (hypothesis,) = yaml.safe_load(written(proposed()))["study"]["hypotheses"]
    assert list(hypothesis["compare"]) == ["weights"]
