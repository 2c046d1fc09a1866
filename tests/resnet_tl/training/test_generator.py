"""The generator learns the same from the same images, and leaves everything around it as it was."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from resnet_tl.errors import DataError
from resnet_tl.training import generator as of_generator
from resnet_tl.training.generator import BATCH, fitted, generate, moved, shrunk, spread, train_generator

CPU = torch.device("cpu")
LABELS = np.array([0, 0, 0, 0, 0, 0, 1, 2])


def images(seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (len(LABELS), 3, 32, 32)).astype(np.uint8)


def made(seed: int = 0, of: int = 0, steps: int = 2) -> NDArray[np.float32]:
    network = train_generator(images(of), LABELS, num_classes=3, steps=steps, seed=seed, device=CPU)
    return generate(network, LABELS, seed=seed, device=CPU)


def test_the_same_seed_makes_the_same_bits_and_another_other_ones() -> None:
    first = made()
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    assert np.array_equal(first, made())
    assert torch.equal(before, torch.random.get_rng_state()), "nobody else's random numbers are drawn"
    assert not np.array_equal(first, made(seed=1))
    assert not np.array_equal(first, made(of=1))


def test_images_are_of_the_stored_kind() -> None:
    first = made()
    assert first.shape == (len(LABELS), 3, 32, 32)
    assert first.dtype == np.float32
    assert first.min() >= 0
    assert first.max() <= 1
    assert len(np.unique(first.reshape(len(LABELS), -1), axis=0)) == len(LABELS), "each from noise of its own"


def test_classes_take_turns_however_rare_they_are() -> None:
    members = [np.flatnonzero(label == LABELS) for label in range(3)]
    counts = np.zeros(3, dtype=np.int64)
    for step in range(1, 4):
        index_B, drawn_B = of_generator._batch(members, 0, step)
        assert np.array_equal(LABELS[index_B], drawn_B)
        counts += np.bincount(drawn_B, minlength=3)
    assert counts.tolist() == [BATCH] * 3


def test_a_class_of_its_own_looks_of_its_own() -> None:
    """Black and white images: after a few steps a class is darker than the other."""
    labels = np.array([0, 1] * 4)
    pixels = np.broadcast_to((labels * 255).astype(np.uint8)[:, None, None, None], (8, 1, 32, 32)).copy()
    network = train_generator(pixels, labels, num_classes=2, steps=30, seed=0, device=CPU)
    dark, light = (generate(network, np.full(8, label), seed=0, device=CPU).mean() for label in (0, 1))
    assert light - dark > 0.15, "noise alone would make them alike"


def test_the_spread_is_that_of_one_class_in_one_batch() -> None:
    features = torch.rand((2 * BATCH, 4, 2, 2), generator=torch.Generator().manual_seed(0))
    labels = torch.arange(2 * BATCH) % 3
    labels[0] = 3
    features[BATCH:][labels[BATCH:] == 1] = 0.5  # alike, but only in the second batch
    found = spread(features, labels)
    assert float(found[0]) == pytest.approx(1e-4, rel=0.1), "alone of its class"
    assert float(found[BATCH:][labels[BATCH:] == 1].max()) < 1e-3
    one = labels[:BATCH] == 1
    expected = features[:BATCH][one].flatten(1).std(0, correction=0).mean()
    assert torch.allclose(found[:BATCH][one], expected.expand(int(one.sum())), atol=1e-5)


def test_moving_shows_a_window_of_each_image_made_brighter_or_darker() -> None:
    images_BCHW = torch.zeros((64, 1, 32, 32))
    images_BCHW[:, :, 16, 16] = 1
    found = moved(images_BCHW, torch.Generator().manual_seed(0))
    assert found.shape == images_BCHW.shape
    places = (found.flatten(1) - found[:, 0, 16, 16, None]).argmax(1)
    rows, columns = places // 32 - 16, places % 32 - 16
    for shifts in (rows, columns):
        assert int(shifts.min()) == -4
        assert int(shifts.max()) == 4
    assert len(torch.unique(found.amax((1, 2, 3)))) == 64
    assert float(found.abs().max()) <= 1.5


def test_a_loss_that_is_not_finite_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    forward = of_generator.Generator.forward

    def broken(self: of_generator.Generator, noise_BZ: Tensor, labels_B: Tensor) -> Tensor:
        return forward(self, noise_BZ, labels_B) * float("nan")

    monkeypatch.setattr(of_generator.Generator, "forward", broken)
    with pytest.raises(DataError, match="must have finite losses, but one before step 1 is not"):
        made(steps=1)


def test_progress_is_told_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_generator, "CHECK_EVERY", 2)
    told: list[int] = []
    train_generator(
        images(), LABELS, num_classes=3, steps=3, seed=0, device=CPU, on_step=lambda step, _: told.append(step)
    )
    assert told == [2, 3]


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_stored_images_are_shrunk_as_they_are(dtype: type) -> None:
    stored = np.zeros((3, 1, 48, 40), dtype=dtype)
    stored[1] = 255 if dtype == np.uint8 else 1
    small = shrunk(stored, np.array([1, 2]))
    assert small.shape == (2, 1, 32, 32)
    assert small.dtype == np.uint8
    assert small[0].min() == 255
    assert small[1].max() == 0


def test_fitting_keeps_images_in_their_bounds() -> None:
    small = torch.rand((2, 3, 32, 32), generator=torch.Generator().manual_seed(0))
    assert fitted(small, (32, 32)) is small
    for size in ((72, 60), (8, 8)):
        large = fitted(small, size)
        assert large.shape[2:] == size
        assert float(large.min()) >= 0
        assert float(large.max()) <= 1
