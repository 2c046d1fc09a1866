"""By which number a table's cells are sorted: what a reader takes them for, and not how they are written."""

import math
import re
from collections.abc import Sequence

NUMBER = re.compile(r"[<>≤≥~]?\s*([+\-−]?\d[\d,]*(?:\.\d+)?(?:e[+\-]?\d+)?)", re.IGNORECASE)
LIST = re.compile(r"\[([^\[\]]+)\]")


def values_of(column: Sequence[str]) -> list[float | None] | None:
    """The numbers of a column's cells, None for cells without one; None where the column does not hold numbers.

    A column holds numbers where each cell begins with one, or has no digit at all, such as `/` or `failed`. `79.2 ±
    1.4%` and `+1.0 [0.2, 1.8]` count by what comes first, the range `76.6–86.7%` by its lower end, `< 0.001` as a
    little less than that number, and the list `[0.91, 0.93]` by its mean.
    """
    found = [_value(text.strip()) for text in column]
    others = [text for text, value in zip(column, found, strict=True) if value is None]
    if all(value is None for value in found) or any(character.isdigit() for text in others for character in text):
        return None
    return found


def _value(text: str) -> float | None:
    if whole := LIST.fullmatch(text):
        entries = [_value(part.strip()) for part in whole[1].split(",")]
        numbers = [entry for entry in entries if entry is not None]
        return math.fsum(numbers) / len(numbers) if numbers else None
    begin = NUMBER.match(text)
    # a date, a version or a name such as 3x3 or 101_things is no number
    if begin is None or re.match(r"[\w.\-/:]", text[begin.end() :]):
        return None
    value = float(begin[1].replace(",", "").replace("−", "-"))
    return math.nextafter(value, -math.inf) if text.startswith("<") else value
