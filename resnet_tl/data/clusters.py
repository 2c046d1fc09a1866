"""Images that depend on each other: sets of copies, exact and near."""

from collections import Counter
from collections.abc import Iterable, Sequence

Pair = tuple[int, int]
"""Numbers of two images."""


def united(count: int, pairs: Iterable[Pair]) -> list[int]:
    """For each of some things, the first of those that pairs connect it with."""
    parent = list(range(count))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = index = parent[parent[index]]
        return index

    for one, other in pairs:
        low, high = sorted((root(one), root(other)))
        parent[high] = low
    return [root(index) for index in range(count)]


def clusters_of(contents: Sequence[str], near: Iterable[Pair]) -> list[int]:
    """The set of copies of each image, named by the lowest number in it.

    Args:
        contents: a hash of each image's pixels.
        near: pairs of near copies.
    """
    first: dict[str, int] = {}
    exact = [(first.setdefault(content, index), index) for index, content in enumerate(contents)]
    return united(len(contents), [*exact, *near])


def without_crowds(near: Sequence[Pair], count: int) -> tuple[list[Pair], int]:
    """Leaves out pairs of sets too large to be copies of one picture.

    A fixed camera, or scans of one form, give pictures that differ in less than copies do. To keep those on one side
    would leave nothing to split.

    Args:
        count: of all images.

    Returns:
        The other pairs, and how many images the left-out sets have.
    """
    largest = min(max(16, count // 10), count // 2)
    of = united(count, near)
    size = Counter(of)
    kept = [pair for pair in near if size[of[pair[0]]] <= largest]
    return kept, sum(number for number in size.values() if number > largest)
