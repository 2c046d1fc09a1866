"""Where images come from. Each source lists what there is, checked, before any pixel is decoded.

Axes: N images, H W pixels, C channels.
"""

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnet_tl.config import DataConfig
from resnet_tl.data.decode import (
    IMAGE_SUFFIXES,
    BadImage,
    Pixels,
    decode_file,
    fit_square,
    fit_square_float,
    to_channels,
)
from resnet_tl.data.splits import SPLITS
from resnet_tl.errors import DataError, shown
from resnet_tl.options import expand, nearest

BUNDLED = {"digits": range(10), "digits_0_4": range(5), "digits_5_9": range(5, 10)}
IGNORED = frozenset(["Thumbs.db", "desktop.ini"])
"""Files that operating systems leave in folders; hidden files (`.DS_Store`) are passed over too."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """What a source holds."""

    names: Sequence[str]
    """N names for messages and tables."""
    labels: Sequence[int]
    given: Sequence[str | None]
    """The split that the source states for each image, or None."""
    classes: tuple[str, ...]
    channels: int
    dtype: Literal["uint8", "float32"]
    load: Callable[[int], Pixels]
    """Image number to pixels [C, H, W] after resizing; raises BadImage."""
    groups: Sequence[str] | None = None
    parallel: bool = True
    """Whether `load` may be called from several threads."""
    bad: dict[str, str] = field(default_factory=dict)
    """Names that cannot be images, with the reason, known without decoding."""
    problems: Sequence[str] = ()
    """What else is wrong, to be reported together with what decoding finds."""


def listing(config: DataConfig) -> Listing:
    """Lists the images that `data.source` names.

    Raises:
        DataError: the source is unknown or its folder or arrays are not as they must be.
    """
    if config.source == "image_folder":
        return _image_folder(config, _root(config))
    if config.source == "arrays":
        return _arrays(config, _root(config))
    if config.source in BUNDLED:
        return _digits(config)
    if config.source.startswith("torchvision."):
        return _torchvision(config, _root(config))
    known = ["image_folder", "arrays", *BUNDLED, "torchvision.NAME"]
    raise DataError(f"`data.source` must name a source, but got {config.source!r}; {nearest(config.source, known)}")


def _root(config: DataConfig) -> Path:
    if config.root is None:
        raise DataError(f"`data.root` must be given for data.source={config.source}: the folder that holds it.")
    root = expand(config.root, "data.root")
    if config.source.startswith("torchvision."):
        return root  # torchvision creates it when it downloads
    if not root.is_dir():
        kind = "is a file" if root.exists() else "does not exist"
        raise DataError(f"`data.root` must be a folder, but {root} {kind}.")
    return root


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
                if path.suffix.lower() not in IMAGE_SUFFIXES:
                    bad[str(path)] = f"has no image suffix ({path.suffix or 'none'})"
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
    return Listing(
        names=names,
        labels=[places_of_classes.get(name, -1) for name in class_names],
        given=given,
        classes=classes,
        channels=channels,
        dtype="uint8",
        load=lambda index: fit_square(decode_file(files[index], channels), config.size),
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


def _arrays(config: DataConfig, root: Path) -> Listing:
    if not (root / "x_train.npy").exists():
        raise DataError(
            f"{root} must hold x_train.npy and y_train.npy (and x_test.npy, y_test.npy if there is a test set)."
        )
    stated = [split for split in SPLITS if (root / f"x_{split}.npy").exists()]
    images = {split: _load_array(root / f"x_{split}.npy") for split in stated}
    labels = {split: _load_array(root / f"y_{split}.npy") for split in stated}
    problems: list[str] = []
    for split in stated:
        x, y, where = images[split], labels[split], root / f"x_{split}.npy"
        if x.ndim not in (3, 4) or (x.ndim == 4 and x.shape[3] not in (1, 3)):
            problems.append(
                f"{where}: images must be [N, H, W] or [N, H, W, C] with C 1 or 3, but got {list(x.shape)}."
            )
        if x.dtype != np.uint8 and x.dtype.kind != "f":
            problems.append(f"{where}: pixels must be uint8 in [0, 255] or float in [0, 1], but got {x.dtype}.")
        if y.ndim == 2 and y.shape[1] == 1:
            labels[split] = y = y[:, 0]
        if y.ndim != 1 or y.dtype.kind not in "iu":
            problems.append(f"{root}/y_{split}.npy: labels must be integers [N], but got {y.dtype} {list(y.shape)}.")
        elif len(x) != len(y):
            problems.append(f"x_{split}.npy and y_{split}.npy must be of equal length, but got {len(x)} and {len(y)}.")
    if not problems:
        if len({(x.shape[1:], x.dtype) for x in images.values()}) > 1:
            shapes = ", ".join(f"x_{s}.npy {list(images[s].shape)} {images[s].dtype}" for s in stated)
            problems.append(f"All arrays must have one image shape and type, but got {shapes}.")
        learnt = set(np.unique(labels["train"]).tolist())
        expected = set(range(max(learnt, default=-1) + 1))
        if learnt != expected or len(learnt) < 2:
            problems.append(
                f"Labels in y_train.npy must be 0 … K-1 with every class present and K at least 2, but got "
                f"{sorted(learnt)[:20]}; renumber them from 0."
            )
        for split in stated[1:]:
            only = sorted(set(np.unique(labels[split]).tolist()) - learnt)
            if only:
                problems.append(
                    f"Every label of y_{split}.npy must be in y_train.npy too, but these are not: {only[:20]}."
                )
    if problems:
        raise DataError(*problems)
    bounds = np.cumsum([0] + [len(images[split]) for split in stated])
    first = images["train"]
    channels_in = 1 if first.ndim == 3 else int(first.shape[3])
    channels = config.channels or channels_in

    def load(index: int) -> Pixels:
        which = int(np.searchsorted(bounds, index, side="right")) - 1
        pixels = images[stated[which]][index - bounds[which]]
        if pixels.dtype == np.uint8:
            return _from_uint8(pixels, channels, config.size)
        pixels = np.asarray(pixels, dtype=np.float32).reshape(*pixels.shape[:2], -1)
        if not np.isfinite(pixels).all():
            raise BadImage("has pixels that are not finite")
        if pixels.min() < 0 or pixels.max() > 1:
            raise BadImage(f"has float pixels outside [0, 1]: {pixels.min():.3g} to {pixels.max():.3g}")
        if channels_in == 3 and channels == 1:
            pixels = pixels @ np.array([[0.299], [0.587], [0.114]], dtype=np.float32)
        elif channels_in == 1 and channels == 3:
            pixels = np.repeat(pixels, 3, axis=2)
        return fit_square_float(pixels, config.size)

    return Listing(
        names=[f"x_{split}.npy[{index}]" for split in stated for index in range(len(images[split]))],
        labels=[int(label) for split in stated for label in labels[split]],
        given=[split for split in stated for _ in range(len(images[split]))],
        classes=tuple(str(label) for label in sorted(learnt)),
        channels=channels,
        dtype="uint8" if first.dtype == np.uint8 else "float32",
        load=load,
    )


def _load_array(path: Path) -> NDArray[Any]:
    try:
        loaded = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise DataError(f"{path} is missing; images and labels come in pairs.") from None
    except (OSError, ValueError, EOFError) as error:
        raise DataError(
            f"{path} must be an array saved by numpy.save, without pickled objects: {str(error).split('.')[0]}."
        ) from None
    if not isinstance(loaded, np.ndarray):
        raise DataError(f"{path} must hold one array saved by numpy.save, but holds {type(loaded).__name__}.")
    return loaded


def _from_uint8(pixels: NDArray[np.uint8], channels: int, size: int | None) -> NDArray[np.uint8]:
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    return fit_square(to_channels(Image.fromarray(np.ascontiguousarray(pixels)), channels), size)


def _digits(config: DataConfig) -> Listing:
    from sklearn.datasets import load_digits

    wanted = BUNDLED[config.source]
    digits = load_digits()
    chosen = np.isin(digits.target, list(wanted))
    pixels = np.round(digits.images[chosen] * (255 / 16)).astype(np.uint8)  # stored as 0 … 16
    channels = config.channels or 1
    return Listing(
        names=[f"digits[{index}]" for index in np.flatnonzero(chosen)],
        labels=[int(label) - wanted.start for label in digits.target[chosen]],
        given=[None] * int(chosen.sum()),
        classes=tuple(str(digit) for digit in wanted),
        channels=channels,
        dtype="uint8",
        load=lambda index: _from_uint8(pixels[index], channels, config.size),
    )


def _torchvision(config: DataConfig, root: Path) -> Listing:
    import inspect

    import torchvision.datasets

    name = config.source.removeprefix("torchvision.")
    if name not in torchvision.datasets.__all__:
        raise DataError(
            f"`data.source` must name a torchvision data set, but got {name!r}; "
            f"{nearest(name, torchvision.datasets.__all__)}"
        )
    cls = getattr(torchvision.datasets, name)
    ways: list[tuple[str | None, dict[str, Any]]]
    accepted = inspect.signature(cls.__init__).parameters
    parts: list[tuple[str | None, Any]] = []
    if "train" in accepted:
        ways = [("train", {"train": True}), ("test", {"train": False})]
    elif "split" in accepted:
        ways = [("train", {"split": "train"}), ("val", {"split": "val"}), ("test", {"split": "test"})]
        ways[1:1] = [("train", {"split": "trainval"}), ("val", {"split": "valid"})]
    else:
        ways = [(None, {})]
    done: set[str | None] = set()
    for split, how in ways:
        if split in done:
            continue
        arguments: dict[str, Any] = dict(how, **({"download": True} if "download" in accepted else {}))
        if "root" in accepted:
            arguments["root"] = str(root)
        try:
            parts.append((split, cls(**arguments)))
            done.add(split)
        except ValueError as error:
            if "split" not in str(error):
                raise DataError(f"torchvision.{name}({how}): {error}") from None
        except (OSError, RuntimeError, TypeError) as error:  # NotImplementedError is a RuntimeError
            raise DataError(
                f"torchvision.{name} cannot be had in {root}: {error}. If this machine is offline, download it "
                "elsewhere and give the folder as data.root."
            ) from None
    if "train" not in done and None not in done:
        raise DataError(f"torchvision.{name} has no split called train, so it cannot be used here.")
    labels: list[int] = []
    for _, part in parts:
        for index in range(len(part)):
            try:
                image, label = part[index]
            except NotImplementedError:
                raise DataError(f"torchvision.{name} is no data set of its own.") from None
            if not isinstance(label, int | np.integer) or not isinstance(image, Image.Image):
                raise DataError(
                    f"torchvision.{name} must give (image, class) pairs; this one is not for classification."
                )
            labels.append(int(label))
    present = sorted(set(labels))
    if present != list(range(len(present))):
        raise DataError(f"Labels of torchvision.{name} must be 0 … K-1, but got {present[:20]}.")
    class_names = getattr(parts[0][1], "classes", None) or present
    bounds = np.cumsum([0] + [len(part) for _, part in parts])
    channels = config.channels or (1 if parts[0][1][0][0].mode in ("L", "1", "I;16") else 3)

    def load(index: int) -> Pixels:
        which = int(np.searchsorted(bounds, index, side="right")) - 1
        return fit_square(to_channels(parts[which][1][index - int(bounds[which])][0], channels), config.size)

    return Listing(
        names=[f"{name}/{split or 'all'}[{index}]" for split, part in parts for index in range(len(part))],
        labels=labels,
        given=[split for split, part in parts for _ in range(len(part))],
        classes=tuple(str(c) for c in class_names[: len(present)]),
        channels=channels,
        dtype="uint8",
        load=load,
        parallel=False,
    )
