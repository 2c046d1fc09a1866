"""Pages of thumbnails."""

from pathlib import Path

import numpy as np
from PIL import Image

from resnet_tl.inference.sheet import COLUMNS, ROWS, SIDE, Sheet, _font, drawable, shortened


def test_pages_are_written_when_they_are_full(tmp_path: Path) -> None:
    sheet = Sheet(tmp_path)
    for number in range(COLUMNS * ROWS + 1):
        sheet.add(np.full((1 if number else 3, 8, 8), 100, np.uint8), f"{number}.png", "cat  90.0%")
        assert len(list(tmp_path.iterdir())) == (number >= COLUMNS * ROWS - 1)
    sheet.finish()
    assert [path.name for path in sheet.pages] == ["contact-0001.png", "contact-0002.png"]
    full, last = (np.asarray(Image.open(path)) for path in sheet.pages)
    assert full.shape[0] > ROWS * SIDE > last.shape[0]
    assert (full == 100).all(2).sum() >= COLUMNS * ROWS * SIDE * SIDE
    assert (full < 60).all(2).sum() > 100, "there is text"


def test_text_is_drawn_as_text_and_what_cannot_be_seen_as_its_number() -> None:
    assert drawable("müller $x^2$ <b>&amp; %s") == "müller $x^2$ <b>&amp; %s"
    assert drawable("a\nb\u202egnp\u4e2d") == r"a\nb\u202egnp\u4e2d"


def test_long_names_lose_their_middle() -> None:
    cut = shortened("a" * 200 + "7.png", SIDE)
    assert cut.endswith("7.png")
    assert "…" in cut
    assert SIDE - 20 < _font()[0].getlength(cut) <= SIDE
    assert shortened("a.png", SIDE) == "a.png"
