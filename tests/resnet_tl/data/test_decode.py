from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnet_tl.data.decode import BadImage, decode_file, fit_square


def saved(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


def pixel(path: Path, channels: int = 3) -> list[int]:
    return np.asarray(decode_file(path, channels)).reshape(-1, channels)[0].tolist()


def test_transparency_is_laid_over_white(tmp_path: Path) -> None:
    assert pixel(saved(tmp_path / "a.png", Image.new("RGBA", (4, 4), (0, 0, 0, 0)))) == [255, 255, 255]
    assert pixel(saved(tmp_path / "b.png", Image.new("RGBA", (4, 4), (255, 0, 0, 128)))) == [255, 127, 127]
    assert pixel(saved(tmp_path / "c.png", Image.new("LA", (4, 4), (0, 0)))) == [255, 255, 255]


def test_a_palette_is_looked_up_and_its_transparency_kept(tmp_path: Path) -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    assert pixel(saved(tmp_path / "a.png", image)) == [10, 20, 30]
    assert pixel(saved(tmp_path / "b.png", image, transparency=1)) == [255, 255, 255]


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    assert pixel(saved(tmp_path / "a.tif", Image.new("CMYK", (4, 4), (0, 255, 255, 0)))) == [255, 0, 0]


def test_sixteen_bits_are_scaled_not_cut(tmp_path: Path) -> None:
    for value, expected in ((0, 0), (257, 1), (32896, 128), (65535, 255)):
        image = Image.fromarray(np.full((4, 4), value, dtype=np.uint16))
        assert pixel(saved(tmp_path / f"{value}.png", image), 1) == [expected]


def test_exif_rotation_is_applied(tmp_path: Path) -> None:
    image = Image.new("RGB", (4, 2), "black")
    image.putpixel((0, 0), (255, 255, 255))
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by 90 degrees clockwise to show
    path = saved(tmp_path / "a.png", image, exif=exif)
    decoded = decode_file(path, 3)
    assert decoded.size == (2, 4)
    assert decoded.getpixel((1, 0)) == (255, 255, 255)


def test_black_and_white_and_luma(tmp_path: Path) -> None:
    assert pixel(saved(tmp_path / "a.png", Image.new("1", (4, 4), 1)), 1) == [255]
    assert pixel(saved(tmp_path / "b.png", Image.new("RGB", (4, 4), (255, 0, 0))), 1) == [76]  # 0.299 × 255
    assert pixel(saved(tmp_path / "c.png", Image.new("L", (4, 4), 9)), 3) == [9, 9, 9]


def test_the_first_frame_of_an_animation_is_read(tmp_path: Path) -> None:
    frames = [Image.new("L", (4, 4), value) for value in (10, 200)]
    path = saved(tmp_path / "a.gif", frames[0], save_all=True, append_images=frames[1:])
    assert pixel(path, 1) == [10]


def test_broken_files_are_bad_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = saved(
        tmp_path / "whole.jpg", Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    )
    content = whole.read_bytes()
    cases = {
        "empty.png": (b"", "empty"),
        "text.jpg": (b"hello there", "not an image"),
        "cut.jpg": (content[: len(content) // 2], "cannot be decoded"),
    }
    for name, (data, message) in cases.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(BadImage, match=message):
            decode_file(tmp_path / name, 3)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(BadImage, match="decompression bomb"):
        decode_file(whole, 3)
    float_image = saved(tmp_path / "float.tif", Image.new("F", (4, 4), 0.5))
    with pytest.raises(BadImage, match="floating-point"):
        decode_file(float_image, 1)


def test_the_centre_square_is_cut_after_the_short_side_is_fitted() -> None:
    pixels = np.zeros((40, 120), dtype=np.uint8)
    pixels[:, 40:80] = 255
    square = fit_square(Image.fromarray(pixels), 20)
    assert square.shape == (1, 20, 20)
    assert square[0, :, 2:-2].min() == 255
    assert fit_square(Image.fromarray(pixels), None).shape == (1, 40, 120)
