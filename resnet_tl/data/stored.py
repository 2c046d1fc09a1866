"""Single decoded images out of the cache, for people to look at, long after their study has run."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from resnet_tl.data.cache import hold
from resnet_tl.data.decode import Pixels
from resnet_tl.errors import DataError
from resnet_tl.identity import digest


def stored_pixels(
    cache: Path,
    fingerprint: str,
    places: Sequence[int],
    *,
    split: str,
    labels: Sequence[int],
    folds: int = 0,
    split_seed: int = 0,
) -> list[Pixels] | None:
    """The pixels [C, H, W] of some images as networks are shown them, before they are cropped.

    Args:
        cache: where decoded images are kept.
        fingerprint: names the data set; see `Prepared.fingerprint`.
        places: of the images within the split.
        labels: of all images of the split, which the cache must have too.
        folds: into which each seed cuts the images, 0 for none; then the split is all of them.
        split_seed: of the data set; counts with folds alone.

    Returns:
        None where the cache has them no more.
    """
    base = cache / "data"
    folder = base / fingerprint
    if folds:  # the folder has the name of the images alone, which all cuts share
        cut = {"folds": folds, "split_seed": split_seed}
        there = (path.parent for path in sorted(base.glob("[!.]*/data.json")))
        folder = next((each for each in there if digest([each.name, cut]) == fingerprint), folder)
    if not (folder / "data.json").exists():
        return None
    try:
        with hold([folder]):
            table = json.loads((folder / "data.json").read_text(encoding="utf-8"))
            every = np.array(table["labels"])
            own = np.arange(len(every))
            if table["splits"] is not None:
                own = own[np.array(table["splits"]) == split]
            if every[own].tolist() != list(labels):
                return None
            images = np.load(folder / "images.npy", mmap_mode="r")
            return [np.array(images[own[place]]) for place in places]
    except (DataError, OSError, ValueError, KeyError, TypeError):  # cleared meanwhile, or damaged: no picture
        return None
