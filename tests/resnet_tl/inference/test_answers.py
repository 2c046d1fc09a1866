"""Many images, one after another."""

import threading
from pathlib import Path

import numpy as np

from resnet_tl.batching import EVAL_BATCH
from resnet_tl.data.decode import BadImage, Decoded, Rules
from resnet_tl.inference.answers import AHEAD, answers
from resnet_tl.inference.pictures import Picture, find_pictures
from resnet_tl.inference.predictor import Reading
from resnet_tl.metrics import Floats


class FirstPixel:
    """A predictor that says the first pixel of each image."""

    classes = ("a", "b")

    def __init__(self, bits: int | None = 8) -> None:
        self.reading = Reading(
            channels=1, size=(4, 4), resized=True, resize="crop", crop=None, bits=bits, max_pixels=10**6
        )
        self.batches: list[int] = []

    def log_p_BK(self, pixels_BCHW: np.ndarray) -> Floats:
        self.batches.append(len(pixels_BCHW))
        return np.repeat(pixels_BCHW[:, 0, 0, :1].astype(np.float64), 2, axis=1)


def numbered(count: int, *, largest: dict[int, int] | None = None, bad: tuple[int, ...] = ()) -> list[Picture]:
    """Pictures whose pixels are their number."""

    def loader(number: int):
        def load(rules: Rules) -> Decoded:
            if number in bad:
                raise BadImage("is broken")
            pixels = np.full((1, 4, 4), number, dtype=np.float32)
            return Decoded(pixels=pixels, content="", largest=(largest or {}).get(number))

        return load

    return [Picture(name=str(number), load=loader(number)) for number in range(count)]


def test_answers_come_in_order_whatever_threads_do_and_bad_images_stand_in_their_places() -> None:
    predictor = FirstPixel()
    found = list(answers(predictor, numbered(1000, bad=(0, 5, 999))))
    assert [None if a.log_p_K is None else int(a.log_p_K[0]) for a in found] == [
        None if n in (0, 5, 999) else n for n in range(1000)
    ]
    assert found[5].bad == "is broken"
    assert predictor.batches == [EVAL_BATCH] * 3 + [997 - 3 * EVAL_BATCH]


def test_few_images_are_in_memory_however_many_there_are() -> None:
    lock = threading.Lock()
    num_loaded = 0

    def load(rules: Rules) -> Decoded:
        nonlocal num_loaded
        with lock:
            num_loaded += 1
        return Decoded(pixels=np.zeros((1, 4, 4), np.uint8), content="")

    coming = answers(FirstPixel(), [Picture(name="x", load=load)] * 5000)
    for num_answered, answer in enumerate(coming, 1):
        assert num_loaded - num_answered < AHEAD + EVAL_BATCH
        assert answer.pixels_CHW is None
    assert num_answered == 5000


def test_dark_images_of_16_bits_wait_for_one_that_uses_them() -> None:
    dark = {3: 100, 7: 200}
    found = list(answers(FirstPixel(bits=None), numbered(9, largest=dark)))
    assert [n for n, a in enumerate(found) if a.bad] == [3, 7]
    assert "the largest value of all such images here is 200 of 65535" in str(found[3].bad)
    found = list(answers(FirstPixel(bits=None), numbered(9, largest=dark | {8: 60_000})))
    assert [int(a.log_p_K[0]) for a in found if a.log_p_K is not None] == list(range(9))


def test_an_array_stands_for_its_images_by_the_rules_of_arrays(tmp_path: Path) -> None:
    draws = np.random.default_rng(0)
    x = draws.integers(0, 255, (5, 8, 8, 3), dtype=np.uint8)
    rules = Rules(channels=3, size=8)
    pixels = {}
    for name, array in {"last": x, "first": x.transpose(0, 3, 1, 2), "float": (x / 255).astype(np.float32)}.items():
        np.save(tmp_path / f"{name}.npy", array)
        pictures = find_pictures(str(tmp_path / f"{name}.npy")).pictures
        assert [picture.name for picture in pictures] == [f"{name}.npy[{n}]" for n in range(5)]
        pixels[name] = np.stack([picture.load(rules).pixels for picture in pictures])
    assert np.array_equal(pixels["last"], x.transpose(0, 3, 1, 2))
    assert np.array_equal(pixels["first"], pixels["last"])
    assert np.allclose(pixels["float"], pixels["last"] / 255, atol=1e-7)
