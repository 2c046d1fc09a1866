"""Which folders of a data set are splits, and which are classes; every guess is said, and no doubtful one is made."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from resnet_tl.data.finder import holds_images, images_below, is_ignored, is_image
from resnet_tl.data.groups import GroupKey
from resnet_tl.data.splits import SPLITS
from resnet_tl.errors import DataError, shown

WORDS = {
    "train": ("train", "training", "trn"),
    "val": ("val", "valid", "validate", "validation", "dev", "development"),
    "test": ("test", "testing", "tst"),
}
"""How people call the splits, in small letters."""
_SPLIT_OF = {word: split for split, words in WORDS.items() for word in words}
_FILLERS = frozenset(
    [
        *(
            "set",
            "sets",
            "data",
            "dataset",
            "datasets",
            "split",
            "splits",
            "folder",
            "dir",
            "files",
            "sample",
            "samples",
        ),
        *(
            "image",
            "images",
            "img",
            "imgs",
            "pic",
            "pics",
            "picture",
            "pictures",
            "photo",
            "photos",
            "jpg",
            "jpeg",
            "png",
        ),
        *("small", "full", "final", "new", "all", "the"),
    ]
)
_JOINED = re.compile(rf"({'|'.join(sorted(_SPLIT_OF, key=len, reverse=True))})(set|sets|data|dataset|images|imgs|img)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """How a folder is to be read."""

    places: list[tuple[str | None, Path]]
    """Folders that hold class folders, with the split that they are; one without a split where all are cut."""
    said: list[str] = field(default_factory=list)
    """One sentence for each guess."""


def split_of(name: str) -> tuple[str | None, bool]:
    """The split that a folder's name speaks of, and whether it speaks of nothing else.

    `Training_set` and `valid-images-2` are splits by their names alone; `flowers_train` may be one, and so may
    `train_station`.
    """
    tokens = _tokens(name)
    splits = {_SPLIT_OF[token] for token in tokens if token in _SPLIT_OF}
    if len(splits) != 1:
        return None, False
    return splits.pop(), all(token in _SPLIT_OF or token in _FILLERS for token in tokens)


def _tokens(name: str, *, numbers: bool = False) -> list[str]:
    """The words of a name, in small letters: `trainSet` and `train_set` have the same."""
    tokens = []
    for token in re.findall(
        r"[^\W\d_]+|\d+" if numbers else r"[^\W\d_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
    ):
        joined = _JOINED.fullmatch(token)
        tokens += [joined[1], joined[2]] if joined else [token]
    return tokens


def read_layout(root: Path, key: GroupKey | None = None) -> Layout:
    """Looks at the folders below `root`.

    Args:
        key: finds groups, patients say, whose folders several classes may have.

    Raises:
        DataError: the names can be read in two ways, or a hierarchy stands where class folders must.
    """
    folders = class_folders(root)
    likely = {folder: split for folder in folders if (split := split_of(folder.name)[0])}
    chosen = {folder: split for folder, split in likely.items() if split_of(folder.name)[1]}
    if "train" not in chosen.values() and _share_classes(likely):
        chosen = likely  # `flowers_train/rose` beside `flowers_test/rose`
    named = _class_named_like_a_split(chosen, folders)
    by_splits = bool(chosen) and named is None
    if not by_splits:
        _refuse_split_classes(root, likely)
    layout = _with_splits(root, folders, chosen) if by_splits else _without_splits(root, folders)
    if named is not None:
        layout.said.append(f"`{named.name}` is taken for a class, since images stand directly in it.")
    for _, place in layout.places:
        _refuse_hierarchy(place, key)
    return layout


def class_folders(place: Path) -> list[Path]:
    """The folders directly below one that may be classes, in the order of their names."""
    folders = [path for path in place.iterdir() if path.is_dir() and not is_ignored(path.name)]
    # a link that leads back up is no folder of its own
    return sorted(f for f in folders if not (f.is_symlink() and place.resolve().is_relative_to(f.resolve())))


def _without_splits(root: Path, folders: list[Path]) -> Layout:
    inner = [folder for folder in class_folders(folders[0]) if holds_images(folder)] if len(folders) == 1 else []
    if len(inner) > 1:
        raise DataError(
            f"At least two class folders must stand in {root}, but it holds {folders[0].name} alone, and that holds "
            f"{len(inner)} folders with images; did you mean data.root={folders[0]}?"
        )
    return Layout(places=[(None, root)])


def _refuse_split_classes(root: Path, likely: dict[Path, str]) -> None:
    """Refuses `cat_train` and `cat_test` side by side: one class in two splits, and not two classes."""
    of_class: dict[tuple[str, ...], dict[str, Path]] = {}
    for folder, split in likely.items():
        if holds_images(folder):
            of_class.setdefault(_without_split(folder.name), {})[split] = folder
    torn = {words: found for words, found in of_class.items() if len(found) > 1 and "train" in found}
    if not torn:
        return
    moves = []
    for words, found in torn.items():
        for split, folder in found.items():
            is_split = len(torn) == 1 and _classes(folder)  # `flowers_train/rose` beside `flowers_test/tulip`
            place = split if is_split else f"{split}/{'_'.join(words)}"
            moves.append(f"{folder.name} (rename it to `{place}`?)")
    raise DataError(
        f"The folders directly in {root} must be classes, or splits that hold classes, but these look like one class "
        "in several splits. Splits must be the outer folders and classes the inner ones: train/cat, not cat_train. If "
        f"they are classes all the same, rename them so that no word of their names is a split's:\n{shown(moves)}"
    )


def _without_split(name: str) -> tuple[str, ...]:
    """The words of a name that speak neither of a split nor of nothing, numbers among them."""
    return tuple(token for token in _tokens(name, numbers=True) if token not in _SPLIT_OF and token not in _FILLERS)


def _with_splits(root: Path, folders: list[Path], chosen: dict[Path, str]) -> Layout:
    filled = {folder for folder in folders if holds_images(folder)}
    twice = {split for split, count in Counter(chosen.values()).items() if count > 1}
    # of `val` and `validation` one may be an empty leftover; else an empty folder is an error that is reported later
    chosen = {folder: split for folder, split in chosen.items() if split not in twice or folder in filled}
    problems = []
    for split in SPLITS:
        same = [folder.name for folder in chosen if chosen[folder] == split]
        if len(same) > 1:
            problems.append(
                f"One folder must be the split `{split}`, but {root} holds {_quoted(same)}; rename the one that is to "
                f"be `{split}`, and move the others away."
            )
    bare = [folder for folder in chosen if _holds_images_directly(folder) and not _classes(folder)]
    others = [folder.name for folder in folders if folder in filled and folder not in chosen]
    train = next((folder for folder, split in chosen.items() if split == "train"), None)
    classes = [folder.name for folder in bare]
    if train is None:
        hint = f" If {_quoted(classes)} are classes, rename them, to `{classes[0]}_class` say." if classes else ""
        problems.append(
            f"{root} holds {_quoted([folder.name for folder in chosen])} but no `train` folder to learn from.{hint}"
        )
    elif train in bare:
        problems.append(
            f"A split must hold one folder of images for each class, but {train} holds images directly. "
            + (
                f"If `{train.name}` is a class like {_quoted(others[:3])} beside it, rename it, to "
                f"`{train.name}_class` say, so that it is not taken for a split."
                if others
                else "Sort them into folders, one for each class."
            )
        )
    elif others:
        hints = [f"{name} (rename it to `{found}`?)" if (found := split_of(name)[0]) else name for name in others]
        problems.append(
            f"{root} holds split folders ({_quoted([folder.name for folder in chosen])}) and others with images beside "
            f"them; move these away, or, if all of them are classes, rename the ones that look like splits:\n"
            + shown(hints)
        )
    if problems:
        raise DataError(*problems)
    said = []
    renamed = [f"{split} is `{f.name}`" for f, split in chosen.items() if f.name != split and f not in bare]
    if renamed:
        said.append(f"Folders were taken for splits: {', '.join(renamed)}.")
    for folder in bare:
        said.append(
            f"{folder} holds images without class folders, so without labels, and is passed over; "
            f"{chosen.pop(folder)} is cut from train."
        )
    for folder, split in [*chosen.items()]:
        if folder not in filled and not class_folders(folder):
            said.append(f"{folder} holds no images and is passed over; {split} is cut from train.")
            del chosen[folder]
            folders = [other for other in folders if other != folder]
    idle = [folder for folder in folders if folder not in filled and folder not in chosen]
    if idle:
        said.append(f"Folders without images beside the splits are passed over: {_quoted([f.name for f in idle])}.")
    return Layout(places=[(s, f) for s in SPLITS for f in chosen if chosen[f] == s], said=said)


def _refuse_hierarchy(place: Path, key: GroupKey | None) -> None:
    """Refuses folders of one name in several classes: then it is rather they that are the classes.

    Not so where the groups of the images in them stand in that name.
    """
    holders: dict[str, list[str]] = {}
    inside = {folder: _classes(folder) for folder in class_folders(place)}
    for folder, names in inside.items():
        for name in names:
            if not set(_tokens(name)) <= _FILLERS or not _tokens(name):  # `cat/images` says nothing
                holders.setdefault(name, []).append(folder.name)
    shared = {
        name: found
        for name, found in holders.items()
        if len(found) > 1 and not (key is not None and all(_is_group(place / outer, name, key) for outer in found))
    }
    if not shared:
        _refuse_data_sets(place, inside)
        return
    lines = [f"{name}: in {', '.join(found[:5])}{', …' if len(found) > 5 else ''}" for name, found in shared.items()]
    if all(split_of(name)[1] for name in shared):
        advice = "Splits must be the outer folders and classes the inner ones: train/cat, not cat/train."
    else:
        advice = (
            "If the inner ones are the classes, give one of the outer folders as data.root, or move its like together. "
            "If they are patients or objects, name them with data.group_key, which keeps each in one split. If they "
            "are neither, rename them, so that no two classes have the same."
        )
    raise DataError(
        f"The folders directly in {place} must be classes, but folders of the same name stand in several of them. "
        f"{advice}\n{shown(lines)}"
    )


def _refuse_data_sets(place: Path, inside: Mapping[Path, list[str]]) -> None:
    """Refuses a folder too high up: what stands in it is no class, but has splits of its own, which would be mixed.

    Args:
        inside: names of the folders with images in each folder of the place.
    """
    for folder, names in inside.items():
        splits = {split for split, alone in map(split_of, names) if alone}
        if "train" in splits and len(splits) > 1:
            raise DataError(
                f"The folders directly in {place} must be classes, but {folder.name} holds splits "
                f"({', '.join(names)}), which would be mixed; did you mean data.root={folder}?"
            )


def _is_group(folder: Path, name: str, key: GroupKey) -> bool:
    inner = [path.relative_to(folder).as_posix() for path in images_below(folder / name).files]
    grouped = [path for path in inner if key.of(path) is not None]
    return bool(grouped) and all(key.names_folder(path) for path in grouped)


def _class_named_like_a_split(chosen: dict[Path, str], folders: list[Path]) -> Path | None:
    """`valid` beside `invalid`: the one folder that may be a split, but holds images as its neighbours do.

    Not so for `train`, `val` and `test` themselves, whose meaning here is fixed.
    """
    if len(chosen) != 1:
        return None
    folder = next(iter(chosen))
    holding = [other for other in folders if _holds_images_directly(other) and not _classes(other)]
    return folder if folder.name not in SPLITS and folder in holding and len(holding) > 1 else None


def _share_classes(likely: dict[Path, str]) -> bool:
    """Whether folders that may be splits, train among them, hold class folders of the same names."""
    of_split: dict[str, set[str]] = {}
    for folder, split in likely.items():
        of_split.setdefault(split, set()).update(_classes(folder))
    return any(of_split.get("train", set()) & of_split.get(split, set()) for split in ("val", "test"))


def _classes(folder: Path) -> list[str]:
    return [inner.name for inner in class_folders(folder) if holds_images(inner)]


def _holds_images_directly(folder: Path) -> bool:
    return any(is_image(path) and not is_ignored(path.name) and path.is_file() for path in folder.iterdir())


def _quoted(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
