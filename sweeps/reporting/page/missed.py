"""Test images that all networks of a study miss, or at least half of them, for people to look at.

Axes: N images, R networks.
"""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resnet_tl.data.decode import BadImage, Pixels, Rules, decode_file
from resnet_tl.data.stored import stored_pixels
from sweeps.records import count
from sweeps.reporting.blocks import MissedImage, MissedImages
from sweeps.reporting.details import Details
from sweeps.reporting.inline import Inline, code
from sweeps.reporting.page.thumbnails import as_address
from sweeps.reporting.results import Results

MOST_SHOWN = 24
"""Images of each group."""
FEWEST = 2
"""Networks from which on it says something of an image that all of them miss it."""


def missed_images(results: Results, cache: Path) -> MissedImages | None:
    """The images that networks miss most; None where predictions are not known, or of fewer than two networks.

    Args:
        cache: where decoded images are kept.

    Raises:
        CheckpointError: what is kept of predictions is damaged.
    """
    details = results.details
    if details is None or results.about is None:
        return None
    right_RN, runs = _right(results, details)
    if len(runs) < FEWEST:
        return None
    R, N = right_RN.shape
    missed_N = R - right_RN.sum(axis=0, dtype=np.int64)
    by_all = np.flatnonzero(missed_N == R)
    by_half = np.flatnonzero((2 * missed_N >= R) & (missed_N < R))
    by_half = by_half[np.argsort(-missed_N[by_half], kind="stable")]
    shown = [*by_all[:MOST_SHOWN].tolist(), *by_half[:MOST_SHOWN].tolist()]
    names = details.names("test")
    pixels, where = _pixels(results, details, cache, names, shown)
    said = details.said(runs, shown)
    labels = details.labels("test")
    classes = results.about.data.classes
    short = _short(names)
    found = {
        place: MissedImage(
            name=short[place],
            given=classes[labels[place]],
            said=tuple((classes[label], often) for label, often in Counter(own).most_common()),
            num_missed=int(missed_N[place]),
            address=None if seen is None else as_address(seen),
        )
        for place, seen, own in zip(shown, pixels, said, strict=True)
    }
    return MissedImages(
        num_networks=R,
        num_images=N,
        num_by_all=len(by_all),
        num_by_half=len(by_half),
        by_all=tuple(found[place] for place in by_all[:MOST_SHOWN].tolist()),
        by_half=tuple(found[place] for place in by_half[:MOST_SHOWN].tolist()),
        where=where,
    )


def _right(results: Results, details: Details) -> tuple[NDArray[np.bool_], list[tuple[str, int]]]:
    """Whether each network was right on each test image, [R, N], and which networks these are."""
    rows: list[NDArray[np.bool_]] = []
    runs: list[tuple[str, int]] = []
    for trial in results.trials:
        for seed, state in zip(trial.seeds, trial.states, strict=True):
            right_N = details.right(trial, seed) if state == "complete" else None
            if right_N is not None:
                rows.append(right_N)
                runs.append((trial.fingerprint or "", seed))
    return (np.stack(rows) if rows else np.zeros((0, 0), bool)), runs


def _pixels(
    results: Results, details: Details, cache: Path, names: Sequence[str], places: Sequence[int]
) -> tuple[list[Pixels | None], Inline]:
    """Images as far as they can be found, and a sentence on where they are from."""
    assert results.about
    stored = stored_pixels(
        cache,
        details.data_fingerprint() or "",
        places,
        split="test",
        labels=details.labels("test"),
        folds=results.about.folds,
        split_seed=int(results.about.data.options.get("split_seed") or 0),
    )
    if stored is not None:
        return list(stored), "They are shown as networks see them, before any crop."
    read = [_from_file(Path(names[place])) for place in places]
    if any(pixels is not None for pixels in read):
        lost = sum(pixels is None for pixels in read)
        left_out = f"; {count(lost, 'file')} of them cannot be read any more" if lost else ""
        return read, f"They are shown as their files are today{left_out}."
    if not places:
        return read, ""
    return read, (
        "Their pictures cannot be shown: the decoded images are not in the cache ",
        code(str(cache)),
        " any more, and there are no files of these names. Where the study had another cache, give ",
        code("run.cache=FOLDER"),
        ".",
    )


def _from_file(path: Path) -> Pixels | None:
    try:
        return decode_file(path, Rules(channels=3, size=None)).pixels if path.is_file() else None
    except (BadImage, OSError, ValueError):
        return None


def _short(names: Sequence[str]) -> list[str]:
    """Names without the folders that all of them have in common."""
    if len(names) < 2 or not all("/" in name for name in names):
        return list(names)
    try:
        common = os.path.commonpath(names)
    except ValueError:  # some absolute, some not
        return list(names)
    return [os.path.relpath(name, common) if common else name for name in names]
