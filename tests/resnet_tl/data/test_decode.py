import dataclasses
import errno
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnet_tl.data.decode import BadImage, Rules, decode_file, fit_square


def saved(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


def rules(**changes: object) -> Rules:
    return dataclasses.replace(Rules(channels=3, size=None), **changes)  # type: ignore[arg-type]


def pixel(path: Path, channels: int = 3, **changes: object) -> list[int]:
    return decode_file(path, rules(channels=channels, **changes)).pixels[:, 0, 0].tolist()


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
    pixels = decode_file(path, rules()).pixels
    assert pixels.shape == (3, 4, 2)
    assert pixels[:, 0, 1].tolist() == [255, 255, 255]


def test_black_and_white_and_luma(tmp_path: Path) -> None:
    assert pixel(saved(tmp_path / "a.png", Image.new("1", (4, 4), 1)), 1) == [255]
    assert pixel(saved(tmp_path / "b.png", Image.new("RGB", (4, 4), (255, 0, 0))), 1) == [76]  # 0.299 × 255
    assert pixel(saved(tmp_path / "c.png", Image.new("L", (4, 4), 9)), 3) == [9, 9, 9]


def test_the_first_frame_of_an_animation_is_read(tmp_path: Path) -> None:
    frames = [Image.new("L", (4, 4), value) for value in (10, 200)]
    path = saved(tmp_path / "a.gif", frames[0], save_all=True, append_images=frames[1:])
    assert pixel(path, 1) == [10]


def test_broken_files_are_bad_images(tmp_path: Path) -> None:
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
            decode_file(tmp_path / name, rules())
    float_image = saved(tmp_path / "float.tif", Image.new("F", (4, 4), 0.5))
    with pytest.raises(BadImage, match="floating-point"):
        decode_file(float_image, rules())


def test_the_centre_square_is_cut_after_the_short_side_is_fitted() -> None:
    pixels = np.zeros((40, 120), dtype=np.uint8)
    pixels[:, 40:80] = 255
    square = fit_square(Image.fromarray(pixels), 20)
    assert square.shape == (1, 20, 20)
    assert square[0, :, 2:-2].min() == 255
    assert fit_square(Image.fromarray(pixels), None).shape == (1, 40, 120)


def bomb(path: Path, side: int = 11_000) -> Path:
    """A tiny file that claims to hold more pixels than Pillow takes without a warning."""
    small = saved(path, Image.new("L", (8, 8))).read_bytes()
    header = b"IHDR" + struct.pack(">II", side, side) + small[24:29]
    path.write_bytes(small[:12] + header + struct.pack(">I", zlib.crc32(header)) + small[33:])
    return path


def test_a_bomb_is_refused_by_every_thread_and_no_filter_is_touched(tmp_path: Path) -> None:
    path, good = bomb(tmp_path / "bomb.png"), saved(tmp_path / "good.png", Image.new("L", (8, 8), 7))

    def attempt(index: int) -> str:
        try:
            return str(decode_file(path if index % 3 else good, rules()).pixels.max())
        except BadImage as error:
            return str(error)

    before = list(warnings.filters)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(warnings, "catch_warnings", None)
        patch.setattr(warnings, "simplefilter", None)
        patch.setattr(warnings, "warn", None)
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(attempt, range(300)))
    assert warnings.filters == before
    assert set(answers[::3]) == {"7"}
    assert {answer for index, answer in enumerate(answers) if index % 3} == {
        "has 11,000 × 11,000 pixels, more than data.max_pixels=89478485 (a decompression bomb?)"
    }


def test_the_limit_of_pixels_is_the_users(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", Image.new("L", (20, 30), 5))
    assert pixel(path, 1, max_pixels=600) == [5]
    with pytest.raises(BadImage, match="20 × 30 pixels, more than data.max_pixels=599"):
        decode_file(path, rules(max_pixels=599))
    large = saved(tmp_path / "large.png", Image.new("1", (14_000, 14_000)))  # Pillow itself refuses over 179 million
    assert decode_file(large, rules(channels=1, size=8, max_pixels=200_000_000)).pixels.shape == (1, 8, 8)


@pytest.mark.parametrize(
    ("kind", "count", "value"),
    [
        (10, 1, struct.pack(">ii", -72, 1)),
        (2, 5, b"inch\0"),
        (7, 6, b"abcdef"),
        (12, 1, struct.pack(">d", float("nan"))),
        (5, 1, struct.pack(">II", 72, 0)),
    ],
    ids=["negative", "text", "bytes", "not a number", "over zero"],
)
def test_an_odd_resolution_breaks_no_picture(tmp_path: Path, kind: int, count: int, value: bytes) -> None:
    resolution = struct.pack(">HHII", 0x011A, kind, count, 38)
    entries = struct.pack(">H", 2) + struct.pack(">HHIHH", 0x0112, 3, 1, 6, 0) + resolution
    exif = b"Exif\0\0MM\0*" + struct.pack(">I", 8) + entries + struct.pack(">I", 0) + value
    path = saved(tmp_path / "a.jpg", Image.new("RGB", (4, 2)), exif=exif)
    assert decode_file(path, rules()).pixels.shape == (3, 4, 2), "and it is turned all the same"


@pytest.mark.parametrize("exif", [b"Exif\0\0MM", b"Exif\0\0", b"Exif\0\0nonsense"])
def test_a_damaged_exif_block_counts_as_none(tmp_path: Path, exif: bytes) -> None:
    path = saved(tmp_path / "a.jpg", Image.new("RGB", (4, 2)), exif=exif)
    assert decode_file(path, rules()).pixels.shape == (3, 2, 4)


@pytest.mark.parametrize("size", [(60_000, 1), (1, 60_000), (3, 50_000)])
def test_only_the_cut_of_a_strip_is_scaled(size: tuple[int, int]) -> None:
    strip = np.linspace(0, 255, max(size)).astype(np.uint8)
    image = Image.fromarray(strip[None].repeat(size[1], 0) if size[0] > size[1] else strip[:, None].repeat(size[0], 1))
    square = fit_square(image, 400)
    assert square.shape == (1, 400, 400)
    assert set(np.unique(square)) <= {126, 127, 128}, "the middle"


def test_a_scaled_cut_is_the_cut_of_the_scaled_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 333, 3), np.uint8))
    whole = fit_square(image, 64).astype(int)
    monkeypatch.setattr("resnet_tl.data.decode.MAX_PIXELS", 1)
    assert np.abs(fit_square(image, 64) - whole).max() <= 1


def test_the_whole_picture_may_be_kept_with_borders_or_squashed() -> None:
    pixels = np.full((40, 120), 255, dtype=np.uint8)
    pixels[:, :30] = 100
    padded = fit_square(Image.fromarray(pixels), 60, "pad")[0]
    assert padded.shape == (60, 60)
    assert padded[:20].max() == padded[40:].max() == 0
    assert padded[20:40, 0].tolist() == [100] * 20
    assert padded[20:40, -1].tolist() == [255] * 20
    squashed = fit_square(Image.fromarray(pixels), 60, "squash")[0]
    assert squashed.shape == (60, 60)
    assert (squashed[:, 0].tolist(), squashed[:, -1].tolist()) == ([100] * 60, [255] * 60)
    assert fit_square(Image.new("RGB", (3000, 1)), 32, "pad").shape == (3, 32, 32)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_the_largest_number_of_the_stated_bits_is_white(tmp_path: Path, suffix: str) -> None:
    values = np.array([[0, 2048, 4095]], dtype=np.uint16)
    path = saved(tmp_path / f"a{suffix}", Image.fromarray(values))
    decoded = decode_file(path, rules(channels=1, bits=12))
    assert decoded.pixels.tolist() == [[[0, 128, 255]]]
    assert decoded.largest == 4095
    assert decode_file(path, rules(channels=1)).pixels.tolist() == [[[0, 8, 16]]]


def test_colours_of_sixteen_bits_are_known_as_such(tmp_path: Path) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    def colour(value: int) -> Path:
        rows = b"".join(b"\0" + struct.pack(">3H", *[value] * 3) * 4 for _ in range(4))
        header = struct.pack(">IIBBBBB", 4, 4, 16, 2, 0, 0, 0)
        path = tmp_path / f"{value}.png"
        path.write_bytes(
            b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
        )
        return path

    assert decode_file(colour(65535), rules()).largest == 65535
    assert (decode_file(colour(4095), rules()).largest or 0) < 4096
    with pytest.raises(BadImage, match="upper 8 alone"):
        decode_file(colour(4095), rules(bits=12))


def test_pixels_of_16_bits_are_not_colours_of_16_bits(tmp_path: Path) -> None:
    """A BMP of 5, 6 and 5 bits for red, green and blue."""
    path = tmp_path / "a.bmp"
    masks = struct.pack("<3I", 0xF800, 0x07E0, 0x001F)
    info = struct.pack("<IiiHHIIiiII", 40, 4, 4, 1, 16, 3, 32, 0, 0, 0, 0) + masks
    content = info + struct.pack("<H", 0xF800) * 16
    path.write_bytes(b"BM" + struct.pack("<IHHI", 14 + len(content), 0, 0, 14 + len(info)) + content)
    for bits in (12, 16):
        decoded = decode_file(path, rules(bits=bits))
        assert decoded.largest is None
        assert decoded.pixels[:, 0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize(
    "raised", [MemoryError(), OSError(errno.EMFILE, "Too many open files"), OSError(errno.EIO, "Input/output error")]
)
def test_what_the_machine_lacks_for_a_moment_is_no_fault_of_the_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raised: Exception
) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (30, 30)).save(path)

    def fail(*_: object) -> None:
        raise raised

    with monkeypatch.context() as patch:
        patch.setattr("resnet_tl.data.decode.sha256_of", fail)
        with pytest.raises(type(raised)) as caught:
            decode_file(path, rules())
    assert isinstance(raised, MemoryError) or str(path) in str(caught.value)
    raised = OSError(errno.EINVAL, "Invalid argument")  # of a place before the file's beginning, say
    with monkeypatch.context() as patch:
        patch.setattr("resnet_tl.data.decode.sha256_of", fail)
        with pytest.raises(BadImage, match="Invalid argument"):
            decode_file(path, rules())
    decode_file(path, rules())
