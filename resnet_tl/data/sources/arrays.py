"""Arrays saved by `numpy.save`: x_train.npy [N, H, W] or [N, H, W, C] with y_train.npy [N], and val and test alike.

Channels may stand before the pixels too, [N, C, H, W], where they cannot be mistaken: where the last axis is neither 1
nor 3 long, and the second is.

Axes: N images, H W pixels, C channels.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnet_tl.config import DataConfig
from resnet_tl.data.decode import BadImage, Decoded, Rules, decode_array, decode_float
from resnet_tl.data.finder import everything_below
from resnet_tl.data.layout import split_of
from resnet_tl.data.source import Listing, Source, folder_of, root_of, rules_of
from resnet_tl.data.splits import SPLITS
from resnet_tl.errors import DataError


class Arrays:
    """`data.source: arrays`."""

    names = ("arrays",)
    libraries = ("numpy", "pillow")
    options = frozenset({"bits", "sha256", "shifted", "url"})

    def files(self, config: DataConfig) -> Sequence[Path]:
        """All that lies in the folder."""
        return everything_below(root_of(config))

    def list(self, config: DataConfig) -> Listing:
        """Checks shapes and types, and that images and labels come in pairs."""
        return _arrays(config, folder_of(config))


def _arrays(config: DataConfig, root: Path) -> Listing:
    called, said = _names_of_splits(root)
    stated = [split for split in SPLITS if split in called]
    images = {split: channels_last(_load_array(root / f"x_{called[split]}.npy")) for split in stated}
    labels = {split: _load_array(root / f"y_{called[split]}.npy") for split in stated}
    problems: list[str] = []
    for split in stated:
        x, y, name = images[split], labels[split], called[split]
        where = root / f"x_{name}.npy"
        way_out = "" if split == "train" else f"; remove x_{name}.npy and y_{name}.npy to cut {split} from train"
        problems += problems_of_images(x, where, way_out)
        if y.ndim == 2 and y.shape[1] == 1:
            labels[split] = y = y[:, 0]
        if y.ndim != 1 or y.dtype.kind not in "iu":
            problems.append(
                f"{root}/y_{name}.npy: labels must be integers [N], but got {y.dtype} {list(y.shape)}{_examples(y)}."
            )
        elif _is_shaped(x) and len(x) != len(y):
            problems.append(f"x_{name}.npy and y_{name}.npy must be of equal length, but got {len(x)} and {len(y)}.")
    if not problems:
        if len({(x.shape[1:], x.dtype) for x in images.values()}) > 1:
            shapes = ", ".join(f"x_{called[s]}.npy {list(images[s].shape)} {images[s].dtype}" for s in stated)
            problems.append(f"All arrays must have one image shape and type, but got {shapes}.")
        learnt = set(np.unique(labels["train"]).tolist())
        if sorted(learnt) != list(range(len(learnt))) or len(learnt) < 2:
            problems.append(
                f"Labels in y_{called['train']}.npy must be 0 … K-1 with every class present and K at least 2, but got "
                f"{sorted(learnt)[:20]}, from {min(learnt, default='none')} to {max(learnt, default='none')}; "
                "renumber them from 0."
            )
        for split in stated[1:]:
            only = sorted(set(np.unique(labels[split]).tolist()) - learnt)
            if only:
                problems.append(
                    f"Every label of y_{called[split]}.npy must be in y_{called['train']}.npy too, but these are not: "
                    f"{only[:20]}."
                )
    if problems:
        raise DataError(*problems)
    bounds = np.cumsum([0] + [len(images[split]) for split in stated])
    first = images["train"]
    channels_in = 1 if first.ndim == 3 else int(first.shape[3])
    channels = config.channels or channels_in

    rules = rules_of(config, channels)

    def load(index: int) -> Decoded:
        which = int(np.searchsorted(bounds, index, side="right")) - 1
        return decode_image(images[stated[which]][index - bounds[which]], rules)

    return Listing(
        names=[f"x_{called[split]}.npy[{index}]" for split in stated for index in range(len(images[split]))],
        labels=[int(label) for split in stated for label in labels[split]],
        given=[split for split in stated for _ in range(len(images[split]))],
        classes=tuple(str(label) for label in sorted(learnt)),
        channels=channels,
        dtype="float32" if first.dtype.kind == "f" else "uint8",
        load=load,
        said=said,
    )


def array_of_images(path: Path) -> NDArray[Any]:
    """One array of images without labels, [N, H, W] or [N, H, W, C], by the rules of this source; mapped, not read.

    Raises:
        DataError: it is no array of images.
    """
    x = channels_last(_load_array(path))
    problems = problems_of_images(x, path, "")
    if problems:
        raise DataError(*problems)
    return x


def channels_last(x: NDArray[Any]) -> NDArray[Any]:
    """[N, C, H, W] as [N, H, W, C], where no other reading is possible; anything else as it is."""
    return np.moveaxis(x, 1, 3) if x.ndim == 4 and x.shape[3] not in (1, 3) and x.shape[1] in (1, 3) else x


def problems_of_images(x: NDArray[Any], where: Path, way_out: str) -> list[str]:
    """What of an array's shape, type and range is not as images must be.

    Args:
        way_out: the end of the sentence about an empty array.
    """
    problems = []
    if not _is_shaped(x):
        problems.append(f"{where}: images must be [N, H, W] or [N, H, W, C] with C 1 or 3, but got {list(x.shape)}.")
    elif 0 in x.shape:
        problems.append(
            f"{where}: there must be an image at least, of a pixel at least, but got {list(x.shape)}{way_out}."
        )
    if x.dtype.kind not in "iuf":
        problems.append(f"{where}: pixels must be whole numbers, or floats in [0, 1], but got {x.dtype}.")
    elif x.dtype.kind == "f" and _is_shaped(x) and x.size and (beyond := _beyond_unit(x)) is not None:
        problems.append(f"{where}: float pixels must be in [0, 1], but {beyond}.")
    return problems


def _is_shaped(x: NDArray[Any]) -> bool:
    return x.ndim == 3 or (x.ndim == 4 and x.shape[3] in (1, 3))


def decode_image(pixels: NDArray[Any], rules: Rules) -> Decoded:
    """One image of such an array, [H, W] or [H, W, C].

    Raises:
        BadImage: float pixels that are not finite, or outside [0, 1].
    """
    if pixels.dtype.kind in "iu":
        return decode_array(pixels, rules)
    pixels = np.asarray(pixels, dtype=np.float32).reshape(*pixels.shape[:2], -1)
    if not np.isfinite(pixels).all():
        raise BadImage("has pixels that are not finite")
    if pixels.min() < 0 or pixels.max() > 1:
        raise BadImage(f"has float pixels outside [0, 1]: {pixels.min():.3g} to {pixels.max():.3g}")
    return decode_float(pixels, rules)


def _names_of_splits(root: Path) -> tuple[dict[str, str], list[str]]:
    """What the splits are called in this folder, `val` perhaps `valid`, and sentences about what the names mean.

    Raises:
        DataError: train is missing, or a split stands there twice under other names than its own.
    """
    found = sorted(path.stem[2:] for path in root.glob("x_*.npy") if path.is_file())
    called = {split: split for split in SPLITS if split in found}
    said, problems = [], []
    for name in found:
        split, sure = split_of(name)
        if name in SPLITS:
            continue
        if split is None or not sure or called.get(split) == split:
            said.append(f"x_{name}.npy is passed over.")
        elif split in called:
            problems.append(
                f"{root} must hold one array for `{split}`, but holds x_{called[split]}.npy and x_{name}.npy; rename "
                f"the right one to x_{split}.npy."
            )
        else:
            called[split] = name
            said.append(f"{split} is x_{name}.npy.")
    if "train" not in called:
        problems.append(
            f"{root} must hold x_train.npy and y_train.npy (and x_test.npy, y_test.npy if there is a test set)."
        )
    if problems:
        raise DataError(*problems)
    return called, said


def _beyond_unit(x: NDArray[Any]) -> str | None:
    """What is wrong with the range of most float images; None where one in ten at most is out of range.

    Those few are broken images, and named as such.
    """
    lows_N, highs_N = (np.array([reduce(image) for image in x]) for reduce in (np.nanmin, np.nanmax))
    out_N = (lows_N < 0) | (highs_N > 1)
    if out_N.mean() <= 0.1:
        return None
    low, high = lows_N.min(), highs_N.max()
    advice = "; divide by 255" if low >= 0 and 1 < high <= 255 else "; scale them first"
    return f"they go from {low:.4g} to {high:.4g}, in {out_N.sum()} of {len(x)} images outside of it{advice}"


def _examples(y: NDArray[Any]) -> str:
    """What labels of the wrong type look like, and what to do with the commonest of them."""
    if y.ndim == 2:
        return "; if they are one column for each class, store y.argmax(1)"
    if y.dtype.kind == "U" and y.size and y.dtype.itemsize:
        codes = np.ascontiguousarray(y).view(np.dtype(np.uint32).newbyteorder(y.dtype.byteorder))
        if codes.max() > sys.maxunicode:  # of which Python makes no text, or text that nothing can print
            return ", of which some are no text; the file is damaged"
    values = np.unique(y)[:5].tolist() if y.dtype.kind in "fUSb" else []
    if y.dtype.kind == "f" and all(float(value).is_integer() for value in values):
        return f" such as {values}; store y.astype(int)"
    return f" such as {values}; number them from 0" if values else ""


def _load_array(path: Path) -> NDArray[Any]:
    try:
        loaded = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise DataError(f"{path} is missing; images and labels come in pairs.") from None
    except Exception as error:  # of a damaged header anything comes, tokenize.TokenError and MemoryError among it
        raise DataError(
            f"{path} must be an array saved by numpy.save, without pickled objects: {str(error).split('.')[0]}."
        ) from None
    if not isinstance(loaded, np.ndarray):
        raise DataError(f"{path} must hold one array saved by numpy.save, but holds {type(loaded).__name__}.")
    return loaded


SOURCE: Source = Arrays()
