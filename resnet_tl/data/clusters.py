"""Images that depend on each other: sets of copies, exact and near, and which of them splits can be cut around."""

from collections import Counter
from collections.abc import Iterable, Sequence

Pair = tuple[int, int]
"""Numbers of two images."""
Set = list[int]
"""Numbers of images, in order."""

LARGEST_SET = 16
"""Pictures that copies of one may always be, however small the data is."""


class DisjointSets:
    """Which of some things are connected, while connections come in."""

    def __init__(self, count: int) -> None:
        self._parent = list(range(count))

    def first(self, index: int) -> int:
        """The lowest number of the set of one."""
        parent = self._parent
        while parent[index] != index:
            parent[index] = index = parent[parent[index]]
        return index

    def unite(self, one: int, other: int) -> None:
        """Makes one set of those of two."""
        low, high = sorted((self.first(one), self.first(other)))
        self._parent[high] = low


def united(count: int, pairs: Iterable[Pair]) -> list[int]:
    """For each of some things, the first of those that pairs connect it with."""
    sets = DisjointSets(count)
    for one, other in pairs:
        sets.unite(one, other)
    return [sets.first(index) for index in range(count)]


def clusters_of(contents: Sequence[str], near: Iterable[Set]) -> list[int]:
    """The set of copies of each image, named by the lowest number in it.

    Args:
        contents: a hash of each image's pixels.
        near: sets of near copies.
    """
    return united(len(contents), [*_exact(contents), *((images[0], image) for images in near for image in images[1:])])


def sets_of(clusters: Sequence[int]) -> list[Set]:
    """The images of each cluster that has several."""
    members: dict[int, Set] = {}
    for image, cluster in enumerate(clusters):
        members.setdefault(cluster, []).append(image)
    return [images for images in members.values() if len(images) > 1]


def near_sets(contents: Sequence[str], near: Iterable[Pair]) -> list[Set]:
    """Sets of copies that are not all exact ones.

    Args:
        contents: a hash of each image's pixels.
        near: pairs that connect near copies.
    """
    members: dict[int, Set] = {}
    for image, first in enumerate(united(len(contents), [*_exact(contents), *near])):
        members.setdefault(first, []).append(image)
    return [images for images in members.values() if len({contents[image] for image in images}) > 1]


def without_crowds(near: Sequence[Set], contents: Sequence[str], labels: Sequence[int]) -> tuple[list[Set], int]:
    """Leaves out sets too large to be copies of one picture, of all images or of one class.

    A fixed camera, or scans of one form, give pictures that differ in less than copies do. To keep those on one side
    would leave nothing to split. How often each stands there exactly says nothing of that.

    Returns:
        The other sets, and how many images the left-out ones have.
    """
    count = len(set(contents))
    largest = min(max(LARGEST_SET, count // 10), count // 2)
    num_of_class = _per_class(range(len(contents)), contents, labels)
    kept = []
    for images in near:
        of_class = _per_class(images, contents, labels)
        fills = any(number > max(LARGEST_SET, num_of_class[label] // 2) for label, number in of_class.items())
        if len({contents[image] for image in images}) <= largest and not fills:
            kept.append(images)
    return kept, sum(map(len, near)) - sum(map(len, kept))


def without_whole_classes(
    near: Sequence[Set], contents: Sequence[str], labels: Sequence[int], *, free: Iterable[int], num_parts: int
) -> tuple[list[Set], list[int]]:
    """Leaves out sets of classes that would have too few pictures for every split to get one.

    Args:
        free: images that the splits are cut out of.
        num_parts: splits that are cut out of them, train among them.

    Returns:
        The other sets, and the classes that are concerned.
    """
    cluster = clusters_of(contents, near)
    units: dict[int, set[int]] = {}
    for image in free:
        units.setdefault(labels[image], set()).add(cluster[image])
    scarce = {label for label, found in units.items() if len(found) < num_parts}
    kept = [images for images in near if scarce.isdisjoint(labels[image] for image in images)]
    classes = {labels[image] for images in near for image in images} & scarce
    return kept, sorted(classes)


def num_across_classes(near: Iterable[Set], contents: Sequence[str], labels: Sequence[int]) -> int:
    """How many images of sets have a near copy in another class."""
    total = 0
    for images in near:
        kinds = {(contents[image], labels[image]) for image in images}
        of_content, of_class = Counter(content for content, _ in kinds), Counter(label for _, label in kinds)
        # kinds that differ in both; the image's own kind is among those of its content and among those of its class
        total += sum(len(kinds) + 1 > of_content[contents[image]] + of_class[labels[image]] for image in images)
    return total


def _exact(contents: Sequence[str]) -> list[Pair]:
    first: dict[str, int] = {}
    return [(first.setdefault(content, index), index) for index, content in enumerate(contents)]


def _per_class(images: Iterable[int], contents: Sequence[str], labels: Sequence[int]) -> Counter[int]:
    """Different images of each class."""
    return Counter(label for _, label in {(contents[image], labels[image]) for image in images})
