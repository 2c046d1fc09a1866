import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from resnet_tl.data.decode import BadImage
from resnet_tl.data.patches.reading import is_dicom, read_mask, read_pixels, require_pydicom
from resnet_tl.errors import DataError
from tests.resnet_tl.data.patches.conftest import noise, save, spot

GREY_16 = (np.arange(20 * 30, dtype=np.uint16).reshape(20, 30) * 100).astype(np.uint16)


def write_dicom(path: Path, values: np.ndarray[Any, Any], *, kind: str = "MONOCHROME2", stored: int = 12) -> Path:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    data.Rows, data.Columns = values.shape[:2]
    data.SamplesPerPixel = 3 if values.ndim == 3 else 1
    if values.ndim == 3:
        data.PlanarConfiguration = 0
    data.PhotometricInterpretation = kind
    data.BitsAllocated = 8 * values.dtype.itemsize
    data.BitsStored, data.HighBit = min(stored, data.BitsAllocated), min(stored, data.BitsAllocated) - 1
    data.PixelRepresentation = int(values.dtype.kind == "i")
    data.PixelData = values.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path)
    return path


def pixels(path: Path) -> np.ndarray[Any, Any]:
    return read_pixels(path, max_pixels=10_000)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_stay_sixteen(tmp_path: Path, suffix: str) -> None:
    read = pixels(save(tmp_path / f"a.{suffix}", GREY_16))
    assert read.dtype == np.uint16
    assert np.array_equal(read, GREY_16)


def test_grey_stays_grey_and_colours_stay_colours(tmp_path: Path) -> None:
    grey = noise(0)
    colour = np.stack([grey, grey[::-1], grey[:, ::-1]], axis=2)
    assert np.array_equal(pixels(save(tmp_path / "grey.png", grey)), grey)
    assert np.array_equal(pixels(save(tmp_path / "colour.png", colour)), colour)
    assert pixels(save(tmp_path / "grey.jpg", grey)).shape == grey.shape
    shades = Image.fromarray(grey).convert("P")
    shades.save(tmp_path / "shades.png")
    assert np.array_equal(pixels(tmp_path / "shades.png"), grey)
    Image.fromarray(np.stack([grey, np.zeros_like(grey)], axis=2), "LA").save(tmp_path / "clear.png")
    assert np.array_equal(pixels(tmp_path / "clear.png"), np.full_like(grey, 255))


def test_an_image_lies_as_its_camera_says(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(noise(0)).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(pixels(tmp_path / "a.png"), np.rot90(noise(0), -1))


def test_what_would_lose_bits_is_refused(tmp_path: Path) -> None:
    Image.fromarray(noise(0).astype(np.float32)).save(tmp_path / "float.tif")
    with pytest.raises(BadImage, match="floating-point"):
        pixels(tmp_path / "float.tif")
    with pytest.raises(BadImage, match="pixels, more than max_pixels=9"):
        read_pixels(save(tmp_path / "large.png", noise(0)), max_pixels=9)
    (tmp_path / "empty.png").write_bytes(b"")
    with pytest.raises(BadImage, match="empty"):
        pixels(tmp_path / "empty.png")
    Image.fromarray(-GREY_16.astype(np.int32)).save(tmp_path / "negative.tif")
    with pytest.raises(BadImage, match="outside 16 bits"):
        pixels(tmp_path / "negative.tif")
    import struct
    import zlib

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 8, 8, 16, 2, 0, 0, 0)  # 16 bits for each of three colours
    body = zlib.compress(b"".join(b"\0" + bytes(8 * 6) for _ in range(8)))
    deep = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    (tmp_path / "deep.png").write_bytes(deep)
    with pytest.raises(BadImage, match="only the upper 8"):
        pixels(tmp_path / "deep.png")


def test_dicom_keeps_stored_values_and_bright_is_bright(tmp_path: Path) -> None:
    values = GREY_16 % 4096
    assert np.array_equal(pixels(write_dicom(tmp_path / "a.dcm", values)), values)
    inverted = pixels(write_dicom(tmp_path / "b.dcm", values, kind="MONOCHROME1"))
    assert inverted.dtype == np.uint16
    assert np.array_equal(inverted, 4095 - values)
    assert np.array_equal(pixels(write_dicom(tmp_path / "c.dcm", noise(0), stored=8)), noise(0))
    colour = np.stack([noise(0), noise(1), noise(2)], axis=2)
    assert np.array_equal(pixels(write_dicom(tmp_path / "d.dcm", colour, kind="RGB", stored=8)), colour)
    nameless = write_dicom(tmp_path / "1.2.840.7", values)
    assert is_dicom(nameless)
    assert np.array_equal(pixels(nameless), values)
    assert read_mask(write_dicom(tmp_path / "m.dcm", spot(3, 3), stored=8), threshold=None, max_pixels=9999).sum() == 9


def test_dicom_that_cannot_be_kept_as_it_is_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadImage, match="outside 16 bits"):
        pixels(write_dicom(tmp_path / "a.dcm", GREY_16.astype(np.int16) - 500, stored=16))
    (tmp_path / "b.dcm").write_bytes(b"\0" * 200)
    with pytest.raises(BadImage, match="picture|decoded"):
        pixels(tmp_path / "b.dcm")
    several = pydicom.dcmread(write_dicom(tmp_path / "c.dcm", GREY_16))
    several.NumberOfFrames = 2
    several.save_as(tmp_path / "c.dcm")
    with pytest.raises(BadImage, match="holds 2 pictures"):
        pixels(tmp_path / "c.dcm")


def test_without_pydicom_the_command_to_install_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    require_pydicom(1, "a.dcm")
    imported = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "pydicom":
            raise ImportError
        return imported(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DataError, match=r'2 files are DICOM, such as a.dcm.*pip install "resnet-sweeps\[dicom\]"'):
        require_pydicom(2, "a.dcm")


def mask(path: Path, threshold: int | None = None) -> np.ndarray[Any, Any]:
    return read_mask(path, threshold=threshold, max_pixels=10_000)


@pytest.mark.parametrize("top", [1, 255])
def test_any_one_value_marks_a_region(tmp_path: Path, top: int) -> None:
    drawn = spot(3, 4) // 255 * top
    assert np.array_equal(mask(save(tmp_path / "a.png", drawn)), drawn > 0)
    assert np.array_equal(mask(save(tmp_path / "b.png", drawn > 0)), drawn > 0)
    red = np.stack([drawn, drawn * 0, drawn * 0], axis=2)
    assert np.array_equal(mask(save(tmp_path / "c.png", red)), drawn > 0)
    assert not mask(save(tmp_path / "d.png", drawn * 0)).any()
    assert np.array_equal(mask(save(tmp_path / "e.tif", drawn.astype(np.float32) / 255)), drawn > 0)


def test_a_mask_of_several_values_needs_a_threshold(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", np.maximum(spot(3, 4), spot(20, 20) // 2))
    with pytest.raises(BadImage, match="0 and one other value alone, but holds 127, 255 beside 0"):
        mask(path)
    assert mask(path, threshold=127).sum() == 9
    assert mask(path, threshold=126).sum() == 18
    clear = np.stack([spot(3, 4), spot(3, 4)], axis=2)
    Image.fromarray(clear, "LA").save(tmp_path / "b.png")
    with pytest.raises(BadImage, match="transparent"):
        mask(tmp_path / "b.png")
