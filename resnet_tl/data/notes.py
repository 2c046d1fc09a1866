"""Sentences on what was decided while reading images, for people who may not expect it."""

import os
from collections.abc import Sequence

from resnet_tl.config import DataConfig
from resnet_tl.option_text import expand, few

MOST_PAIRS = 3
"""Near copies that are named."""


def of_cut(config: DataConfig, stated: set[str | None], *, grouped: bool) -> str:
    """How those of val and test came to be that the data does not state; empty where it states both.

    Args:
        grouped: whether images belong to groups.
    """
    shares = [
        f"{split} ({share:.0%})"
        for split, share in (("val", config.val_fraction), ("test", config.test_fraction))
        if split not in stated
    ]
    if not shares:
        return ""
    verb = "were" if len(shares) > 1 else "was"
    by = f"data.group_key={config.group_key}" if config.group_key else "as the source names them"
    rule = f"in whole groups ({by})" if grouped else "class by class"
    return (
        f"{' and '.join(shares)} {verb} cut from the training images, {rule}, by data.split_seed={config.split_seed}."
    )


def idle_fractions(config: DataConfig, stated: set[str | None]) -> list[str]:
    """A sentence for each share that is to be cut off as a split which the data states itself."""
    fields = DataConfig.model_fields
    return [
        f"data.{name} has no effect: the data brings its own {split}."
        for split, name in (("val", "val_fraction"), ("test", "test_fraction"))
        if split in stated and getattr(config, name) != fields[name].default
    ]


def of_near_copies(
    near: Sequence[Sequence[int]],
    splits: Sequence[str],
    names: Sequence[str],
    *,
    num_torn: int,
    num_leaked: int,
    num_crowded: int,
    scarce: Sequence[str],
    is_cut: bool,
) -> list[str]:
    """Sentences about near copies.

    Args:
        near: sets of them.
        names: of the images, as a reader knows them.
        num_torn: images with a near copy in another class.
        num_leaked: images of val and test with a copy in train that is not exact.
        num_crowded: images that look too much alike to be told from copies.
        scarce: classes of too few pictures for every split to get one.
        is_cut: whether a split was cut, and not all are the data's own.
    """
    said = []
    if num_crowded:
        where = "kept on one side of the splits that were cut" if is_cut else "counted as copies"
        said.append(
            f"{num_crowded} images look too much alike to tell a copy from another picture (of one scene, by a fixed "
            f"camera?), so they were not {where}; data.group_key can say which belong together."
        )
    if scarce:
        said.append(
            f"The images of {few(scarce)} are near copies of too few pictures for every split to get one, so near "
            "copies there are not kept on one side where splits are cut."
        )
    pairs = [(images[0], other) for images in near for other in images[1:]]
    if pairs:
        across = [pair for pair in pairs if splits[pair[0]] != splits[pair[1]]]
        shown_pairs = [*across, *(pair for pair in pairs if splits[pair[0]] == splits[pair[1]])][:MOST_PAIRS]
        named = "; ".join(f"{names[one]} and {names[other]}" for one, other in shown_pairs)
        if across:
            torn = sum(len(images) for images in near if len({splits[image] for image in images}) > 1)
            kept = f"{torn} of them have one in another split, since the data's own splits put them there."
        elif is_cut:
            kept = "Each was kept in one split with its copies."
        else:
            kept = "The data's own splits have each in one split with its copies."
        said.append(
            f"{sum(map(len, near))} images are near copies of others (resized, recompressed, mirrored or turned), such "
            f"as {named}. {kept}"
        )
    if num_torn:
        said.append(f"{num_torn} of them have a near copy in another class.")
    if num_leaked:
        said.append(f"{num_leaked} images of val and test are near copies of images of train.")
    return said


def known_as(names: Sequence[str], config: DataConfig) -> list[str]:
    """Names of images as a reader knows them: without the folder that the user named himself."""
    root = "" if config.root is None else f"{expand(config.root, 'data.root')}{os.sep}"
    return [name.removeprefix(root) for name in names]


def of_absent(split: str, lacking: Sequence[str], classes: Sequence[str]) -> str:
    """What the scores of a split are of that has no image of some classes."""
    names = f"{', '.join(lacking[:5])}{' …' if len(lacking) > 5 else ''}"
    present = len(classes) - len(lacking)
    if present == 1:
        scores = "Precision, recall and F1 there are those of the one other class, and there is no AUROC."
    else:
        scores = f"Averages over classes there are over the {present} others."
    return f"{len(lacking)} of {len(classes)} classes have no image in {split}: {names}. {scores}"
