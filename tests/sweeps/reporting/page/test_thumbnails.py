"""Thumbnails are the images, small."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from sweeps.reporting.page.thumbnails import SIDE, as_address


def shown(address: str) -> Image.Image:
    """The picture of an address."""
    return Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2])))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_small_images_keep_every_value(channels: int) -> None:
    pixels_CHW = np.random.default_rng(0).integers(0, 256, (channels, 8, 12), np.uint8)
    picture = shown(as_address(pixels_CHW))
    wanted = pixels_CHW.transpose(1, 2, 0) if channels == 3 else pixels_CHW[0]
    assert np.array_equal(np.asarray(picture), wanted)


def test_numbers_from_0_to_1_are_grey_values() -> None:
    picture = shown(as_address(np.array([[[0.0, 1.0, 2.0, np.nan]]], np.float32)))
    assert np.asarray(picture).tolist() == [[0, 255, 255, 0]]


def test_large_images_are_made_small() -> None:
    address = as_address(np.zeros((3, 400, 800), np.uint8))
    assert address.startswith("data:image/jpeg;base64,")
    assert shown(address).size == (SIDE, SIDE // 2)
    assert len(address) < 3_000
