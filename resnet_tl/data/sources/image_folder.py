"""A folder with one folder of image files for each class, or `train`, `val` and `test` folders that hold these."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from resnet_tl.config import DataConfig
from resnet_tl.data.decode import decode_file, image_suffixes
from resnet_tl.data.source import Listing, Source, all_files, folder_of, root_of, rules_of
from resnet_tl.data.splits import SPLITS
from resnet_tl.errors import DataError, shown

IGNORED = frozenset(["Thumbs.db", "desktop.ini"])
"""Files that operating systems leave in folders; hidden files (`.DS_Store`) are passed over too."""


class ImageFolder:
    """`data.source: image_folder`."""

    names = ("image_folder",)
    libraries = ("pillow",)
    options = frozenset({"bits", "group_key", "max_pixels"})

    def files(self, config: DataConfig) -> Sequence[Path]:
        """All that lies in the folder."""
        return all_files(root_of(config))

    def list(self, config: DataConfig) -> Listing:
        """Finds splits, classes, files and groups by their names."""
        return _image_folder(config, folder_of(config))


def _image_folder(config: DataConfig, root: Path) -> Listing:
    folders = sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    stated = [name for name in SPLITS if name in folders]
    if stated:
        if "train" not in stated:
            raise DataError(f"{root} holds {', '.join(stated)} but no `train` folder to learn from.")
        other = [name for name in folders if name not in SPLITS]
        if other:
            raise DataError(
                f"{root} holds split folders ({', '.join(stated)}) and others beside them; "
                f"move these away:\n{shown(other)}"
            )
    places: list[tuple[str | None, Path]] = [(name, root / name) for name in stated] or [(None, root)]
    stray = [str(path) for _, place in places for path in sorted(place.iterdir()) if path.is_file() and _counts(path)]
    names: list[str] = []
    files: list[Path] = []
    given: list[str | None] = []
    class_names: list[str] = []
    bad: dict[str, str] = dict.fromkeys(stray, "stands outside of the class folders")
    empty: list[str] = []
    of_split: dict[str | None, set[str]] = {}
    for split, place in places:
        for folder in sorted(p for p in place.iterdir() if p.is_dir() and not p.name.startswith(".")):
            found = _files_below(folder)
            of_split.setdefault(split, set()).add(folder.name)
            if not found:
                empty.append(str(folder))
            for path in found:
                if path.suffix.lower() not in image_suffixes():
                    bad[str(path)] = f"has no image suffix that Pillow knows here ({path.suffix or 'none'})"
                names.append(str(path))
                files.append(path)
                given.append(split)
                class_names.append(folder.name)
    problems = []
    if empty:
        problems.append(f"Every class folder must hold images, but these are empty:\n{shown(empty)}")
    learnt = of_split.get("train" if stated else None, set())
    for split in stated:
        only = sorted(of_split.get(split, set()) - learnt)
        if only:
            problems.append(f"Every class of `{split}` must be in `train` too, but these are not:\n{shown(only)}")
    if len(learnt) < 2:
        problems.append(
            f"At least two class folders must stand in {root}{'/train' if stated else ''}, but found {len(learnt)}."
        )
    classes = tuple(sorted(learnt))
    places_of_classes = {name: label for label, name in enumerate(classes)}
    groups = None
    if config.group_key is not None:
        groups = _groups(config.group_key, names, [Path(n).relative_to(root).as_posix() for n in names])
    channels = config.channels or 3
    rules = rules_of(config, channels)
    return Listing(
        names=names,
        labels=[places_of_classes.get(name, -1) for name in class_names],
        given=given,
        classes=classes,
        channels=channels,
        dtype="uint8",
        load=lambda index: decode_file(files[index], rules),
        groups=groups,
        bad=bad,
        problems=problems,
    )


def _counts(path: Path) -> bool:
    return not path.name.startswith(".") and path.name not in IGNORED


def _files_below(folder: Path) -> list[Path]:
    found = []
    seen = set()
    for here, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(here)
        if real in seen:  # a link back up would never end
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(here) / name for name in files if _counts(Path(name))]
    return sorted(found)


def _groups(pattern: str, names: Sequence[str], below_root: Sequence[str]) -> list[str]:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise DataError(f"`data.group_key` must be a regular expression, but {pattern!r} is not: {error}.") from None
    if compiled.groups < 1:
        raise DataError(f"`data.group_key` must have a group in brackets that names the object, but got {pattern!r}.")
    matches = [compiled.search(path) for path in below_root]
    without = [name for name, match in zip(names, matches, strict=True) if match is None or match.group(1) is None]
    if without:
        raise DataError(
            f"`data.group_key` {pattern!r} must be found in every path, but not in these:\n{shown(without)}"
        )
    return [str(match.group(1)) for match in matches if match is not None]


SOURCE: Source = ImageFolder()
