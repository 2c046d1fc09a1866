"""Labels in a table beside the images, in place of class folders."""

import csv
import io
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from resnet_tl.data.finder import images_below, printable
from resnet_tl.data.layout import split_of
from resnet_tl.data.splits import SPLITS
from resnet_tl.errors import DataError, shown

COLUMNS = ("file", "label", "split")


@dataclass(frozen=True, kw_only=True, slots=True)
class Labelled:
    """Images with the labels that a table gives them."""

    files: list[Path]
    labels: list[str]
    splits: list[str | None]
    unusable: dict[Path, str]
    """What the table names below `root` and is no image, or not one image, with the reason."""
    unlabelled: list[Path]
    """Images that the table does not name."""


def read_labels(table: Path, root: Path) -> Labelled:
    """Reads a CSV with the columns `file` and `label` and, where the data states its splits, `split`.

    Args:
        root: where the files are: a row holds a path below it, or a file name that occurs once, with its suffix or
            without.

    Raises:
        DataError: the table cannot be read, or rows are not as they must be; names their lines.
    """
    rows = _rows(table)
    found = images_below(root)
    places: dict[str, Path | None] = {}
    for path in found.files:
        for key in {path.name, path.stem}:
            places[key] = None if key in places else path  # a name that occurs twice names nothing
    others = {name for path in found.passed_over for name in (path.name, path.stem)}
    places |= {path.relative_to(root).as_posix(): path for path in found.files}
    problems = []
    split_given = Counter(bool(split) for _, _, _, split in rows)
    if len(split_given) > 1:
        problems.append(
            f"{table}: `split` must be given in every row or in none, but is empty in {split_given[False]}."
        )
    labelled = Labelled(files=[], labels=[], splits=[], unusable={}, unlabelled=[])
    line_of: dict[Path, int] = {}
    for line, file, label, split in rows:
        inner = _below(file, root)
        place = places.get(inner or "")
        known, sure = split_of(split)
        if not label or not file:
            problems.append(f"{table}, line {line}: `file` and `label` must not be empty.")
        elif split and not (known and sure):
            problems.append(f"{table}, line {line}: `split` must be one of {', '.join(SPLITS)}, but got {split!r}.")
        elif inner is None:
            problems.append(f"{table}, line {line}: `file` must be a path below {root}, but got {file}.")
        elif place is None and inner in places:
            same = [printable(path.relative_to(root)) for path in found.files if inner in (path.name, path.stem)]
            labelled.unusable[Path(inner)] = (
                f"that is the name of {len(same)} files ({', '.join(same[:3])}{', …' if len(same) > 3 else ''}); give "
                f"the path below {root}"
            )
        elif place is None:
            there = (root / inner).exists() or inner in others
            labelled.unusable[Path(inner)] = "is no image by its name" if there else "is not there"
        elif place in line_of:
            problems.append(f"{table}, line {line}: {file} has a label already, in line {line_of[place]}.")
        else:
            line_of[place] = line
            labelled.files.append(place)
            labelled.labels.append(label)
            labelled.splits.append(known)
    if problems:
        raise DataError(*problems[:20], *([f"… and {len(problems) - 20} more"] if len(problems) > 20 else []))
    labelled.unlabelled.extend(path for path in found.files if path not in line_of)
    return labelled


def _below(file: str, root: Path) -> str | None:
    """The path of a row below `root`; None where it leads elsewhere."""
    path = Path(os.path.normpath(file))
    if path.is_absolute():
        for base in (root.absolute(), root.resolve()):
            if path.is_relative_to(base):
                return path.relative_to(base).as_posix()
        return None
    return None if ".." in path.parts else path.as_posix()


def _rows(table: Path) -> list[tuple[int, str, str, str]]:
    """Line, file, label and split of each row."""
    try:
        text = table.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"`data.labels` must be a CSV in UTF-8, but {table} cannot be read: {error}.") from None
    head = text.partition("\n")[0]
    delimiter = max(",;\t", key=head.count)
    try:
        reader = csv.DictReader(io.StringIO(text), delimiter=delimiter, strict=True)
        columns = [str(name).strip().lower() for name in reader.fieldnames or []]
        reader.fieldnames = columns
        if not {"file", "label"} <= set(columns):
            raise DataError(
                f"{table} must have the columns `file` and `label` (and `split`, where splits are stated), but has:\n"
                + shown(columns)
            )
        return [
            (reader.line_num, *((row.get(name) or "").strip() for name in COLUMNS))  # type: ignore[misc]
            for row in reader
        ]
    except csv.Error as error:
        raise DataError(f"{table} is no CSV that can be read: {error}.") from None
