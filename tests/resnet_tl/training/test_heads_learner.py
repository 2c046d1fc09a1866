"""Heads side by side: each has the bits that it would have alone."""

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from numpy.typing import NDArray

from resnet_tl.config import DataConfig
from resnet_tl.data.prepare import Prepared, prepare
from resnet_tl.head_spec import Activation, Norm
from resnet_tl.result import Epoch
from resnet_tl.training.heads_learner import HeadsLearner
from resnet_tl.training.member import Member, head_group
from resnet_tl.training.seed_run import fit, fit_heads
from tests.conftest import CPU, numbers, trial, write_images
from tests.resnet_tl.conftest import materialised

pytestmark = pytest.mark.filterwarnings("ignore:the frozen part of the backbone has random weights")


def members_of(count: int, **changes: object) -> list[Member]:
    """Fits that differ in all that may differ, the third of which diverges."""
    rates = itertools.cycle([0.01, 0.1, 1e38, 0.003, 1.0])
    made = []
    for number in range(count):
        config = trial(
            freeze="all",
            lr=next(rates),
            momentum=0.9 * (number % 2),
            weight_decay=0.01 * (number % 3),
            label_smoothing=0.1 * (number % 4 == 1),
            schedule=["constant", "cosine", "step"][number % 3],
            warmup_epochs=number % 2,
            patience=1 if number % 5 == 4 else None,
            epochs=3,
            batch_size=16,
            **changes,
        )
        made.append(Member(trial=config, seed=number // 7))
    return made


@pytest.mark.parametrize("head", ["linear", "mlp_relu", "mlp_leaky_dropout", "mlp_batchnorm"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    "optimizer",
    ["sgd", pytest.param("adam", marks=pytest.mark.slow), pytest.param("adamw", marks=pytest.mark.slow)],
)
def test_a_head_has_the_same_bits_in_any_company(
    images: Prepared, weights: dict[str, str], tmp_path: Path, head: str, precision: str, optimizer: str
) -> None:
    several = members_of(
        240, weights=weights["resnet18"], head=head, precision=precision, optimizer=optimizer, augment="hflip"
    )
    several = [dataclasses.replace(m, trial=m.trial.model_copy(update={"head_width": 64})) for m in several]
    place = materialised(several[0].trial, images, tmp_path)

    def run(members: Sequence[Member]) -> list[object]:
        return [numbers(result) for result in fit_heads(members, images, environment=CPU, features=place)]

    whole = run(several)
    states = [result.state for result in whole]  # type: ignore[attr-defined]
    assert states[3] == "complete"
    assert "diverged" in states if optimizer == "sgd" else True
    for n in (0, 1, 2, 3, 4, 239):
        assert run([several[n]]) == [whole[n]], "alone"
        assert run([several[2], several[n]])[1] == whole[n], "beside one that diverges"
    assert run(several[3:10]) == whole[3:10]
    plain = fit(several[3].trial, images, seed=several[3].seed, environment=CPU)
    assert numbers(plain) == whole[3], "through the backbone, with reuse off"


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_heads_of_one_logit_and_weighted_classes_have_the_same_bits_in_any_company(
    weights: dict[str, str], tmp_path: Path, precision: str
) -> None:
    root = write_images(tmp_path / "images", classes=("bars", "dots"), count=30)
    for path in sorted((root / "dots").iterdir())[12:]:
        path.unlink()
    config = DataConfig(source="image_folder", root=str(root), size=32, balanced="class_weights")
    data = prepare(config, tmp_path / "cache")
    # 29 images of train: the last batch has 13, and products small enough for another kernel, if there is one
    several = members_of(24, weights=weights["resnet18"], precision=precision)
    place = materialised(several[0].trial, data, tmp_path)
    whole = [numbers(r) for r in fit_heads(several, data, environment=CPU, features=place)]
    for n in (0, 1, 3):
        alone = fit_heads([several[n]], data, environment=CPU, features=place)
        assert numbers(alone[0]) == whole[n]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("activation", get_args(Activation))
@pytest.mark.parametrize("norm", get_args(Norm))
def test_every_composed_head_has_the_same_bits_in_any_company(
    images: Prepared,
    weights: dict[str, str],
    tmp_path: Path,
    norm: str,
    activation: str,
    dropout: float,
    precision: str,
) -> None:
    changes = {"head": "mlp", "head_width": 24, "head_norm": norm, "head_activation": activation, "dropout": dropout}
    several = members_of(9, weights=weights["resnet18"], precision=precision, **changes)
    place = materialised(several[0].trial, images, tmp_path)
    whole = [numbers(r) for r in fit_heads(several, images, environment=CPU, features=place)]
    for n in (0, 1, 2, 8):
        alone = fit_heads([several[n]], images, environment=CPU, features=place)
        assert numbers(alone[0]) == whole[n]


def test_members_may_differ_in_dropout_none_included(images: Prepared, weights: dict[str, str], tmp_path: Path) -> None:
    made = [
        Member(trial=trial(weights=weights["resnet18"], freeze="all", head="mlp", dropout=dropout), seed=1)
        for dropout in (None, 0.0, 0.2, 0.7)
    ]
    place = materialised(made[0].trial, images, tmp_path)
    whole = [numbers(r) for r in fit_heads(made, images, environment=CPU, features=place)]
    assert whole[0] == whole[1]
    assert whole[1] != whole[2] != whole[3]
    assert [numbers(fit_heads([m], images, environment=CPU, features=place)[0]) for m in made] == whole


def test_a_named_head_is_the_composed_one_of_its_parts(
    images: Prepared, weights: dict[str, str], tmp_path: Path
) -> None:
    pairs = [
        ({"head": "mlp_relu"}, {}),
        ({"head": "mlp_leaky_dropout"}, {"head_activation": "leaky_relu", "dropout": 0.5}),
        ({"head": "mlp_batchnorm"}, {"head_norm": "batch"}),
    ]
    for named, parts in pairs:
        both = [
            trial(weights=weights["resnet18"], freeze="all", **changes) for changes in (named, {"head": "mlp"} | parts)
        ]
        assert head_group(both[0]) == head_group(both[1])
        place = materialised(both[0], images, tmp_path)
        results = [fit(config, images, seed=0, environment=CPU, features=place) for config in both]
        assert numbers(results[0]) == numbers(results[1])


def test_members_that_are_killed_go_on_in_other_company(
    images: Prepared, weights: dict[str, str], tmp_path: Path
) -> None:
    several = members_of(6, weights=weights["resnet18"], head="mlp_batchnorm", optimizer="adam")
    place = materialised(several[0].trial, images, tmp_path)
    whole = fit_heads(several, images, environment=CPU, features=place)
    kept = [dataclasses.replace(m, folder=tmp_path / str(n)) for n, m in enumerate(several)]

    class Killed(Exception):
        pass

    def kill(member: int, epoch: Epoch) -> None:
        if epoch.epoch == 2 and member == 3:
            raise Killed

    with pytest.raises(Killed):
        fit_heads(kept, images, environment=CPU, features=place, on_epoch=kill, save_every_s=0)
    seen: list[tuple[int, int]] = []
    some = [kept[5], kept[1]]
    rest = fit_heads(some, images, environment=CPU, features=place, on_epoch=lambda m, e: seen.append((m, e.epoch)))
    assert [numbers(r) for r in rest] == [numbers(whole[5]), numbers(whole[1])]
    assert seen[:2] == [(0, 1), (1, 1)], "the first epoch was restored"
    assert len(seen) == sum(len(r.history) for r in rest)


def test_scores_do_not_depend_on_how_many_are_computed_at_a_time(
    images: Prepared, weights: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    several = members_of(7, weights=weights["resnet18"])
    place = materialised(several[0].trial, images, tmp_path)
    whole = [numbers(r) for r in fit_heads(several, images, environment=CPU, features=place)]
    sizes: list[int] = []

    def counted(learner: HeadsLearner, split: str, members: Sequence[int]) -> NDArray[np.float64]:
        logits_MNK = of_learner(learner, split, members)
        sizes.append(len(logits_MNK))
        return logits_MNK

    of_learner = HeadsLearner.logits
    monkeypatch.setattr(HeadsLearner, "logits", counted)
    for at_once, most in ((1, 1), (3 * 3 * images.num_images["val"], 3)):
        monkeypatch.setattr("resnet_tl.training.loop.SCORED_AT_ONCE", at_once)
        assert [numbers(r) for r in fit_heads(several, images, environment=CPU, features=place)] == whole
        assert max(sizes) == most
        sizes.clear()
