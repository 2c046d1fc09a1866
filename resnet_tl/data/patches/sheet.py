"""The contact sheet: every image small, with the outline of its mask and the squares that were cut, on numbered pages.

Axes: H W pixels, C channels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from resnet_tl.data.patches.reading import Pixels
from resnet_tl.data.patches.regions import Square

COLUMNS, ROWS = 8, 10
"""Images on a page; 10,000 of them take 125 pages."""
_SIDE = 168
_GAP = 6
_CAPTION = 26
_TOP = 30
_LETTERS = 27
"""Of a caption that fit under an image, in Pillow's own font."""
REGION, CLAMPED, FLAGGED, OUTLINE = (60, 220, 90), (80, 170, 255), (255, 120, 40), (255, 230, 60)
_LEGEND = (
    (REGION, "around a region"),
    (CLAMPED, "moved to lie inside the image"),
    (FLAGGED, "no region: the centre"),
    (OUTLINE, "outline of the mask"),
)


def drawn(
    pixels: Pixels, mask_HW: NDArray[np.bool_] | None, squares: Sequence[Square], *, flagged: bool
) -> Image.Image:
    """One image of the sheet, RGB. More than 8 bits are stretched from the least to the largest value."""
    height, width = pixels.shape[:2]
    scale = _SIDE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    if pixels.dtype == np.uint16:
        small = np.asarray(Image.fromarray(pixels.astype(np.int32)).resize(size, Image.Resampling.BILINEAR))
        low, high = int(pixels.min()), int(pixels.max())
        stretched = (small - low) * (255 / max(1, high - low))
        image = Image.fromarray(stretched.clip(0, 255).astype(np.uint8)).convert("RGB")
    else:
        image = Image.fromarray(pixels).convert("RGB").resize(size, Image.Resampling.BILINEAR)
    if mask_HW is not None and not flagged:
        # any pixel of a cell counts, so that small regions do not vanish
        cells = np.asarray(Image.fromarray(mask_HW.astype(np.float32)).resize(size, Image.Resampling.BOX)) > 0
        edged = np.array(image)
        edged[cells & ~_inside(cells)] = OUTLINE
        image = Image.fromarray(edged)
    draw = ImageDraw.Draw(image)
    for square in squares:
        colour = FLAGGED if flagged else CLAMPED if square.clamped else REGION
        ends = [round(place * scale) for place in (square.x, square.y, square.x + square.size, square.y + square.size)]
        draw.rectangle((ends[0], ends[1], ends[2] - 1, ends[3] - 1), outline=colour, width=2)
    return image


def _inside(mask_HW: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels whose four neighbours belong to it too."""
    wide = np.pad(mask_HW, 1)
    inside: NDArray[np.bool_] = wide[:-2, 1:-1] & wide[2:, 1:-1] & wide[1:-1, :-2] & wide[1:-1, 2:]
    return inside


@dataclass(kw_only=True, slots=True)
class Sheet:
    """Writes pages as images come in; holds one page at a time."""

    folder: Path
    num_images: int
    written: list[str] = field(default_factory=list)
    """Names of the pages."""
    _waiting: list[tuple[Image.Image, str, str]] = field(default_factory=list)

    def add(self, image: Image.Image, *, name: str, label: str) -> None:
        """Puts an image on the current page, and writes the page when it is full."""
        self._waiting.append((image, name, label))
        done = len(self.written) * COLUMNS * ROWS + len(self._waiting)
        if len(self._waiting) == COLUMNS * ROWS or done == self.num_images:
            self._write()

    def _write(self) -> None:
        pages = -(-self.num_images // (COLUMNS * ROWS))
        number = len(self.written) + 1
        name = "contact.png" if pages == 1 else f"contact-{number:0{len(str(pages))}d}.png"
        rows = -(-len(self._waiting) // COLUMNS)
        columns = COLUMNS if rows > 1 or pages > 1 else max(len(self._waiting), 4)  # the legend needs four
        cell_w, cell_h = _SIDE + _GAP, _SIDE + _CAPTION + _GAP
        page = Image.new("RGB", (columns * cell_w + _GAP, _TOP + rows * cell_h), "white")
        draw = ImageDraw.Draw(page)
        x = _GAP
        for colour, words in _LEGEND:
            draw.rectangle((x, 9, x + 12, 21), outline=(90, 90, 90), fill=colour)
            draw.text((x + 17, 9), words, fill="black")
            x += 25 + int(draw.textlength(words)) + 14
        for index, (image, source, label) in enumerate(self._waiting):
            left, top = _GAP + index % columns * cell_w, _TOP + index // columns * cell_h
            draw.rectangle((left, top, left + _SIDE - 1, top + _SIDE - 1), fill=(235, 235, 235))
            page.paste(image, (left + (_SIDE - image.width) // 2, top + (_SIDE - image.height) // 2))
            for line, words in enumerate((_end_of(source), label[:_LETTERS])):
                draw.text((left, top + _SIDE + 1 + 12 * line), _plain(words), fill="black" if line else (110, 110, 110))
        page.save(self.folder / name)
        self.written.append(name)
        self._waiting.clear()


def _end_of(name: str) -> str:
    """What tells files apart stands mostly at the end of their paths."""
    return name if len(name) <= _LETTERS else f"…{name[1 - _LETTERS :]}"


def _plain(words: str) -> Any:
    """A line of text: names may hold line ends."""
    return " ".join(words.split())
