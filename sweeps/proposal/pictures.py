"""Contact sheets of what a person should look at: doubted labels, and copies."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from resnet_tl.config import DataConfig
from resnet_tl.data.decode import BadImage
from resnet_tl.data.notes import known_as
from resnet_tl.data.prepare import Prepared
from resnet_tl.data.sources import source_of
from resnet_tl.data.splits import SPLITS
from resnet_tl.files import make_folder
from resnet_tl.inference.sheet import Sheet
from sweeps.proposal.labels import MOST_SHOWN, Doubts
from sweeps.proposal.survey import Copies

MOST_COPIES = 60
"""Two pages."""
Cell = tuple[str, str, str]
"""The name of an image, and what stands below it: its name, as short as it has to be, and what is said of it."""


def draw_doubts(doubts: Doubts, config: DataConfig, folder: Path) -> list[Path]:
    """The most improbable labels, a page of them."""
    shown = doubts.found[:MOST_SHOWN]
    cells = [
        (doubt.name, f"{doubt.given}: {Path(doubt.name).name}", f"{doubt.predicted}? {doubt.p_predicted:.0%}")
        for doubt in shown
    ]
    return _draw(cells, config, folder)


def draw_copies(copies: Copies, data: Prepared, config: DataConfig, folder: Path) -> tuple[list[Path], int]:
    """Sets of copies, those in several classes first; returns the pages and how many sets are on them."""
    images = data.load()
    names = known_as(images.names, config)
    split_of = {index: split for split in SPLITS for index in images.splits[split].tolist()}
    cells: list[Cell] = []
    shown = 0
    for number, found in enumerate(copies.sets, start=1):
        if cells and len(cells) + len(found) > MOST_COPIES:
            break
        shown = number
        for index in found[:MOST_COPIES]:
            said = f"{number}: {data.classes[images.labels_N[index]]}, {split_of[index]}"
            cells.append((names[index], names[index], said))
    return _draw(cells, config, folder), shown


def _draw(cells: Sequence[Cell], config: DataConfig, folder: Path) -> list[Path]:
    if not cells:
        return []
    make_folder(folder)
    update: dict[str, Any] = {"group_key": None, "group_missing": "refuse", "crop": None, "size": None}
    if config.source == "image_folder":
        update["channels"] = 3
    listing = source_of(config).list(config.model_copy(update=update | {"resize": "crop"}))
    place = {name: index for index, name in enumerate(known_as(listing.names, config))}
    sheet = Sheet(folder)
    for image, below, said in cells:
        with contextlib.suppress(BadImage):  # it could be read when the study was prepared, and is gone now
            sheet.add(listing.load(place[image]).pixels, below, said)
    sheet.finish()
    return sheet.pages
