"""Contact sheets of what a person should look at: doubted labels, and copies."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from resnet_tl.config import DataConfig
from resnet_tl.data.decode import BadImage
from resnet_tl.data.notes import known_as
from resnet_tl.data.prepare import Prepared
from resnet_tl.data.source import Listing
from resnet_tl.data.sources import source_of
from resnet_tl.data.splits import SPLITS
from resnet_tl.files import make_folder
from resnet_tl.inference.sheet import Sheet
from sweeps.proposal.labels import MOST_SHOWN, Doubts
from sweeps.proposal.survey import Copies

MOST_COPIES = 60
"""Two pages."""


def draw_doubts(doubts: Doubts, config: DataConfig, folder: Path) -> list[Path]:
    """The most improbable labels, a page of them."""
    shown = doubts.found[:MOST_SHOWN]
    cells = ((doubt.name, f"{doubt.given} → {doubt.predicted} {doubt.p_predicted:.0%}") for doubt in shown)
    return _draw(cells, config, folder)


def draw_copies(copies: Copies, data: Prepared, config: DataConfig, folder: Path) -> tuple[list[Path], int]:
    """Sets of copies, those in several classes first; returns the pages and how many sets are on them."""
    images = data.load()
    names = known_as(images.names, config)
    split_of = {index: split for split in SPLITS for index in images.splits[split].tolist()}
    cells: list[tuple[str, str]] = []
    shown = 0
    for number, found in enumerate(copies.sets, start=1):
        if cells and len(cells) + len(found) > MOST_COPIES:
            break
        shown = number
        for index in found[:MOST_COPIES]:
            cells.append((names[index], f"{number}: {data.classes[images.labels_N[index]]}, {split_of[index]}"))
    return _draw(cells, config, folder), shown


def _draw(cells: Iterable[tuple[str, str]], config: DataConfig, folder: Path) -> list[Path]:
    cells = list(cells)
    if not cells:
        return []
    make_folder(folder)
    update: dict[str, Any] = {
        "group_key": None,
        "group_missing": "refuse",
        "crop": None,
        "size": None,
        "resize": "crop",
    }
    if config.source == "image_folder":
        update["channels"] = 3
    listing = source_of(config).list(config.model_copy(update=update))
    place = {name: index for index, name in enumerate(known_as(listing.names, config))}
    sheet = Sheet(folder)
    for name, said in cells:
        _add(sheet, listing, place[name], name, said)
    sheet.finish()
    return sheet.pages


def _add(sheet: Sheet, listing: Listing, index: int, name: str, said: str) -> None:
    try:
        sheet.add(listing.load(index).pixels, name, said)
    except BadImage:  # it could be read when the study was prepared, and is gone now
        return
