"""A folder with one folder of image files for each class, or `train`, `val` and `test` folders that hold these."""

from collections.abc import Sequence
from pathlib import Path

from resnet_tl.config import DataConfig
from resnet_tl.data.decode import decode_file
from resnet_tl.data.finder import all_files, check_names, files_below, is_ignored, is_image, told
from resnet_tl.data.groups import groups_of, groups_told
from resnet_tl.data.layout import class_folders, read_layout
from resnet_tl.data.source import Listing, Source, folder_of, root_of, rules_of
from resnet_tl.errors import shown


class ImageFolder:
    """`data.source: image_folder`."""

    names = ("image_folder",)
    libraries = ("pillow",)
    options = frozenset({"bits", "group_key", "group_missing", "max_pixels"})

    def files(self, config: DataConfig) -> Sequence[Path]:
        """All that lies in the folder."""
        return all_files(root_of(config))

    def list(self, config: DataConfig) -> Listing:
        """Finds splits, classes, files and groups by their names."""
        return _image_folder(config, folder_of(config))


def _image_folder(config: DataConfig, root: Path) -> Listing:
    layout = read_layout(root, grouped=config.group_key is not None)
    files: list[Path] = []
    given: list[str | None] = []
    class_names: list[str] = []
    bad: dict[str, str] = {}
    passed_over: list[Path] = []
    empty: list[str] = []
    of_split: dict[str | None, set[str]] = {}
    if layout.places[0][1] != root:
        passed_over += sorted(path for path in root.iterdir() if path.is_file() or is_ignored(path.name))
    for split, place in layout.places:
        for path in sorted(place.iterdir()):
            if is_ignored(path.name):
                passed_over.append(path)
            elif path.is_file() and is_image(path):
                bad[str(path)] = "stands outside of the class folders"
            elif not path.is_dir():
                passed_over.append(path)
        for folder in class_folders(place):
            found = files_below(folder)
            passed_over += found.passed_over
            of_split.setdefault(split, set()).add(folder.name)
            if not found.files:
                empty.append(str(folder))
            for path in found.files:
                if not is_image(path):
                    bad[str(path)] = f"has no image suffix that Pillow knows here ({path.suffix or 'none'})"
                files.append(path)
                given.append(split)
                class_names.append(folder.name)
    problems = []
    if empty:
        problems.append(f"Every class folder must hold images, but these are empty:\n{shown(empty)}")
    stated = {split: place for split, place in layout.places if split is not None}
    learnt = of_split.get("train" if stated else None, set())
    for split in stated:
        only = sorted(of_split.get(split, set()) - learnt)
        if only:
            problems.append(f"Every class of `{split}` must be in `train` too, but these are not:\n{shown(only)}")
    if len(learnt) < 2:
        where = stated.get("train", root)
        problems.append(f"At least two class folders must stand in {where}, but found {len(learnt)}.")
    names = [str(path) for path in files]
    classes = tuple(sorted(learnt))
    check_names(Path(name) for name in [*classes, *bad])
    places_of_classes = {name: label for label, name in enumerate(classes)}
    labels = [places_of_classes.get(name, -1) for name in class_names]
    said = [*layout.said, *([told(passed_over)] if passed_over else [])]
    groups = None
    if config.group_key is not None:
        below_root = [path.relative_to(root).as_posix() for path in files]
        groups = groups_of(below_root, config.group_key, missing=config.group_missing)
        said += groups_told(groups, class_names)
    rules = rules_of(config, config.channels or 3)
    return Listing(
        names=names,
        labels=labels,
        given=given,
        classes=classes,
        channels=rules.channels,
        dtype="uint8",
        load=lambda index: decode_file(files[index], rules),
        groups=None if groups is None else groups.names,
        bad=bad,
        problems=problems,
        said=said,
    )


SOURCE: Source = ImageFolder()
