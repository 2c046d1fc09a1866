"""Finds image files below a folder, for training and for prediction alike, and tells what it passes over.

Links are followed, but not in circles. What operating systems, network storage and sync programs leave in folders is
no image, though some of it has an image's suffix: thumbnails of every picture, for one.
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from resnet_tl.data.decode import image_suffixes
from resnet_tl.errors import DataError, shown

IGNORED = frozenset(
    [
        *("thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "autorun.inf"),  # Windows
        *("$recycle.bin", "system volume information", "recycler"),
        *("icon\r", "__macosx", "network trash folder", "temporary items"),  # macOS
        *("@eadir", "@tmp", "@synoresource", "#recycle", "#snapshot", "@recycle", "@recently-snapshot"),  # NAS
        *("lost+found", "__pycache__", "ipynb_checkpoints"),
    ]
)
"""In small letters; hidden names, which begin with a dot, are passed over too."""
_PREFIXES = (".", "~$", "~syncthing~")


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What lies below a folder."""

    files: list[Path] = field(default_factory=list)
    """In the order of their names."""
    passed_over: list[Path] = field(default_factory=list)
    """Files and whole folders that are no samples."""


def is_ignored(name: str) -> bool:
    """Whether a file or folder of that name is never a sample."""
    return name.startswith(_PREFIXES) or name.lower() in IGNORED


def is_image(path: Path) -> bool:
    """Whether the suffix is of a format that can be read."""
    return path.suffix.lower() in image_suffixes()


def walk(folder: Path, *, everything: bool = False) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Goes through the folders below one, links followed, each only once and none that the way led through.

    Args:
        everything: whether to enter folders that are never samples, too.

    Yields:
        A folder, its files, and those of its folders that are not entered.
    """
    real = Path(os.path.realpath(folder))
    seen = {str(real), *(str(parent) for parent in real.parents)}
    for here, folders, names in os.walk(folder, followlinks=True):
        entered: list[str] = []
        left: list[str] = []
        for name in sorted(folders):
            target = os.path.realpath(os.path.join(here, name))  # noqa: PTH118  # once for each folder of a large set
            stays_out = target in seen or (not everything and is_ignored(name))
            (left if stays_out else entered).append(name)
            if not stays_out:
                seen.add(target)
        folders[:] = entered
        yield Path(here), sorted(names), left


def everything_below(root: Path) -> list[Path]:
    """Every file and folder below one, whatever it is, folders that are not entered among them."""
    found = []
    for here, names, left in walk(root.absolute(), everything=True):
        found += [here, *(here / name for name in (*names, *left))]
    return found


def holds_images(folder: Path) -> bool:
    """Whether there is an image anywhere below; stops at the first."""
    return any(is_image(Path(name)) and not is_ignored(name) for _, names, _ in walk(folder) for name in names)


def files_below(folder: Path) -> Found:
    """All files below a folder but those that are never samples.

    Raises:
        DataError: a name cannot be written as UTF-8, so that no table could hold it.
    """
    found = Found()
    for here, names, left in walk(folder):
        found.passed_over.extend(here / name for name in left)
        for name in names:
            path = here / name
            special = path.exists() and not path.is_file()  # a pipe would be waited for
            (found.passed_over if special or is_ignored(name) else found.files).append(path)
    found.files.sort()
    check_names(found.files)
    return found


def images_below(folder: Path) -> Found:
    """All image files below a folder; files of other suffixes are passed over.

    Raises:
        DataError: as for `files_below`.
    """
    found = files_below(folder)
    return Found(
        files=[path for path in found.files if is_image(path)],
        passed_over=found.passed_over + [path for path in found.files if not is_image(path)],
    )


def check_names(paths: Iterable[Path]) -> None:
    """Refuses names that are no UTF-8.

    Raises:
        DataError: names them, with their odd bytes as `\\x..`.
    """
    odd = [printable(path) for path in paths if printable(path) != str(path)]
    if odd:
        raise DataError(f"File names must be UTF-8 text, but these are in another encoding; rename them:\n{shown(odd)}")


def printable(path: Path) -> str:
    """A path as text, with bytes that are no UTF-8 as `\\x..`."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def told(passed_over: Sequence[Path]) -> str:
    """One sentence about what was passed over, by name and count."""
    counts = Counter(printable(Path(path.name)) for path in passed_over).most_common()
    names = ", ".join(f"{name!r}" + (f" ({count} times)" if count > 1 else "") for name, count in counts[:10])
    more = f" and {len(counts) - 10} other names" if len(counts) > 10 else ""
    what = "file or folder is no sample and is" if len(passed_over) == 1 else "files and folders are no samples and are"
    return f"{len(passed_over)} {what} passed over: {names}{more}."
