"""The group, the split and the name of each patch."""

from collections import Counter
from collections.abc import Sequence

from resnet_tl.data import notes as notes_on
from resnet_tl.data.clusters import clusters_of, near_sets, num_across_classes, without_crowds, without_whole_classes
from resnet_tl.data.patches.cutting import Cut
from resnet_tl.data.patches.options import PatchOptions
from resnet_tl.data.patches.pairs import Pair, in_words_of_the_command
from resnet_tl.data.splits import cut, to_cut
from resnet_tl.errors import DataError, UserError


def groups_for(options: PatchOptions, kept: Sequence[tuple[Pair, Cut]]) -> list[str]:
    """The patient or case of each patch; without a key its image, where an image gave several."""
    if options.group_key is not None:
        return [pair.group for pair, _ in kept]
    names = [pair.name for pair, _ in kept]
    return names if len(set(names)) < len(names) else [""] * len(names)


def splits_for(
    options: PatchOptions, kept: Sequence[tuple[Pair, Cut]], labels: Sequence[str], groups: Sequence[str],
    alike: Sequence[Sequence[tuple[int, int]]], said: list[str],
) -> list[str]:  # fmt: skip
    """The split of each patch: those that folders state, and the others cut as training would.

    Args:
        alike: pairs of patches that are near copies, and pairs whose images are.
        said: is added to.

    Raises:
        DataError: there are too few patches or groups to cut, or a group stands in two stated splits.
    """
    given = [pair.split for pair, _ in kept]
    classes = sorted(set(labels))
    number_of = {name: number for number, name in enumerate(classes)}
    numbers = [number_of[label] for label in labels]
    hashes = [made.sha256 for _, made in kept]
    kept_sets = [without_crowds(near_sets(hashes, pairs), hashes, numbers) for pairs in alike]
    num_crowded = sum(number for _, number in kept_sets)
    near = near_sets(hashes, [(images[0], other) for sets, _ in kept_sets for images in sets for other in images[1:]])
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


def paths_for(
    options: PatchOptions, kept: Sequence[tuple[Pair, Cut]], labels: Sequence[str], splits: Sequence[str | None]
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
