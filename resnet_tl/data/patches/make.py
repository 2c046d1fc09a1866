"""Makes a patch set: patches in folders of splits and classes, their manifest and their contact sheet."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from resnet_tl.data.near_copies import near_copies
from resnet_tl.data.patches.cutting import Cut, cut_all
from resnet_tl.data.patches.manifest import MANIFEST, Row, manifest_text
from resnet_tl.data.patches.options import PatchOptions
from resnet_tl.data.patches.pairs import Pair, pair_up
from resnet_tl.data.patches.placing import groups_for, paths_for, splits_for
from resnet_tl.data.patches.publish import publishing, request_of
from resnet_tl.data.patches.sheet import Sheet
from resnet_tl.errors import DataError
from resnet_tl.option_text import expand

_UNSORTED = ".unsorted"
"""Where patches lie before their splits are known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """A finished patch set."""

    rows: list[Row]
    clamped: list[bool]
    """Of each row, whether its square was moved to lie inside of its image."""
    negative: str
    num_images: int
    num_without_mask: int
    """Images that no mask file belongs to; the other flagged ones have an empty mask."""
    num_relabelled: int
    """Flagged patches whose folder or name is of another class than the negative one."""
    num_larger: int
    """Regions wider or higher than a patch."""
    num_turned: int
    """Patches of images that EXIF turns and whose masks it does not."""
    num_missed: int
    """Patches without a pixel of their region, whose parts lie around its centroid."""
    smallest: int | None
    """Pixels of the smallest region; None without any."""
    pages: list[str]
    """Of the contact sheet."""
    said: list[str]


def make_patches(options: PatchOptions, *, tell: Callable[[str], None] = lambda sentence: None) -> Made:
    """Makes the patch set that the options ask for.

    Args:
        tell: is told how far the work is.

    Raises:
        ConfigError: options that contradict what there is; a folder `out` that must not be replaced.
        DataError: images or masks that cannot be used, all of them at once.
    """
    paired = pair_up(options)
    with publishing(expand(options.out, "out"), request_of(options)) as folder:
        (folder / _UNSORTED).mkdir()
        sheet = Sheet(folder=folder, num_images=len(paired.pairs))
        kept: list[tuple[Pair, Cut]] = []
        thumbnails: list[NDArray[np.uint8] | None] = []
        first_of: list[int] = []
        for pair, image in zip(paired.pairs, cut_all(options, paired.pairs, folder / _UNSORTED, tell), strict=True):
            flagged = image.cuts[0].num_pixels is None
            sheet.add(image.small, name=pair.name, label=paired.negative if flagged else pair.label)
            first_of.append(len(kept))
            kept += [(pair, made) for made in image.cuts]
            thumbnails.append(image.thumbnail)
        labels = [paired.negative if made.num_pixels is None else pair.label for pair, made in kept]
        if len(set(labels)) < 2:
            raise DataError(
                f"Patches must be of two classes at least, but all would be of {labels[0]}: images without a region "
                f"count as {paired.negative}."
            )
        groups = groups_for(options, kept)
        said = list(paired.said)
        splits: Sequence[str | None] = [pair.split for pair, _ in kept]
        if options.split:
            # patches of near copies of one image need not look alike: masks are drawn anew
            of_patches = near_copies([made.thumbnail for _, made in kept])
            of_images = [(first_of[one], first_of[other]) for one, other in near_copies(thumbnails)]
            splits = splits_for(options, kept, labels, groups, [of_patches, of_images], said)
        paths = paths_for(options, kept, labels, splits)
        rows = []
        for (pair, made), label, group, path in zip(kept, labels, groups, paths, strict=True):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            made.file.rename(folder / path)
            x, y, size = made.square.x, made.square.y, made.square.size
            rows.append(
                Row(path=path, source=pair.name, x=x, y=y, width=size, height=size, label=label, group=group,
                    flag=made.num_pixels is None, sha256=made.sha256)
            )  # fmt: skip
        (folder / _UNSORTED).rmdir()
        (folder / MANIFEST).write_text(manifest_text(rows), encoding="utf-8", newline="")
    sizes = [made.num_pixels for _, made in kept if made.num_pixels is not None]
    return Made(
        rows=rows,
        clamped=[made.square.clamped for _, made in kept],
        negative=paired.negative,
        num_images=len(paired.pairs),
        num_without_mask=sum(pair.mask is None for pair in paired.pairs),
        num_relabelled=sum(made.num_pixels is None and pair.label != paired.negative for pair, made in kept),
        num_larger=sum(made.larger for _, made in kept),
        num_turned=sum(made.turned for _, made in kept),
        num_missed=sum(made.missed for _, made in kept),
        smallest=min(sizes, default=None),
        pages=sheet.written,
        said=said,
    )
