"""Contact sheets: pages of thumbnails, each with the name of its image and what is said of it.

Axes: C channels, H W pixels.
"""

import functools
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from resnet_tl.files import replacing

COLUMNS, ROWS = 6, 5
SIDE = 160
"""Pixels of a thumbnail."""
_GAP, _LINE, _FONT_PX = 12, 18, 13


@functools.cache
def _font() -> tuple[ImageFont.FreeTypeFont, frozenset[int]]:
    """DejaVu Sans, which matplotlib brings, and the characters it has."""
    import matplotlib
    from matplotlib.ft2font import FT2Font

    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    # the simple layout: one character after another, as they stand in the name
    font = ImageFont.truetype(str(path), _FONT_PX, layout_engine=ImageFont.Layout.BASIC)
    return font, frozenset(FT2Font(str(path)).get_charmap())


def drawable(text: str) -> str:
    """Text in which every character can be seen: one that is none, or that the font lacks, as its number."""
    known = _font()[1]
    return "".join(c if c.isprintable() and ord(c) in known else ascii(c)[1:-1] for c in text)


def shortened(text: str, width: float) -> str:
    """Text that is no wider than so many pixels; what is left out is from the middle, for names differ at the end."""
    font = _font()[0]
    if font.getlength(text) <= width:
        return text
    kept = len(text)
    while kept > 1 and font.getlength(cut := f"{text[: kept // 2]}…{text[-((kept + 1) // 2) :]}") > width:
        kept -= 1
    return cut


class Sheet:
    """Pages `contact-0001.png` and so on in a folder, each written when it is full.

    Args:
        folder: where they go.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._cells: list[tuple[Image.Image, str, str]] = []
        self.pages: list[Path] = []

    def add(self, pixels_CHW: NDArray[np.generic], name: str, said: str) -> None:
        """Takes in an image, uint8 or float in [0, 1]."""
        unit = pixels_CHW if pixels_CHW.dtype == np.uint8 else np.round(pixels_CHW.astype(np.float64) * 255)
        planes_HWC = unit.astype(np.uint8).transpose(1, 2, 0)
        image = Image.fromarray(planes_HWC if planes_HWC.shape[2] == 3 else planes_HWC[:, :, 0]).convert("RGB")
        scale = SIDE / max(image.size)
        new = max(1, round(image.width * scale)), max(1, round(image.height * scale))
        small = scale < 1
        image = image.resize(new, Image.Resampling.BILINEAR if small else Image.Resampling.NEAREST)
        self._cells.append((image, name, said))
        if len(self._cells) == COLUMNS * ROWS:
            self._write()

    def finish(self) -> None:
        """Writes the last page, if anything is left for it."""
        if self._cells:
            self._write()

    def _write(self) -> None:
        font = _font()[0]
        num_rows = -(-len(self._cells) // COLUMNS)
        across, down = SIDE + _GAP, SIDE + 2 * _LINE + _GAP
        page = Image.new("RGB", (COLUMNS * across + _GAP, num_rows * down + _GAP), "white")
        draw = ImageDraw.Draw(page)
        for place, (image, name, said) in enumerate(self._cells):
            left, top = _GAP + place % COLUMNS * across, _GAP + place // COLUMNS * down
            page.paste(image, (left + (SIDE - image.width) // 2, top + (SIDE - image.height) // 2))
            for line, text in enumerate((said, name)):
                where = (left, top + SIDE + 2 + line * _LINE)
                draw.text(where, shortened(drawable(text), SIDE), fill=("black", "dimgray")[line], font=font)
        path = self._folder / f"contact-{len(self.pages) + 1:04}.png"
        with replacing(path) as stream:
            page.save(stream, format="PNG")
        self.pages.append(path)
        self._cells.clear()
