"""Training images drawn with replacement: how often, and what an epoch makes of them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from resnet_tl.data.batches import epoch_order
from resnet_tl.data.draws import draw_S, read_draws, write_draws
from resnet_tl.data.prepare import Prepared
from resnet_tl.errors import DataError
from resnet_tl.training.seed_run import fit
from tests.conftest import CPU, numbers, trial

TRAIN = np.arange(100, 400)
LABELS = np.arange(1000) % 3


def test_images_are_drawn_as_often_as_their_weights_say() -> None:
    weights = np.linspace(0, 1, 300)
    counts = np.zeros(1000)
    for seed in range(400):
        samples = draw_S(TRAIN, LABELS, weights, seed)
        assert len(samples) == len(set(samples.tolist())) == 300, "each draw has a number of its own"
        counts += np.bincount(samples % 1000, minlength=1000)
    expected = 400 * 300 * weights / weights.sum()
    assert counts.sum() == counts[TRAIN].sum()
    assert np.abs(counts[TRAIN] - expected).max() < 5 * np.sqrt(expected.max())
    assert counts[100] == 0, "an image without weight is never drawn"


def test_draws_follow_from_the_seed_alone_and_hold_every_class() -> None:
    equal = np.ones(300)
    assert (draw_S(TRAIN, LABELS, equal, 1) == draw_S(TRAIN, LABELS, equal, 1)).all()
    assert (draw_S(TRAIN, LABELS, equal, 1) != draw_S(TRAIN, LABELS, equal, 2)).any()
    one_class = np.where(LABELS[TRAIN] == 0, 1.0, 0.0)
    assert set(LABELS[draw_S(TRAIN, LABELS, one_class, 0) % 1000]) == {0, 1, 2}
    many = np.arange(150) % 50
    for seed in range(200):
        assert len(set(many[draw_S(np.arange(150), many, np.ones(150), seed) % 150])) == 50


def test_an_epoch_is_the_draws_of_its_seed(prepared: Prepared, tmp_path: Path) -> None:
    images = prepared.load()
    train = images.splits["train"]
    draws = {
        seed: write_draws(tmp_path, seed, draw_S(train, images.labels_N, np.ones(len(train)), seed)) for seed in (0, 1)
    }
    drawn = prepared.drawn_by("bagging", draws)
    assert drawn.fingerprint != prepared.fingerprint
    own = drawn.load()
    for seed in (0, 1):
        order = epoch_order(own, balanced=False, seed=seed, epoch=1)
        assert sorted(order) == sorted(read_draws(draws[seed]))
    even = epoch_order(own, balanced="oversample", seed=0, epoch=1)
    assert np.bincount(own.labels_N[even % len(own.labels_N)]).tolist() == [8, 8, 8]
    assert len(set(even.tolist())) == len(even)
    with pytest.raises(KeyError):
        epoch_order(own, balanced=False, seed=2, epoch=1)

    plain = fit(trial(), prepared, seed=0, environment=CPU)
    bagged = fit(trial(), drawn, seed=0, environment=CPU)
    assert numbers(bagged) != numbers(plain)
    each_once = prepared.drawn_by("bagging", {0: write_draws(tmp_path / "once", 0, train)})
    assert numbers(fit(trial(), each_once, seed=0, environment=CPU)) == numbers(plain)
    draws[1].write_bytes(b"damaged")
    with pytest.raises(DataError, match="must hold the draws of a member"):
        epoch_order(replace(own), balanced=False, seed=1, epoch=1)
