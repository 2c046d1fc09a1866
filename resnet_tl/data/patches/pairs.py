"""Which mask belongs to which image, and what names and folders say of each: class, split, patient."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from resnet_tl.data.finder import files_below, told
from resnet_tl.data.groups import group_key, groups_of, groups_told
from resnet_tl.data.layout import split_of
from resnet_tl.data.patches.options import PatchOptions
from resnet_tl.data.patches.reading import is_dicom, known_suffixes, require_pydicom
from resnet_tl.data.splits import SPLITS
from resnet_tl.errors import ConfigError, DataError, UserError, shown
from resnet_tl.option_text import expand, nearest


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """An image and its mask."""

    image: Path
    mask: Path | None
    name: str
    """The image's path below `images`, with `/`."""
    inner: str
    """The path below its class folder, without the suffix."""
    label: str
    """The class by its folder or name."""
    split: str | None
    """That its folder states."""
    group: str
    """The patient or case; empty where nothing names one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Paired:
    """All images of a request."""

    pairs: list[Pair]
    negative: str
    """The class of images without a region."""
    said: list[str]
    """What was decided about files, one sentence each."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Place:
    """What the path of an image says."""

    split: str | None
    label: str
    below: str
    """The path below the class folder, in which groups are searched."""


def pair_up(options: PatchOptions) -> Paired:
    """Finds images, masks, classes, stated splits and groups, without reading any pixel.

    Raises:
        ConfigError: folders that lie within each other; a negative class that is none.
        DataError: masks without image, images or masks under two names, images whose class cannot be told; all at once.
    """
    roots = {name: expand(getattr(options, name), name).absolute() for name in ("images", "masks", "out")}
    _check_folders(roots)
    problems: list[str] = []
    files = {name: _files(roots[name]) for name in ("images", "masks")}
    by_key = {name: _by_key(roots[name], *found, name, problems) for name, found in files.items()}
    if lost := [str(path) for key, path in sorted(by_key["masks"].items()) if key not in by_key["images"]]:
        problems.append(
            f"Every mask must stand under the path of its image, with any suffix, but {len(lost)} of "
            f"{len(by_key['masks'])} masks have no image in {roots['images']}:\n{shown(lost, most=1000)}"
        )
    if not by_key["images"]:
        problems.append(f"`images` must hold images, but none was found in {roots['images']}.")
    if by_key["images"] and not by_key["masks"]:
        problems.append(f"`masks` must hold masks, but none was found in {roots['masks']}.")
    names = {key: path.relative_to(roots["images"]).as_posix() for key, path in by_key["images"].items()}
    places = _places(sorted(names.values()), options.labels, problems)
    if problems:
        raise DataError(*problems)
    dicom = [path for found in files.values() for path in found[0] if is_dicom(path)]
    if dicom:
        require_pydicom(len(dicom), str(dicom[0]))
    said = [sentence for name, (_, passed_over) in files.items() if passed_over for sentence in [told(passed_over)]]
    negative = _negative(options, sorted({place.label for place in places.values()}))
    ordered = sorted(names, key=names.__getitem__)
    groups = [""] * len(ordered)
    if options.group_key is not None:
        try:
            found = groups_of(
                [names[key] for key in ordered],
                [places[names[key]].below for key in ordered],
                group_key(options.group_key),
                missing=options.group_missing,
            )
        except UserError as error:
            raise DataError(*map(in_words_of_the_command, error.problems)) from None
        groups = found.names
        said += map(in_words_of_the_command, groups_told(found, [places[names[key]].label for key in ordered]))
    pairs = [
        Pair(
            image=by_key["images"][key],
            mask=by_key["masks"].get(key),
            name=names[key],
            inner=_without_suffix(places[names[key]].below),
            label=places[names[key]].label,
            split=places[names[key]].split,
            group=group,
        )
        for key, group in zip(ordered, groups, strict=True)
    ]
    return Paired(pairs=pairs, negative=negative, said=said)


def in_words_of_the_command(sentence: str) -> str:
    """What training says of its options, in the names that they have here."""
    for name in ("group_key", "group_missing"):
        sentence = sentence.replace(f"data.{name}", name)
    return sentence


def _check_folders(roots: Mapping[str, Path]) -> None:
    problems = [
        f"`{name}` must be a folder, but {roots[name]} {'is a file' if roots[name].exists() else 'does not exist'}."
        for name in ("images", "masks")
        if not roots[name].is_dir()
    ]
    real = {name: path.resolve() for name, path in roots.items()}
    for one, other in (("images", "masks"), ("images", "out"), ("masks", "out")):
        if real[one].is_relative_to(real[other]) or real[other].is_relative_to(real[one]):
            problems.append(
                f"`{one}` and `{other}` must be folders apart from each other, neither inside of the other, but got "
                f"{roots[one]} and {roots[other]}."
            )
    if problems:
        raise ConfigError(*problems)


def _files(root: Path) -> tuple[list[Path], list[Path]]:
    """The pictures below a folder, and what is passed over."""
    found = files_below(root)
    pictures = [path for path in found.files if path.suffix.lower() in known_suffixes() or is_dicom(path)]
    chosen = set(pictures)
    return pictures, found.passed_over + [path for path in found.files if path not in chosen]


def _without_suffix(path: str) -> str:
    """Less the suffix, if it is one of a format: the last part of `1.2.840` is none."""
    stem, dot, suffix = path.rpartition(".")
    return stem if dot and "/" not in suffix and f".{suffix.lower()}" in known_suffixes() else path


def _by_key(
    root: Path, files: Sequence[Path], passed_over: Sequence[Path], what: str, problems: list[str]
) -> dict[str, Path]:
    """Files by their path without suffix; two of one path are a problem."""
    found: dict[str, list[Path]] = {}
    for path in files:
        found.setdefault(_without_suffix(path.relative_to(root).as_posix()), []).append(path)
    twice = [
        " and ".join(path.relative_to(root).as_posix() for path in paths) for paths in found.values() if len(paths) > 1
    ]
    if twice:
        problems.append(
            f"`{what}` must hold each picture under one name, but {len(twice)} stand there under several that differ "
            f"in their suffix alone; remove all but one of each:\n{shown(twice, most=1000)}"
        )
    return {key: paths[0] for key, paths in found.items()}


def _places(names: Sequence[str], labels: Mapping[str, str] | None, problems: list[str]) -> dict[str, _Place]:
    """Split and class of each image, by its path below `images`."""
    tops = {name.partition("/")[0] if "/" in name else "" for name in names}
    splits = {top: split_of(top)[0] for top in sorted(tops) if split_of(top)[1]}
    with_splits = bool(splits) and set(splits) == tops
    if splits and not with_splits:
        others = sorted(top or "images directly in it" for top in tops - set(splits))
        problems.append(
            "The folders directly in `images` must be all splits, or none, but some are splits "
            f"({', '.join(splits)}) and others are not:\n{shown(others)}"
        )
    elif with_splits and "train" not in splits.values():
        problems.append(f"Splits must have one to train on, but `images` holds {', '.join(splits)} alone.")
    places, nowhere = {}, []
    found: dict[str, list[str]] = {}
    for name in names:
        top, _, rest = name.partition("/")
        split, rest = (splits[top], rest) if with_splits else (None, name)
        if labels is None:
            label, slash, below = rest.partition("/")
            if not slash:
                nowhere.append(name)
            places[name] = _Place(split=split, label=label, below=below)
        else:
            file = _without_suffix(rest.rpartition("/")[2])
            found[name] = [text for text in labels if text in file]
            places[name] = _Place(split=split, label=labels[found[name][0]] if found[name] else "", below=rest)
    if nowhere:
        problems.append(
            f"Every image must stand in the folder of its class, but {len(nowhere)} of {len(names)} do not; move them, "
            "or say with labels={TEXT: CLASS, …} which text in a file name means which class:\n"
            f"{shown(nowhere, most=1000)}"
        )
    none = [name for name, texts in found.items() if not texts]
    several = [f"{name}: {', '.join(texts)}" for name, texts in found.items() if len(texts) > 1]
    if none:
        problems.append(
            f"Every file name must hold one text of `labels` ({', '.join(labels or ())}; capital letters count), but "
            f"{len(none)} of {len(names)} hold none:\n{shown(none, most=1000)}"
        )
    if several:
        problems.append(
            f"Every file name must hold one text of `labels` alone, but {len(several)} of {len(names)} hold several:\n"
            f"{shown(several, most=1000)}"
        )
    classes = {place.label for place in places.values()} - {""}
    if not (none or several or nowhere) and len(classes) < 2 and names:
        problems.append(f"The images must be of two classes at least, but all are of {', '.join(classes)}.")
    assert {place.split for place in places.values()} <= {None, *SPLITS}
    return places


def _negative(options: PatchOptions, classes: Sequence[str]) -> str:
    if options.negative is None:
        return classes[0]
    if options.negative not in classes:
        raise ConfigError(
            f"`negative` must be a class of the images, but got {options.negative!r}; "
            f"{nearest(options.negative, classes)}"
        )
    return options.negative
