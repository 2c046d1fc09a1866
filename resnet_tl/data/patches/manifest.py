"""`manifest.csv` of a patch set: where each patch was cut, its class, its patient; and whether the files are those.

OUT/manifest.csv                 one row for each patch
OUT/[SPLIT/]CLASS/….png          the patches
OUT/contact.png, contact-01.png  their places in the images, drawn
OUT/patches.json                 the request that made them
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from resnet_tl.data.finder import walk
from resnet_tl.data.splits import SPLITS
from resnet_tl.errors import DataError, shown
from resnet_tl.files import sha256_of

COLUMNS = ("path", "source", "x", "y", "width", "height", "label", "flag", "group", "sha256")
MANIFEST = "manifest.csv"
REQUEST = "patches.json"
CONTACT = re.compile(r"contact(-\d+)?\.png")
_MOST_NAMED = 1000
_FLAGS = {"true": True, "false": False}


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One patch."""

    path: str
    """Below the folder of the set, with `/`: its class folder, perhaps in that of a split, and its name."""
    source: str
    """The image's path below the folder of images."""
    x: int
    """Of the leftmost column of the patch in its image, upright."""
    y: int
    """Of the topmost row."""
    width: int
    """Pixels."""
    height: int
    label: str
    """The class."""
    flag: bool
    """Whether no region was found: then the patch is the centre, and the class the negative one."""
    group: str
    """The patient, case or image whose patches belong on one side of a split; empty where each is alone."""
    sha256: str
    """Of the patch's file."""

    @property
    def split(self) -> str | None:
        """The split in whose folder the patch stands."""
        first = self.path.partition("/")[0]
        return first if first in SPLITS else None


def manifest_text(rows: Iterable[Row]) -> str:
    """The manifest as it is written."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        values = {name: getattr(row, name) for name in COLUMNS} | {"flag": str(row.flag).lower()}
        writer.writerow([values[name] for name in COLUMNS])
    return stream.getvalue()


def read_manifest(root: Path) -> list[Row]:
    """Reads the manifest of a patch set.

    Raises:
        DataError: it is missing, or rows are not as they must be; all lines at once.
    """
    path = root / MANIFEST
    advice = "A patch set is made by `python -m resnet_tl.patches`."
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"{root} must be a patch set, but holds no {MANIFEST}. {advice}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} must be a CSV in UTF-8, but cannot be read: {error}.") from None
    try:
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        header = next(reader, [])
        if tuple(header) != COLUMNS:
            raise DataError(
                f"{path} must have the columns {', '.join(COLUMNS)}, but has {', '.join(header) or 'none'}."
            )
        lines = [(reader.line_num, cells) for cells in reader if cells]
    except csv.Error as error:
        raise DataError(f"{path} is no CSV that can be read: {error}.") from None
    rows, problems = [], []
    for number, cells in lines:
        wrong = _wrong_in(cells)
        problems += [f"line {number}: {sentence}" for sentence in wrong]
        if not wrong:
            values = dict(zip(COLUMNS, cells, strict=True))
            rows.append(
                Row(
                    path=values["path"],
                    source=values["source"],
                    x=int(values["x"]),
                    y=int(values["y"]),
                    width=int(values["width"]),
                    height=int(values["height"]),
                    label=values["label"],
                    flag=_FLAGS[values["flag"]],
                    group=values["group"],
                    sha256=values["sha256"],
                )
            )
    twice = [name for name, count in Counter(row.path for row in rows).items() if count > 1]
    problems += [f"{name} stands in several rows" for name in twice]
    if len({bool(row.group) for row in rows}) > 1:
        problems.append("`group` must be given in every row or in none")
    if len({row.split is None for row in rows}) > 1:
        problems.append("patches must all stand in folders of splits, or none")
    if not lines:
        problems.append("there must be a patch at least")
    if problems:
        raise DataError(f"{path} must say of each patch what it is, but does not:\n{shown(problems, most=_MOST_NAMED)}")
    return rows


def _wrong_in(cells: Sequence[str]) -> list[str]:
    if len(cells) != len(COLUMNS):
        return [f"{len(COLUMNS)} values must stand there, but got {len(cells)}"]
    values = dict(zip(COLUMNS, cells, strict=True))
    wrong = []
    path = PurePosixPath(values["path"])
    if path.is_absolute() or ".." in path.parts or path.as_posix() != values["path"]:
        wrong.append(f"`path` must lead to a file below the folder, but got {values['path']}")
    folders = path.parts[1:] if path.parts and path.parts[0] in SPLITS else path.parts
    if not values["label"] or len(folders) < 2 or folders[0] != values["label"]:
        wrong.append(f"`path` must lead through the folder of its class {values['label']!r}, but got {values['path']}")
    for name, least in (("x", 0), ("y", 0), ("width", 1), ("height", 1)):
        if not re.fullmatch(r"[0-9]{1,9}", values[name]) or int(values[name]) < least:
            wrong.append(f"`{name}` must be a whole number from {least} on, but got {values[name]!r}")
    if values["flag"] not in _FLAGS:
        wrong.append(f"`flag` must be true or false, but got {values['flag']!r}")
    if not re.fullmatch(r"[0-9a-f]{64}", values["sha256"]):
        wrong.append(f"`sha256` must be 64 hexadecimal digits, but got {values['sha256']!r}")
    return wrong


def differences(root: Path, rows: Sequence[Row], *, may_lie: Callable[[str], bool]) -> list[str]:
    """How the files of a patch set differ from its manifest; empty where they agree.

    Args:
        may_lie: whether a file that the manifest does not know may lie in the folder, by its path there.

    Returns:
        A sentence for each kind of difference, with all names.
    """
    there = {
        (here / name).relative_to(root).as_posix() for here, names, _ in walk(root, everything=True) for name in names
    }
    stated = {row.path: row.sha256 for row in rows}
    missing = sorted(set(stated) - there)
    unknown = sorted(name for name in there - set(stated) if not may_lie(name))
    changed = [name for name, sha256 in stated.items() if name in there and sha256_of(root / name) != sha256]
    said = []
    for names, sentence in (
        (missing, "patches of the manifest are missing"),
        (changed, "patches differ from the sha256 that the manifest states: they were changed or damaged"),
        (unknown, "files are not in the manifest"),
    ):
        if names:
            said.append(f"{root}: {len(names)} {sentence}:\n{shown(names, most=_MOST_NAMED)}")
    return said
