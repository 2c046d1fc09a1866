"""One image of any format into pixels, by stated rules.

- EXIF orientation is applied; a damaged EXIF block counts as none. Of an animation the first frame is read.
- Transparency (an alpha channel, or a palette with one) is laid over white.
- CMYK becomes RGB by Pillow's conversion; black-and-white becomes 0 and 255. Grey values stored with more than 8 bits
  are scaled so that the largest number of `data.bits` bits becomes 255.
- RGB becomes one channel by the luma weights 0.299, 0.587, 0.114; grey becomes RGB by repetition.
- Resizing is bilinear with antialiasing; see `fit_square`.

No warnings filter is touched, and none of Pillow's process-wide settings: images are decoded by several threads.

Axes: H W pixels, C channels.
"""

import errno
import functools
import hashlib
import io
import re
import struct
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError

from resnet_tl.config import MAX_PIXELS
from resnet_tl.data.near_copies import thumbnail
from resnet_tl.files import sha256_of

Pixels = NDArray[np.uint8] | NDArray[np.float32]
Resize = Literal["crop", "pad", "squash"]

NO_PICTURES = frozenset(["BUFR", "EPS", "GRIB", "HDF5", "IPTC", "MPEG", "PDF", "WMF"])
"""What Pillow lists among its formats though it cannot read it, or reads it by running another program."""

_OF_THE_MACHINE = frozenset(
    [errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN]
)
"""Errors of reading that pass: a sound image must not be left out, and remembered as broken, for a moment's want. Those
of a damaged file have no number, or are of a place in it that cannot be."""

_END_OF_JPEG = b"\xff\xd9"
_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class BadImage(Exception):
    """One image cannot be read; the text says why, without its name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """How images become pixels, as far as the user decides it."""

    channels: int
    """3 for RGB, 1 for grey."""
    size: int | None
    """Side of the square that images are fitted to; None leaves them as they are."""
    resize: Resize = "crop"
    bits: int = 16
    """Bits that hold the grey values of images that store more than 8."""
    max_pixels: int = MAX_PIXELS
    truncated: Literal["refuse", "fill"] = "refuse"
    """What becomes of JPEG files that end too early."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Decoded:
    """One image as it is stored."""

    pixels: Pixels
    """[C, H, W]."""
    content: str
    """sha256 of the image before it was converted and fitted: of its file, or of its values."""
    largest: int | None = None
    """The largest value in the file, where it stores more than 8 bits."""
    thumbnail: NDArray[np.uint8] | None = None
    """What near copies are told by; see `resnet_tl.data.near_copies`."""
    filled: bool = False
    """Whether the file ended too early, and the rest is grey."""


@functools.cache
def image_suffixes() -> frozenset[str]:
    """The suffixes, in small letters, of the formats that the installed Pillow reads."""
    return frozenset(suffix for suffix, kind in _kinds_by_suffix().items() if kind in Image.OPEN)


@functools.cache
def _kinds_by_suffix() -> dict[str, str]:
    Image.init()
    return {suffix: kind for suffix, kind in Image.registered_extensions().items() if kind not in NO_PICTURES}


def decode_file(path: Path, rules: Rules) -> Decoded:
    """Reads an image file.

    Raises:
        BadImage: the file is empty, truncated, no image, or larger than allowed.
        MemoryError, OSError: the machine cannot read it now, which says nothing of the file.
    """
    try:
        if path.stat().st_size == 0:
            raise BadImage("is empty (0 bytes)")
        with path.open("rb") as stream:
            image = _opened(stream, path)
            width, height = image.size
            if width * height > rules.max_pixels:
                raise BadImage(
                    f"has {width:,} × {height:,} pixels, more than data.max_pixels={rules.max_pixels} "
                    "(a decompression bomb?)"
                )
            content = sha256_of(path)
            filled = rules.truncated == "fill" and image.format in ("JPEG", "MPO") and not _ends(image)
            if filled:
                # the end is put behind the file rather than Pillow's switch set, which all threads share
                image = _opened(io.BytesIO(path.read_bytes() + _END_OF_JPEG), path)
            return replace(decode(image, rules, content=content), filled=filled)
    except Exception as error:  # for damaged content Pillow's decoders raise anything, struct.error among them
        raise _told(error, path) from None


def read_upright(path: Path, max_pixels: int) -> tuple[Image.Image, bool]:
    """Reads an image file as it is stored: in its own mode, neither converted nor resized, but upright.

    Returns:
        The image, and whether its file stores 16 bits for each colour, of which Pillow has read the upper 8 alone.

    Raises:
        BadImage: the file is empty, truncated, no image, or of more than `max_pixels` pixels.
        MemoryError, OSError: the machine cannot read it now, which says nothing of the file.
    """
    try:
        if path.stat().st_size == 0:
            raise BadImage("is empty (0 bytes)")
        with path.open("rb") as stream:
            image = _opened(stream, path)
            if image.width * image.height > max_pixels:
                raise BadImage(f"has {image.width:,} × {image.height:,} pixels, more than max_pixels={max_pixels}")
            deep_colour = any(_is_deep(tile.args) for tile in image.tile)
            image.load()
            return _upright(image), deep_colour and not image.mode.startswith("I")
    except Exception as error:  # as above
        raise _told(error, path) from None


def _told(error: Exception, path: Path) -> Exception:
    """What is to be raised for an error of reading: of the image, or of the machine."""
    if isinstance(error, UnidentifiedImageError):
        return BadImage("is not an image of a known format")
    if isinstance(error, BadImage | MemoryError):
        return error
    if isinstance(error, OSError) and error.errno in _OF_THE_MACHINE:
        return OSError(error.errno, error.strerror, str(path))
    return BadImage(f"cannot be decoded: {error}")


def _ends(image: Image.Image) -> bool:
    """Whether all pixels of a file are there."""
    try:
        image.load()
    except OSError as error:
        if error.errno in _OF_THE_MACHINE:
            raise
        return False
    return True


def _opened(stream: IO[bytes], path: Path) -> ImageFile.ImageFile:
    """As `Image.open`, which reads no more than the header, but without its check of the size.

    That check warns, so it could only be obeyed or silenced by filters, which belong to the whole process.
    """
    prefix = stream.read(16)
    own = _kinds_by_suffix().get(path.suffix.lower())  # a few formats share their first bytes with another
    for kind in ([own] if own else []) + [kind for kind in Image.ID if kind != own and kind not in NO_PICTURES]:
        factory, accept = Image.OPEN.get(kind, (None, None))
        answer = accept(prefix) if accept is not None else True
        if factory is None or not answer or isinstance(answer, str):  # a text says why it cannot be read here
            continue
        stream.seek(0)
        try:
            return factory(stream, str(path))
        except (SyntaxError, IndexError, TypeError, struct.error):  # how Pillow's formats say that it is not theirs
            continue
    raise UnidentifiedImageError


def decode(image: Image.Image, rules: Rules, *, content: str | None = None) -> Decoded:
    """Converts any Pillow image to 8-bit RGB or grey, and fits it, by the rules of this module.

    Args:
        content: names the image; by default its values do.

    Raises:
        BadImage: floating-point pixels, whose range nothing states; values outside 16 bits.
    """
    deep_colour = isinstance(image, ImageFile.ImageFile) and any(_is_deep(tile.args) for tile in image.tile)
    image.load()
    content = content or _sha256(np.asarray(image), image.mode)
    image = _upright(image)
    largest = None
    if image.mode.startswith("I"):  # 16-bit grey, some of it opened as 32-bit
        values = np.asarray(image)
        largest = int(values.max())
        image = Image.fromarray(to_8_bits(values, rules.bits))
    elif image.mode == "F":
        raise BadImage("has floating-point pixels, whose range is not stated; store 8 or 16 bits")
    elif deep_colour:
        if rules.bits < 16:
            raise BadImage(
                "stores 16 bits for each colour, of which Pillow reads the upper 8 alone; convert it to 8 bits"
            )
        bands = image.getextrema()[: 3 if image.mode.startswith("RGB") else 1]
        largest = max(int(band[1]) for band in bands if isinstance(band, tuple)) * 257
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    small = thumbnail(image)
    image = image.convert("RGB" if rules.channels == 3 else "L")
    return Decoded(
        pixels=fit_square(image, rules.size, rules.resize), content=content, largest=largest, thumbnail=small
    )


def _is_deep(args: object) -> bool:
    """Whether what Pillow tells a decoder speaks of 16 bits for each colour, and not for three together."""
    words = args if isinstance(args, tuple) else (args,)
    return any(
        isinstance(word, str) and re.search(r";16[BLN]?$", word) is not None and word not in ("BGR;16", "RGB;16")
        for word in words
    )


def size_of(path: Path) -> tuple[int, int] | None:
    """Width and height as the head of a file states them; None of what is no picture."""
    try:
        with path.open("rb") as stream:
            return _opened(stream, path).size
    except Exception:  # as for pixels
        return None


def is_turned(path: Path) -> bool:
    """Whether EXIF says that a picture is to be shown turned or mirrored; False of what is no picture."""
    try:
        with path.open("rb") as stream:
            return _TURNS.get(_opened(stream, path).getexif().get(_ORIENTATION, 1)) is not None
    except Exception:  # as for pixels
        return False


def _upright(image: Image.Image) -> Image.Image:
    """Applies the one EXIF field that matters: `exif_transpose` writes all others anew, and fails on odd ones."""
    try:
        turn = _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # as for pixels: a damaged block raises anything
        return image
    return image if turn is None else image.transpose(turn)


def to_8_bits(values: NDArray[np.integer], bits: int) -> NDArray[np.uint8]:
    """Scales whole numbers so that the largest of `bits` bits becomes 255; larger ones are cut.

    Raises:
        BadImage: negative values, or more than 16 bits.
    """
    if values.min() < 0 or values.max() > 65535:
        raise BadImage(f"has grey values outside 16 bits: {values.min()} to {values.max()}")
    top = 2**bits - 1
    scaled: NDArray[np.uint8] = ((np.minimum(values, top).astype(np.int64) * 510 + top) // (2 * top)).astype(np.uint8)
    return scaled


def fit_square(image: Image.Image, size: int | None, resize: Resize = "crop") -> NDArray[np.uint8]:
    """Makes a square of side `size`; uint8 [C, H, W].

    `crop` scales the short side and cuts out the centre, `pad` scales the long side and fills up with black,
    `squash` scales both.
    """
    if size is not None and image.size != (size, size):
        image = {"crop": _cropped, "pad": _padded, "squash": _squashed}[resize](image, size)
    pixels = np.asarray(image)
    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _cropped(image: Image.Image, size: int) -> Image.Image:
    width, height = image.size
    scale = size / min(width, height)
    new = (max(size, round(width * scale)), max(size, round(height * scale)))
    left, top = (new[0] - size) // 2, (new[1] - size) // 2
    if new[0] * new[1] > MAX_PIXELS:
        # a picture of 60,000 × 1 pixels would take all memory, so only the cut is scaled; not so in general, since
        # places in the source are then rounded differently, which can change last bits
        box = (left * width / new[0], top * height / new[1], (left + size) * width / new[0],
               (top + size) * height / new[1])  # fmt: skip
        return image.resize((size, size), Image.Resampling.BILINEAR, box=box)
    return image.resize(new, Image.Resampling.BILINEAR).crop((left, top, left + size, top + size))


def _padded(image: Image.Image, size: int) -> Image.Image:
    width, height = image.size
    scale = size / max(width, height)
    new = (max(1, round(width * scale)), max(1, round(height * scale)))
    square = Image.new(image.mode, (size, size))
    square.paste(image.resize(new, Image.Resampling.BILINEAR), ((size - new[0]) // 2, (size - new[1]) // 2))
    return square


def _squashed(image: Image.Image, size: int) -> Image.Image:
    return image.resize((size, size), Image.Resampling.BILINEAR)


def decode_array(pixels: NDArray[np.integer], rules: Rules) -> Decoded:
    """As `decode`, for whole numbers [H, W] or [H, W, C]; all but uint8 count as more than 8 bits."""
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    largest = None
    content = _sha256(pixels)
    if pixels.dtype != np.uint8:
        largest = int(pixels.max())
        pixels = to_8_bits(pixels, rules.bits)
    decoded = decode(Image.fromarray(np.ascontiguousarray(pixels)), rules, content=content)
    return replace(decoded, largest=largest)


def decode_float(pixels_HWC: NDArray[np.float32], rules: Rules) -> Decoded:
    """As `decode`, for float pixels in [0, 1], which stay float32."""
    content = _sha256(pixels_HWC)
    seen_HWC = np.round(pixels_HWC * 255).astype(np.uint8)
    small = thumbnail(Image.fromarray(seen_HWC if seen_HWC.shape[2] == 3 else seen_HWC[:, :, 0]))
    if pixels_HWC.shape[2] == 3 and rules.channels == 1:
        pixels_HWC = pixels_HWC @ np.array([[0.299], [0.587], [0.114]], dtype=np.float32)
    elif pixels_HWC.shape[2] == 1 and rules.channels == 3:
        pixels_HWC = np.repeat(pixels_HWC, 3, axis=2)
    planes = [Image.fromarray(np.ascontiguousarray(pixels_HWC[:, :, c])) for c in range(pixels_HWC.shape[2])]
    fitted = [fit_square(plane, rules.size, rules.resize) for plane in planes]
    return Decoded(pixels=np.concatenate(fitted).astype(np.float32), content=content, thumbnail=small)


def _sha256(values: NDArray[np.generic], kind: str = "") -> str:
    values = np.ascontiguousarray(values)
    return hashlib.sha256(f"{kind} {values.dtype.str} {values.shape} ".encode() + values.tobytes()).hexdigest()
