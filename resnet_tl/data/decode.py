"""One image of any format into pixels, by stated rules.

- EXIF orientation is applied. Of an animation the first frame is read.
- Transparency (an alpha channel, or a palette with one) is laid over white.
- CMYK becomes RGB by Pillow's conversion; 16-bit grey is divided by 257; black-and-white becomes 0 and 255.
- RGB becomes one channel by the luma weights 0.299, 0.587, 0.114; grey becomes RGB by repetition.
- Resizing is bilinear with antialiasing: the short side to `size`, then the centre square.

Axes: H W pixels, C channels.
"""

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

IMAGE_SUFFIXES = frozenset(
    [
        ".png",
        ".jpg",
        ".jpeg",
        ".bmp",
        ".gif",
        ".tif",
        ".tiff",
        ".webp",
        ".ppm",
        ".pgm",
        ".pbm",
        ".jp2",
        ".tga",
    ]
)

Pixels = NDArray[np.uint8] | NDArray[np.float32]


class BadImage(Exception):
    """One image cannot be read; the text says why, without its name."""


def decode_file(path: Path, channels: int) -> Image.Image:
    """Reads an image file as 8-bit RGB (channels=3) or grey (channels=1).

    Raises:
        BadImage: the file is empty, truncated, no image, or large enough to be an attack.
    """
    try:
        if path.stat().st_size == 0:
            raise BadImage("is empty (0 bytes)")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                image.load()
                return to_channels(image, channels)
    except UnidentifiedImageError:
        raise BadImage("is not an image of a known format") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise BadImage(f"has more than {Image.MAX_IMAGE_PIXELS:,} pixels (a decompression bomb?)") from None
    except BadImage:
        raise
    except Exception as error:  # for damaged content Pillow's decoders raise anything, struct.error among them
        raise BadImage(f"cannot be decoded: {error}") from None


def to_channels(image: Image.Image, channels: int) -> Image.Image:
    """Converts any Pillow image to 8-bit RGB or grey by the rules of this module.

    Raises:
        BadImage: floating-point pixels, whose range nothing states.
    """
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # 16-bit grey, some of it opened as 32-bit
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise BadImage("has grey values outside 16 bits")
        image = Image.fromarray(((values + 128) // 257).astype(np.uint8))
    elif image.mode == "F":
        raise BadImage("has floating-point pixels, whose range is not stated; store 8 or 16 bits")
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB" if channels == 3 else "L")


def fit_square(image: Image.Image, size: int | None) -> NDArray[np.uint8]:
    """Resizes the short side to `size` and cuts out the centre square; uint8 [C, H, W]."""
    if size is not None and image.size != (size, size):
        width, height = image.size
        scale = size / min(width, height)
        new = (max(size, round(width * scale)), max(size, round(height * scale)))
        left, top = (new[0] - size) // 2, (new[1] - size) // 2
        image = image.resize(new, Image.Resampling.BILINEAR).crop((left, top, left + size, top + size))
    pixels = np.asarray(image)
    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def fit_square_float(pixels_HWC: NDArray[np.float32], size: int | None) -> NDArray[np.float32]:
    """As `fit_square`, for float pixels in [0, 1]; float32 [C, H, W]."""
    planes = [Image.fromarray(np.ascontiguousarray(pixels_HWC[:, :, c])) for c in range(pixels_HWC.shape[2])]
    return np.concatenate([fit_square(plane, size) for plane in planes]).astype(np.float32)


def from_uint8(pixels: NDArray[np.uint8], channels: int, size: int | None) -> NDArray[np.uint8]:
    """As `fit_square`, for uint8 pixels [H, W] or [H, W, C]."""
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    return fit_square(to_channels(Image.fromarray(np.ascontiguousarray(pixels)), channels), size)
