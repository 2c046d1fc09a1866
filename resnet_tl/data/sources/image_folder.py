"""A folder with one folder of image files for each class, or splits that hold these.

With `data.labels` the classes come from a table instead.
"""

from collections.abc import Sequence
from pathlib import Path

from resnet_tl.config import DataConfig
from resnet_tl.data.decode import decode_file
from resnet_tl.data.finder import check_names, everything_below, files_below, is_ignored, is_image, told
from resnet_tl.data.groups import group_key, groups_of, groups_told
from resnet_tl.data.labels import read_labels
from resnet_tl.data.layout import class_folders, read_layout
from resnet_tl.data.source import Listing, Source, folder_of, root_of, rules_of
from resnet_tl.errors import shown
from resnet_tl.option_text import expand


class ImageFolder:
    """`data.source: image_folder`."""

    names = ("image_folder",)
    libraries = ("pillow",)
    options = frozenset(
        {"bits", "group_key", "group_missing", "labels", "max_pixels", "sha256", "shifted", "truncated", "url"}
    )

    def files(self, config: DataConfig) -> Sequence[Path]:
        """All that lies in the folder, and the table of labels."""
        root = root_of(config)
        return [*everything_below(root), *([_table(config.labels, root)] if config.labels is not None else [])]

    def list(self, config: DataConfig) -> Listing:
        """Finds splits, classes, files and groups by their names."""
        root = folder_of(config)
        return _image_folder(config, root) if config.labels is None else _with_table(config, root, config.labels)


def _image_folder(config: DataConfig, root: Path) -> Listing:
    layout = read_layout(root, group_key(config.group_key) if config.group_key is not None else None)
    files: list[Path] = []
    inner: list[str] = []
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
                inner.append(path.relative_to(folder).as_posix())
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
    unlearnable: list[str] = []
    if len(learnt) < 2:
        where = stated.get("train", root)
        upwards = f" Images stand directly in it; did you mean data.root={root.parent}?" if bad and not learnt else ""
        unlearnable = [f"At least two class folders must stand in {where}, but found {len(learnt)}.{upwards}"]
    said = [*layout.said, *([told(passed_over)] if passed_over else [])]
    if not learnt:
        problems, unlearnable = [*problems, *unlearnable], []
    return _listing(
        config,
        root,
        files,
        inner,
        class_names,
        given,
        classes=sorted(learnt),
        bad=bad,
        problems=problems,
        unlearnable=unlearnable,
        said=said,
    )


def _table(labels: str, root: Path) -> Path:
    return root / expand(labels, "data.labels")


def _with_table(config: DataConfig, root: Path, labels: str) -> Listing:
    table = _table(labels, root)
    found = read_labels(table, root)
    learnt = {label for label, split in zip(found.labels, found.splits, strict=True) if split in (None, "train")}
    problems = []
    only = sorted(set(found.labels) - learnt)
    if only:
        problems.append(f"Every class must have images in `train`, but these have none in {table}:\n{shown(only)}")
    unlearnable: list[str] = []
    if len(learnt) < 2:
        (unlearnable if learnt else problems).append(
            f"At least two classes must stand in {table}, but found {len(learnt)}."
        )
    said = []
    if found.unlabelled:
        examples = ", ".join(path.name for path in found.unlabelled[:5])
        said.append(
            f"{len(found.unlabelled)} images in {root} have no row in {table.name} and are passed over: {examples}"
            f"{' …' if len(found.unlabelled) > 5 else '.'}"
        )
    return _listing(
        config,
        root,
        [*found.files, *(root / path for path in found.unusable)],
        [path.relative_to(root).as_posix() for path in found.files] + [path.as_posix() for path in found.unusable],
        [*found.labels, *[""] * len(found.unusable)],
        [*found.splits, *[None] * len(found.unusable)],
        classes=sorted(learnt),
        bad={str(root / path): f"has a row in {table.name}, but {reason}" for path, reason in found.unusable.items()},
        problems=problems,
        unlearnable=unlearnable,
        said=said,
    )


def _listing(
    config: DataConfig,
    root: Path,
    files: list[Path],
    inner: list[str],
    class_names: list[str],
    given: list[str | None],
    *,
    classes: list[str],
    bad: dict[str, str],
    problems: list[str],
    unlearnable: list[str],
    said: list[str],
) -> Listing:
    """Puts together what folders or a table say of each file.

    Args:
        inner: the paths below the class folder, in which groups are searched.
    """
    check_names(Path(name) for name in [*classes, *bad])
    label_of = {name: label for label, name in enumerate(classes)}
    groups: list[str] | None = None
    if config.group_key is not None:
        usable = [index for index, path in enumerate(files) if str(path) not in bad]
        found = groups_of(
            [files[index].relative_to(root).as_posix() for index in usable],
            [inner[index] for index in usable],
            group_key(config.group_key),
            missing=config.group_missing,
        )
        said = [*said, *groups_told(found, [class_names[index] for index in usable])]
        groups = [""] * len(files)
        for index, name in zip(usable, found.names, strict=True):
            groups[index] = name
    rules = rules_of(config, config.channels or 3)
    return Listing(
        names=[str(path) for path in files],
        labels=[label_of.get(name, -1) for name in class_names],
        given=given,
        classes=tuple(classes),
        channels=rules.channels,
        dtype="uint8",
        load=lambda index: decode_file(files[index], rules),
        groups=groups,
        bad=bad,
        problems=problems,
        unlearnable=unlearnable,
        said=said,
    )


SOURCE: Source = ImageFolder()
