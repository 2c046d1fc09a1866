"""Cuts missing splits out of the training images: stratified by class, whole groups, by the data's own seed.

Copies of one image, exact and near, count as one, so that none is learnt on one side and scored on the other.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from resnet_tl.data.clusters import united
from resnet_tl.errors import DataError, shown
from resnet_tl.seeding import derive, shuffled

SPLITS = ("train", "val", "test")
SYNTHETIC = "synthetic"
"""The split of generated images, which are trained on beside `train` and never scored."""


def cut(
    labels: Sequence[int],
    given: Sequence[str | None],
    clusters: Sequence[int],
    *,
    val_fraction: float,
    test_fraction: float,
    seed: int,
    classes: Sequence[str],
    groups: Sequence[str] | None = None,
) -> list[str]:
    """Assigns every image to `train`, `val` or `test`.

    Args:
        labels: class index of each image.
        given: the split that the data itself states, or None where it states none.
        clusters: the set of copies, exact and near, that each image belongs to; none is put on two sides.
        val_fraction: share of the images without a stated split to cut off as `val`, if no image has it stated.
        test_fraction: the same for `test`.
        groups: the patient or object of each image; none is put on two sides.

    Returns:
        One split per image. Each class has at least one image in train; see `absent` for the others.

    Raises:
        DataError: a class would be missing from train, or a split empty; a group stands in two stated splits.
    """
    splits: list[str] = [split or "train" for split in given]
    free, lacking = to_cut(given)
    missing = [(s, f) for s, f in (("test", test_fraction), ("val", val_fraction)) if s in lacking]
    if missing and groups is None:
        twins: dict[int, list[int]] = {}
        for index in free:
            twins.setdefault(clusters[index], []).append(index)
        for label in range(len(classes)):
            units = [images for images in twins.values() if labels[images[0]] == label]
            order = shuffled(derive(seed, "split", label), len(units))
            start = 0
            for split, fraction in missing:
                count = max(1, round(fraction * len(units)))
                for position in order[start : start + count]:
                    for index in units[position]:
                        splits[index] = split
                start += count
    elif missing and groups is not None:
        _cut_groups(splits, free, missing, labels, groups, clusters, seed)
    _check(splits, labels, classes)
    if groups is not None:
        sides: dict[str, set[str]] = {}
        for group, split in zip(groups, splits, strict=True):
            sides.setdefault(group, set()).add(split)
        torn = [f"{group}: {', '.join(sorted(found))}" for group, found in sides.items() if len(found) > 1]
        if torn:
            raise DataError(
                f"A group (`data.group_key`) must stand in one split only, but these do not:\n{shown(torn)}"
            )
    return splits


def to_cut(given: Sequence[str | None]) -> tuple[list[int], list[str]]:
    """The images that splits are cut out of, and the splits that the data does not state."""
    stated = set(given)
    free = [index for index, split in enumerate(given) if split in (None, "train")]
    return free, [split for split in SPLITS if split != "train" and split not in stated]


def joined(groups: Sequence[str], clusters: Sequence[int]) -> list[str]:
    """Groups with those merged that share an image or copies of one."""
    number = {group: index for index, group in enumerate(dict.fromkeys(groups))}
    owner: dict[int, int] = {}
    shared = [
        (owner.setdefault(cluster, number[group]), number[group])
        for group, cluster in zip(groups, clusters, strict=True)
    ]
    names = list(number)
    first = united(len(names), shared)
    return [names[first[number[group]]] for group in groups]


def _cut_groups(
    splits: list[str],
    free: list[int],
    missing: list[tuple[str, float]],
    labels: Sequence[int],
    groups: Sequence[str],
    clusters: Sequence[int],
    seed: int,
) -> None:
    from sklearn.model_selection import StratifiedGroupKFold

    one_of = joined(groups, clusters)
    left = np.array(free)
    whole = len(free)
    for split, fraction in missing:
        labels_left = np.array([labels[index] for index in left])
        groups_left = np.array([one_of[index] for index in left])
        share = fraction * whole / len(left)
        num_taken, num_folds = 1, max(2, round(1 / share))
        if share > 0.5:  # no single fold is large enough
            num_folds = min(range(2, 21), key=lambda folds: abs(round(share * folds) / folds - share))
            num_taken = min(round(share * num_folds), num_folds - 1)
        if len(set(groups_left)) < num_folds:
            raise DataError(
                f"`data.group_key` must find at least {num_folds} groups to cut {fraction:.0%} off as {split}, "
                f"but found {len(set(groups_left))}.{_said_of_joined(groups, clusters)}"
            )
        folds = StratifiedGroupKFold(num_folds, shuffle=True, random_state=derive(seed, "split") % 2**32)
        parts = [own for _, own in folds.split(left, labels_left, groups_left)]
        taken = np.sort(np.concatenate(parts[:num_taken]))
        rest = np.setdiff1d(np.arange(len(left)), taken)
        if not 0.5 <= len(taken) / (fraction * whole) <= 2:
            ((largest, size),) = Counter(groups_left.tolist()).most_common(1)
            members = [index for index in left if one_of[index] == largest]
            said = _said_of_joined([groups[index] for index in members], [clusters[index] for index in members])
            raise DataError(
                f"Whole groups (`data.group_key`) cannot be cut into about {fraction:.0%} for {split}: the nearest is "
                f"{len(taken)} of {whole} images, and the largest group has {size}.{said}"
            )
        for position in taken:
            splits[left[position]] = split
        left = left[rest]


def _said_of_joined(groups: Sequence[str], clusters: Sequence[int]) -> str:
    """Names two groups that were merged; nothing where none were."""
    owner: dict[int, str] = {}
    for group, cluster in zip(groups, clusters, strict=True):
        other = owner.setdefault(cluster, group)
        if other != group:
            return f" Groups that share an image or near copies of one count as one, such as {other} and {group}."
    return ""


def _check(splits: Sequence[str], labels: Sequence[int], classes: Sequence[str]) -> None:
    lacking = absent(splits, labels, classes)
    if "train" in lacking:
        raise DataError(
            "Every class must have an image to learn from, but these have none in train (a class needs at least 3 "
            f"images to be cut into train, val and test):\n{shown(lacking['train'])}"
        )
    empty = [split for split in SPLITS if split not in splits]
    if empty:
        raise DataError(f"Every split must hold an image, but {' and '.join(empty)} would hold none.")


def absent(splits: Sequence[str], labels: Sequence[int], classes: Sequence[str]) -> dict[str, list[str]]:
    """The classes that splits have no image of; splits that have all are left out."""
    present = set(zip(splits, labels, strict=True))
    found = {split: [name for label, name in enumerate(classes) if (split, label) not in present] for split in SPLITS}
    return {split: names for split, names in found.items() if names}


def by_split(splits: Sequence[str], names: Sequence[str] = SPLITS) -> dict[str, NDArray[np.int64]]:
    """Image numbers of each split, in order."""
    return {name: np.array([i for i, s in enumerate(splits) if s == name], dtype=np.int64) for name in names}
