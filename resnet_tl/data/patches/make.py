"""Makes a patch set: reads each image once, cuts its patches, and puts them into class folders and splits.

Axes: H W pixels, C channels.
"""

import hashlib
import io
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnet_tl.data import notes as notes_on
from resnet_tl.data.clusters import clusters_of, near_sets, num_across_classes, without_crowds, without_whole_classes
from resnet_tl.data.decode import BadImage, to_8_bits
from resnet_tl.data.near_copies import near_copies, thumbnail
from resnet_tl.data.patches.manifest import MANIFEST, Row, manifest_text
from resnet_tl.data.patches.options import PatchOptions
from resnet_tl.data.patches.pairs import Pair, in_words_of_the_command, pair_up
from resnet_tl.data.patches.publish import publishing, request_of
from resnet_tl.data.patches.reading import Pixels, read_mask, read_pixels
from resnet_tl.data.patches.regions import Square, regions_of, square_around
from resnet_tl.data.patches.sheet import Sheet, drawn
from resnet_tl.data.splits import cut, to_cut
from resnet_tl.errors import DataError, UserError, shown
from resnet_tl.option_text import expand

_CHUNK = 64
"""Images whose small versions are held at once; whole ones only by the threads that cut them."""
_ADVICE = " (where one holds more than 0 and one other value, threshold=N says that the values above N are region)"
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
    smallest: int | None
    """Pixels of the smallest region; None without any."""
    pages: list[str]
    """Of the contact sheet."""
    said: list[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Cut:
    """One patch, written under a number."""

    square: Square
    file: Path
    sha256: str
    thumbnail: NDArray[np.uint8] | None
    num_pixels: int | None
    """Of its region; None where there is none."""
    larger: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class _Problem:
    """Why an image gives no patch."""

    kind: str
    """A sentence for all of its kind."""
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class _Image:
    """What is kept of one image."""

    cuts: list[_Cut]
    small: Image.Image
    """For the contact sheet."""


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
        kept: list[tuple[Pair, _Cut]] = []
        for pair, image in zip(paired.pairs, _cut_all(options, paired.pairs, folder / _UNSORTED, tell), strict=True):
            flagged = image.cuts[0].num_pixels is None
            sheet.add(image.small, name=pair.name, label=paired.negative if flagged else pair.label)
            kept += [(pair, made) for made in image.cuts]
        labels = [paired.negative if made.num_pixels is None else pair.label for pair, made in kept]
        if len(set(labels)) < 2:
            raise DataError(
                f"Patches must be of two classes at least, but all would be of {labels[0]}: images without a region "
                f"count as {paired.negative}."
            )
        groups = _groups(options, kept)
        said = [*paired.said]
        splits = _splits(options, kept, labels, groups, said) if options.split else [pair.split for pair, _ in kept]
        paths = _paths(options, kept, labels, splits)
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
        smallest=min(sizes, default=None),
        pages=sheet.written,
        said=said,
    )


def _cut_all(
    options: PatchOptions, pairs: Sequence[Pair], folder: Path, tell: Callable[[str], None]
) -> Iterator[_Image]:
    """Cuts the patches of all images, in order, and names at the end all that cannot be used."""
    problems: dict[str, list[str]] = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(pairs), _CHUNK):
            part = range(start, min(start + _CHUNK, len(pairs)))
            found = pool.map(lambda n: _cut_one(options, pairs[n], folder / f"{n}"), part)
            for number, image in zip(part, found, strict=True):
                if isinstance(image, _Problem):
                    problems.setdefault(image.kind, []).append(image.text)
                elif not problems:
                    yield image
                if (number + 1) % 1000 == 0:
                    tell(f"{number + 1:,} of {len(pairs):,} images")
    if problems:
        raise DataError(*(f"{kind}:\n{shown(texts, most=1000)}" for kind, texts in problems.items()))


def _cut_one(options: PatchOptions, pair: Pair, stem: Path) -> "_Image | _Problem":
    """Cuts the patches of one image.

    Args:
        stem: of the files that they are written to.
    """
    mask_HW = None
    try:
        pixels = read_pixels(pair.image, max_pixels=options.max_pixels)
    except BadImage as error:
        return _Problem(kind="These images cannot be used; repair or remove them", text=f"{pair.name} {error}")
    height, width = pixels.shape[:2]
    if pair.mask is not None:
        try:
            mask_HW = read_mask(pair.mask, threshold=options.threshold, max_pixels=options.max_pixels)
        except BadImage as error:
            advice = "" if options.threshold is not None else _ADVICE
            return _Problem(kind=f"These masks cannot be used{advice}", text=f"{pair.mask} {error}")
        if mask_HW.shape != (height, width):
            return _Problem(
                kind="A mask must be of its image's size, but these are not",
                text=f"{pair.mask} has {mask_HW.shape[1]} × {mask_HW.shape[0]} pixels, {pair.name} {width} × {height}",
            )
    if min(width, height) < options.size:
        return _Problem(
            kind=f"A patch of size={options.size} must fit into its image, but these are smaller",
            text=f"{pair.name} has {width} × {height} pixels",
        )
    regions = [] if mask_HW is None else regions_of(mask_HW, per_region=options.per_region)
    cuts = []
    for number, region in enumerate(regions or [None]):
        square = square_around(region, width=width, height=height, size=options.size)
        patch = pixels[square.y : square.y + square.size, square.x : square.x + square.size]
        stream = io.BytesIO()
        image = Image.fromarray(np.ascontiguousarray(patch))
        image.save(stream, "PNG")
        file = stem.with_name(f"{stem.name}-{number}.png")
        file.write_bytes(stream.getvalue())
        cuts.append(
            _Cut(
                square=square,
                file=file,
                sha256=hashlib.sha256(stream.getvalue()).hexdigest(),
                thumbnail=thumbnail(_in_8_bits(patch)),
                num_pixels=None if region is None else region.num_pixels,
                larger=region is not None and max(region.width, region.height) > options.size,
            )
        )
    small = drawn(pixels, mask_HW, [made.square for made in cuts], flagged=not regions)
    return _Image(cuts=cuts, small=small)


def _in_8_bits(pixels: Pixels) -> Image.Image:
    """As near copies are told by, which depends on neither brightness nor contrast."""
    if pixels.dtype == np.uint16:
        return Image.fromarray(to_8_bits(pixels, max(8, int(pixels.max()).bit_length())))
    return Image.fromarray(np.ascontiguousarray(pixels))


def _groups(options: PatchOptions, kept: Sequence[tuple[Pair, _Cut]]) -> list[str]:
    """The patient or case of each patch; without a key its image, where an image gave several."""
    if options.group_key is not None:
        return [pair.group for pair, _ in kept]
    names = [pair.name for pair, _ in kept]
    return names if len(set(names)) < len(names) else [""] * len(names)


def _splits(
    options: PatchOptions, kept: Sequence[tuple[Pair, _Cut]], labels: Sequence[str], groups: Sequence[str],
    said: list[str],
) -> list[str]:  # fmt: skip
    """The split of each patch: those that folders state, and the others cut as training would."""
    given = [pair.split for pair, _ in kept]
    classes = sorted(set(labels))
    number_of = {name: number for number, name in enumerate(classes)}
    numbers = [number_of[label] for label in labels]
    hashes = [made.sha256 for _, made in kept]
    near, num_crowded = without_crowds(
        near_sets(hashes, near_copies([made.thumbnail for _, made in kept])), hashes, numbers
    )
    free, lacking = to_cut(given)
    near, scarce = without_whole_classes(near, hashes, numbers, free=free, num_parts=1 + len(lacking))
    try:
        splits = cut(
            numbers,
            given,
            clusters_of(hashes, near),
            val_fraction=options.val_fraction,
            test_fraction=options.test_fraction,
            seed=options.split_seed,
            classes=classes,
            groups=list(groups) if groups[0] else None,
        )
    except UserError as error:
        raise DataError(*map(in_words_of_the_command, error.problems)) from None
    said += map(
        in_words_of_the_command,
        notes_on.of_near_copies(
            near,
            splits,
            [pair.name for pair, _ in kept],
            num_torn=num_across_classes(near, hashes, numbers),
            num_leaked=0,  # training counts those of stated splits
            num_crowded=num_crowded,
            scarce=[classes[number] for number in scarce],
            is_cut=bool(lacking),
        ),
    )
    if lacking:
        rule = (
            f"in whole groups (group_key={options.group_key})"
            if options.group_key is not None
            else "in whole groups (all patches of an image)"
            if groups[0]
            else "class by class"
        )
        said.append(f"{' and '.join(sorted(lacking))} cut from train {rule}, by split_seed={options.split_seed}.")
    return splits


def _paths(
    options: PatchOptions, kept: Sequence[tuple[Pair, _Cut]], labels: Sequence[str], splits: Sequence[str | None]
) -> list[str]:
    """Where each patch goes, all different even where a file system does not tell small letters from capital ones."""
    taken: set[str] = set()
    counts = Counter[str]()
    paths = []
    for (pair, made), label, split in zip(kept, labels, splits, strict=True):
        flagged = made.num_pixels is None
        # one that changed its class could meet another of its name there
        name = pair.inner if label == pair.label else f"{pair.label}/{pair.inner}"
        counts[pair.name] += 1
        if options.per_region and not flagged:
            name += f"-r{counts[pair.name]}"
        stem = "/".join(part for part in (split, label, name) if part)
        path, again = f"{stem}.png", 2
        while path.casefold() in taken:
            path, again = f"{stem}~{again}.png", again + 1
        taken.add(path.casefold())
        paths.append(path)
    return paths
