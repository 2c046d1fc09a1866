"""Results image by image: a CSV that is written as they come, and the lines that a person reads.

Axes: K classes.
"""

import contextlib
import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from resnet_tl.files import replacing
from resnet_tl.metrics import Floats

MOST_LINES = 100
"""Images whose lines a terminal shows."""


@contextlib.contextmanager
def csv_rows(path: Path, header: Sequence[str]) -> Iterator[Any]:
    """A `csv.writer` on a file that is there, whole, once all rows are written; no row is kept in memory."""
    with replacing(path) as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8", newline="")
        writer = csv.writer(text)
        writer.writerow(header)
        yield writer
        text.flush()
        text.detach()  # the file is closed by its owner, who waits until it is on the disk


def probability_columns(classes: Sequence[str]) -> list[str]:
    """Headers of the columns with the probability of each class."""
    return [f"p({name})" for name in classes]


def probabilities(log_p_K: Floats) -> list[str]:
    """What stands in these columns."""
    return [f"{p:.6g}" for p in np.exp(log_p_K)]


def said(classes: Sequence[str], log_p_K: Floats) -> str:
    """The predicted class and its probability."""
    best = int(log_p_K.argmax())
    return f"{classes[best]}  {np.exp(log_p_K[best]):.1%}"


class Lines:
    """The lines of a table of predictions, of which a terminal shows the first ones and counts.

    Args:
        classes: names of the K classes.
        width: of the column of names.
        on_terminal: whether a person looks on; where a program or a file takes the lines, it gets all as they come.
    """

    def __init__(self, classes: Sequence[str], width: int, *, on_terminal: bool) -> None:
        self._classes, self._width, self._on_terminal = classes, width, on_terminal
        self._first: list[str] = []
        self._counts: Counter[int] = Counter()

    def add(self, name: str, log_p_K: Floats) -> None:
        """Takes in one image."""
        self._counts[int(log_p_K.argmax())] += 1
        line = f"{name:{self._width}}  {said(self._classes, log_p_K)}"
        if not self._on_terminal:
            print(line)
        elif len(self._first) < MOST_LINES:
            self._first.append(line)

    def finish(self, out: str | None) -> None:
        """Prints what waits for the end, where a progress line no longer runs through it.

        Args:
            out: the file that has all rows.
        """
        for line in self._first:
            print(line)
        left_out = self._counts.total() - len(self._first)
        if self._on_terminal and left_out:
            print(f"… and {left_out:,} more images; {out or 'out=FILE.csv'} has all of them. Predicted in all:")
            for number, count in self._counts.most_common(MOST_LINES):
                print(f"  {self._classes[number]}  {count:,}")
