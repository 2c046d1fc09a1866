"""Cuts square patches out of images around the regions that masks mark, into a set to train on.

    python -m resnet_tl.patches images=FOLDER masks=FOLDER out=FOLDER size=56
    python -m resnet_tl.patches images=FOLDER masks=FOLDER out=FOLDER size=56 per_region=true group_key='^(\\d+)_' \\
        labels='{Benign: 0, Malignant: 1}' negative=0

A patch is centred on the centroid of its region and moved to lie inside of the image. An image whose mask is empty, or
that has none, gives its centre, with the negative class and a flag. `out` gets the patches as PNG files in class
folders (grey stays grey, 16 bits stay 16) below folders of the splits, manifest.csv, and a contact sheet to look at.
Train on it with data.source=patches data.root=OUT.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from resnet_tl.command import Section, command, entry, options_of
from resnet_tl.data.patches.options import LITERAL, PatchOptions
from resnet_tl.data.splits import SPLITS
from resnet_tl.option_text import expand, parse_words, validate

if TYPE_CHECKING:
    from resnet_tl.data.patches.make import Made


def _sections() -> list[Section]:
    return [options_of(PatchOptions, "")]


@command(sections=_sections, needs_words=True)
def main(words: Sequence[str]) -> int:
    """`python -m resnet_tl.patches`."""
    from resnet_tl.data.patches.make import make_patches

    options = validate(PatchOptions, parse_words(words, literal=LITERAL), "")
    made = make_patches(options, tell=lambda sentence: print(sentence, flush=True))
    print(_summary(made, options))
    out = expand(options.out, "out")
    pages = made.pages[0] if len(made.pages) == 1 else f"{made.pages[0]} … {made.pages[-1]}"
    print(f"Look at:    {out / pages}")
    print(f"Train with: data.source=patches data.root={out}")
    return 0


def _summary(made: "Made", options: PatchOptions) -> str:
    """Patches of each class and split, and what was decided while cutting."""
    splits = [split for split in SPLITS if any(row.split == split for row in made.rows)]
    header = [*(splits or ["patches"]), "flagged", "clamped"]
    classes = sorted({row.label for row in made.rows})
    width = max(len(name) for name in [*classes, "patches"])
    lines = ["  ".join([" " * width, *(f"{name:>7}" for name in header)])]
    for name in [*classes, None]:
        own = [(row, moved) for row, moved in zip(made.rows, made.clamped, strict=True) if name in (None, row.label)]
        counts = [sum(row.split == split for row, _ in own) for split in splits] or [len(own)]
        counts += [sum(row.flag for row, _ in own), sum(moved for _, moved in own)]
        lines.append("  ".join([f"{name or 'patches':{width}}", *(f"{count:>7,}" for count in counts)]))
    flagged = sum(row.flag for row in made.rows)
    negative = f"The negative class is {made.negative}" + (
        "." if options.negative is not None else ", the first by name; negative=CLASS names another."
    )
    lines.append(
        f"{len(made.rows):,} patches of {options.size} × {options.size} pixels from {made.num_images:,} images."
    )
    lines.append(negative)
    if flagged:
        empty = flagged - made.num_without_mask
        lines.append(
            f"{flagged:,} images have no region ({made.num_without_mask:,} no mask file, {empty:,} an empty mask): "
            f"their centre is cut, as {made.negative}, and flagged."
        )
    if made.num_relabelled:
        lines.append(
            f"{made.num_relabelled:,} of them stand under another class and are {made.negative} here all the same; "
            "data.skip_flagged=true leaves them out of training."
        )
    if clamped := sum(made.clamped):
        lines.append(f"{clamped:,} patches were moved to lie inside of their image.")
    if made.num_larger:
        lines.append(f"{made.num_larger:,} regions are wider or higher than a patch, which shows a part of them.")
    if made.num_turned:
        lines.append(
            f"{made.num_turned:,} patches are of images that EXIF turns, and their masks it does not: these are taken "
            "as drawn on the upright images. Where they were drawn on the stored pixels, the patches show something "
            "else; look at the contact sheet, and store such images upright."
        )
    if made.num_missed:
        advice = "" if options.per_region else ", and per_region=true cuts around each part"
        lines.append(
            f"No pixel of its region is in {made.num_missed:,} of the patches: its parts lie around its centroid. "
            f"Look at the contact sheet{advice}."
        )
    if made.smallest is not None:
        lines.append(f"The smallest region has {made.smallest:,} {'pixel' if made.smallest == 1 else 'pixels'}.")
    if not splits:
        lines.append("Training cuts the splits (split=false).")
    return "\n".join([*lines, *made.said])


if __name__ == "__main__":
    entry(main)
