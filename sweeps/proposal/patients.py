"""Guesses from file names which images show one patient or object: a repeated beginning, several images for each.

A guess can be wrong either way, so that it comes with what speaks for it, and is never made silently.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from resnet_tl.data.groups import group_key

PATTERNS = (
    r"/([^/]+)/[^/]+$",  # a folder for each patient below the class folder
    r"/(\d+)_[^/]*$",
    r"/(\d+)-[^/]*$",
    r"/([A-Za-z]+[ _-]?\d+)_[^/]*$",
    r"/([A-Za-z]+[ _-]?\d+)-[^/]*$",
    r"/([A-Za-z]+\d+[A-Za-z]+)\d+\.[^/]*$",
)
"""From names to groups, searched with a `/` before the path, so that they hold wherever the file lies."""

LEAST_FOUND = 0.3
"""Share of the images in whose names a pattern must be found."""
FEWEST_SHARED = 5
"""Groups of two images or more that there must be: a few equal beginnings are chance."""
LEAST_SHARING = 0.1
"""Share of the found images that stand in such groups."""
FEWEST_GROUPS = 3
"""Groups for each class: `bee_01` and `bee_02` name the class, not a bee."""
LARGEST_GROUP = 0.1
"""Share of the images above which a group is a series (`scan`, a day, a camera) rather than a patient."""
ALWAYS_SMALL = 10
"""Images that a patient may have, however few there are in all."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Patients:
    """What names say of patients or objects."""

    pattern: str
    """For `data.group_key`."""
    num_found: int
    """Images in whose names it is found."""
    num_images: int
    num_groups: int
    num_shared: int
    """Groups of two images or more."""
    largest: int
    """Images of the largest group."""
    num_torn: int
    """Groups with images in several classes."""
    example: tuple[str, ...]
    """Names of one group."""

    @property
    def missing(self) -> int:
        """Images whose names the pattern is not found in."""
        return self.num_images - self.num_found

    def told(self) -> str:
        """What speaks for the guess, in a sentence."""
        return (
            f"the names of {self.num_found:,} of {self.num_images:,} images name {self.num_groups:,} patients or "
            f"objects, {self.num_shared:,} of them with several images (up to {self.largest})"
        )


def guess(names: Sequence[str], labels: Sequence[int]) -> Patients | None:
    """Looks for the pattern that finds groups in most names; None where none is plausible.

    Args:
        names: path of each image below its class folder.
        labels: its class.
    """
    found = [told for pattern in PATTERNS if (told := _judge(pattern, names, labels)) is not None]
    return max(found, key=lambda told: told.num_found, default=None)


def _judge(pattern: str, names: Sequence[str], labels: Sequence[int]) -> Patients | None:
    key = group_key(pattern)
    groups = [key.of(name) for name in names]
    sizes = Counter(group for group in groups if group)
    num_found, shared = sum(sizes.values()), {group for group, size in sizes.items() if size > 1}
    if num_found < LEAST_FOUND * len(names) or len(shared) < FEWEST_SHARED:
        return None
    if sum(sizes[group] for group in shared) < LEAST_SHARING * num_found:
        return None
    largest = max(sizes.values())
    if len(sizes) < FEWEST_GROUPS * len(set(labels)) or largest > max(ALWAYS_SMALL, LARGEST_GROUP * len(names)):
        return None
    pairs = {(group, label) for group, label in zip(groups, labels, strict=True) if group}
    first = next(group for group in groups if group in shared)
    return Patients(
        pattern=pattern,
        num_found=num_found,
        num_images=len(names),
        num_groups=len(sizes),
        num_shared=len(shared),
        largest=largest,
        num_torn=sum(many > 1 for many in Counter(group for group, _ in pairs).values()),
        example=tuple(name for name, group in zip(names, groups, strict=True) if group == first)[:3],
    )
