"""Images and masks as they are stored: grey stays grey, and 16 bits stay 16.

DICOM files are read with pydicom (the extra `dicom`): the stored values, without the tables that map them to a display,
except that a picture whose small values are bright (MONOCHROME1) is inverted within its stored bits.

Axes: H W pixels, C channels.
"""

import functools
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnet_tl.data.decode import BadImage, image_suffixes, read_upright
from resnet_tl.errors import DataError

Pixels = NDArray[np.uint8] | NDArray[np.uint16]
"""[H, W], or uint8 [H, W, C] with three colours."""
DICOM_SUFFIXES = frozenset([".dcm", ".dicom"])
_TRANSPARENT = ("RGBA", "LA", "PA", "RGBa", "La")

MOST_SMALL_BYTES = 2**28
"""Size up to which reading a file as it is lacks no memory."""


@functools.cache
def known_suffixes() -> frozenset[str]:
    """The suffixes, in small letters, of what can be read here."""
    return image_suffixes() | DICOM_SUFFIXES


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM by its suffix, or, where the suffix says nothing, by its first bytes."""
    suffix = path.suffix.lower()
    if suffix in known_suffixes():
        return suffix in DICOM_SUFFIXES
    with path.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"


def require_pydicom(num_files: int, example: str) -> None:
    """Checks that DICOM files can be read.

    Raises:
        DataError: pydicom is not installed.
    """
    try:
        import pydicom  # noqa: F401
    except ImportError:
        raise DataError(
            f"{num_files} files are DICOM, such as {example}, and reading them needs pydicom, which is not installed: "
            'pip install "resnet-sweeps[dicom]", or pip install "pydicom>=3".'
        ) from None


def read_pixels(path: Path, *, max_pixels: int) -> Pixels:
    """Reads an image: grey with the 8 or 16 bits that it is stored with, colours with 8.

    Transparency is laid over white.

    Raises:
        BadImage: it cannot be read, or not without losing bits.
        MemoryError, OSError: the machine cannot read it now.
    """
    if is_dicom(path):
        return _read_dicom(path, max_pixels)
    image, deep_colour = read_upright(path, max_pixels)
    if deep_colour:
        raise BadImage("stores 16 bits for each colour, of which only the upper 8 can be read; convert it to 8 bits")
    if image.mode == "F":
        raise BadImage("has floating-point pixels, whose range is not stated; store 8 or 16 bits")
    if image.mode.startswith("I"):
        return _sixteen_bits(np.asarray(image))
    is_grey = image.mode in ("1", "L", "LA", "La")
    is_palette = image.mode in ("P", "PA")
    if image.mode in _TRANSPARENT or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    pixels_HWC = np.asarray(image.convert("L" if is_grey else "RGB"))
    if is_palette and (pixels_HWC == pixels_HWC[:, :, :1]).all():
        return np.ascontiguousarray(pixels_HWC[:, :, 0])  # a grey picture stored as a table of its shades
    return pixels_HWC


def read_mask(path: Path, *, threshold: int | None, max_pixels: int) -> NDArray[np.bool_]:
    """Reads where the region is; [H, W].

    Of colours the largest counts, so that a red region on black is one.

    Raises:
        BadImage: the mask cannot be read, or what is region in it cannot be told.
        MemoryError, OSError: the machine cannot read it now.
    """
    if is_dicom(path):
        values: NDArray[Any] = _read_dicom(path, max_pixels)
    else:
        image, _ = read_upright(path, max_pixels)
        if image.mode in _TRANSPARENT or "transparency" in image.info:
            low, _ = image.convert("RGBA").getchannel("A").getextrema()
            if isinstance(low, int | float) and low < 255:
                raise BadImage("is partly transparent, which says nothing certain of a region; store it as grey")
        is_number = image.mode in ("1", "L") or image.mode.startswith(("I", "F"))
        values = np.asarray(image if is_number and image.mode != "1" else image.convert("L" if is_number else "RGB"))
    if values.ndim == 3:
        values = values.max(axis=2)
    largest = values.max()
    if not np.isfinite(largest) or values.min() < 0:
        raise BadImage(f"must hold values from 0 on, but holds {values.min()} to {largest}")
    if threshold is not None:
        return values > threshold
    mask: NDArray[np.bool_] = values != 0
    between = values[mask & (values != largest)]
    if between.size:
        others = sorted({*between[:1000].tolist(), largest.item()})
        raise BadImage(
            f"must hold 0 and one other value alone, but holds {', '.join(f'{value:g}' for value in others[:5])}"
            f"{' …' if len(others) > 5 else ''} beside 0"
        )
    return mask


def _sixteen_bits(values: NDArray[Any]) -> NDArray[np.uint16]:
    if values.min() < 0 or values.max() > 65535:
        raise BadImage(f"has grey values outside 16 bits: {values.min()} to {values.max()}")
    return values.astype(np.uint16)


def _read_dicom(path: Path, max_pixels: int) -> Pixels:
    import pydicom
    from pydicom.pixels.utils import pixel_array

    try:
        try:
            data = pydicom.dcmread(path, force=path.suffix.lower() in DICOM_SUFFIXES)
        except MemoryError:  # lengths that a damaged file states are believed by the library
            if path.stat().st_size > MOST_SMALL_BYTES:
                raise
            raise BadImage("is damaged: it states that a part of it is larger than the memory") from None
        if "PixelData" not in data:
            raise BadImage("is DICOM without a picture")
        height, width = int(data.Rows), int(data.Columns)
        if height * width > max_pixels:
            raise BadImage(f"has {width:,} × {height:,} pixels, more than max_pixels={max_pixels}")
        if int(data.get("NumberOfFrames") or 1) > 1:
            raise BadImage(f"holds {data.NumberOfFrames} pictures; store each in a file of its own")
        values = pixel_array(data)  # colours come as RGB
        kind, bits = str(data.PhotometricInterpretation), int(data.BitsStored)
    except (BadImage, MemoryError):
        raise
    except Exception as error:  # for damaged content, and where a decoder is missing, anything comes
        raise BadImage(f"cannot be decoded: {error}") from None
    if values.ndim == 3 and values.dtype == np.uint8 and values.shape[2] == 3:
        return np.ascontiguousarray(values)
    if values.ndim != 2 or values.dtype.kind not in "iu" or kind == "PALETTE COLOR":
        raise BadImage(f"has pixels that cannot be kept as they are: {kind}, {values.dtype} {list(values.shape)}")
    if kind == "MONOCHROME1":
        values = (2**bits - 1) - values.astype(np.int64)
    if bits <= 8 and values.min() >= 0 and values.max() <= 255:
        return values.astype(np.uint8)
    return _sixteen_bits(values)
