"""How often intervals hold, and how often a report claims a difference where there is none: reports/false_claims.md.

    python -m benchmarks.false_claims [workers=2]

Studies are drawn with known truth. Whether seed s of trial t gets image i right is decided by the sum of the image's
difficulty, what the image is to this trial, the seed's luck (a share of it common to all trials), and a rest, all
normal: right where the sum is above the threshold that gives the accuracy asked for. Fresh seeds and fresh images are
drawn each time, so that an interval must hold for both. In clusters of four, images share most of their difficulty.

Axes: S seeds, N images, T trials.
"""

import itertools
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from sweeps.statistics.images import against_best_on_images, difference, interval
from sweeps.statistics.stats import LEVEL, against_best, holm, summarise, t_test

STUDIES = 10_000
SEEDS, IMAGES = (3, 5, 10), (50, 200, 1000)
ACCURACIES = (0.57, 0.75, 0.9, 0.98)
SPREADS = (0.003, 0.03)
"""Standard deviations of the accuracy between seeds; no larger than half the error rate."""
CLUSTERS = (1, 4)
"""Images in each."""
TRIALS = (2, 8, 24)
DRAWS = 999
"""Of the test against the best; reports take more, which moves a p-value by less than the drawing of studies does."""
DIFFICULTY, OWN = 0.5, 0.2
"""Shares of the variance of an image's difficulty, and of what it is to a trial; the rest is its own for each seed."""
COMMON = 0.3
"""Share of a seed's luck that is the same for all trials."""
IN_CLUSTER = 0.8
"""Share of an image's difficulty that its cluster has in common."""
FRACTION = (0.0, 1.0)

Table = NDArray[np.float32]
Cell = tuple[float, ...]


def spread_of(spread: float, accuracy: float) -> float:
    """The standard deviation between seeds that is drawn."""
    return min(spread, (1 - accuracy) / 2)


def studies(
    draws: np.random.Generator,
    count: int,
    trials: int,
    seeds: int,
    images: int,
    accuracies: Sequence[float],
    spread: float,
    cluster: int,
) -> Iterator[Table]:
    """Which images are right, [T, S, N], study by study; `accuracies` are those of the trials."""
    middle = float(np.mean(accuracies))
    density = math.exp(-(ndtri(middle) ** 2) / 2) / math.sqrt(2 * math.pi)
    luck = spread_of(spread, middle) / density
    threshold_T = np.array([ndtri(a) for a in accuracies], np.float32) * math.sqrt(1 + luck**2)

    def of_images(number: int, share: float) -> Table:
        normal = draws.standard_normal((number, 1, images), dtype=np.float32)
        if cluster > 1:
            common = draws.standard_normal((number, 1, images // cluster), dtype=np.float32)
            normal = math.sqrt(IN_CLUSTER) * np.repeat(common, cluster, -1) + math.sqrt(1 - IN_CLUSTER) * normal
        return math.sqrt(share) * normal

    for _ in range(count):
        sum_TSN = draws.standard_normal((trials, seeds, images), dtype=np.float32) * math.sqrt(1 - DIFFICULTY - OWN)
        sum_TSN += of_images(1, DIFFICULTY) + of_images(trials, OWN)
        common, own = draws.standard_normal((1, seeds, 1)), draws.standard_normal((trials, seeds, 1))
        sum_TSN += (luck * (math.sqrt(COMMON) * common + math.sqrt(1 - COMMON) * own)).astype(np.float32)
        yield (sum_TSN + threshold_T[:, None, None] > 0).astype(np.float32)


def _clusters(images: int, cluster: int) -> NDArray[np.int64] | None:
    return None if cluster == 1 else np.arange(images) // cluster


def _on_seeds(a: Table, b: Table) -> float:
    """P-value of the paired t test."""
    return t_test((a.mean(1, dtype=np.float64) - b.mean(1, dtype=np.float64)).tolist())


def _generator(*cell: float) -> np.random.Generator:
    return np.random.default_rng([round(1000 * value) for value in cell])


def coverage(cell: Cell) -> list[float]:
    """Share of 95% intervals of a mean that hold the true accuracy: ours, and that over seeds alone; our mean width."""
    seeds, images, accuracy, spread, cluster = int(cell[0]), int(cell[1]), cell[2], cell[3], int(cell[4])
    images -= images % cluster
    held, width = np.zeros(2), 0.0
    for table in studies(_generator(1, *cell), STUDIES, 1, seeds, images, [accuracy], spread, cluster):
        low, high = interval(table[0], _clusters(images, cluster), bounds=FRACTION)
        told = summarise(table[0].mean(1).tolist())
        held[0] += low <= accuracy <= high
        held[1] += told.low is not None and told.high is not None and told.low <= accuracy <= told.high
        width += high - low
    return [*(held / STUDIES).tolist(), width / STUDIES]


def planned(cell: Cell) -> list[float]:
    """Share of planned comparisons of two equally good trials that claim a difference: ours, and the paired t test."""
    seeds, images, accuracy, spread, cluster = int(cell[0]), int(cell[1]), cell[2], cell[3], int(cell[4])
    images -= images % cluster
    claims = np.zeros(2)
    for a, b in studies(_generator(2, *cell), STUDIES, 2, seeds, images, [accuracy] * 2, spread, cluster):
        claims[0] += difference(a, b, _clusters(images, cluster), bounds=FRACTION).p() <= LEVEL
        claims[1] += _on_seeds(a, b) <= LEVEL
    return (claims / STUDIES).tolist()


def families(cell: Cell) -> list[float]:
    """The same for an ablation of eight rows, for a hypothesis over four pairs of trials, and for one of no difference.

    The last is claimed of two trials that differ by just the margin of two points, where at most 5% may be.
    """
    seeds, images, accuracy, spread = int(cell[0]), int(cell[1]), cell[2], cell[3]
    claims = np.zeros(5)
    for table in studies(_generator(3, *cell), STUDIES, 9, seeds, images, [accuracy] * 9, spread, 1):
        ours = [difference(row, table[0], bounds=FRACTION).p() for row in table[1:]]
        old = [_on_seeds(row, table[0]) for row in table[1:]]
        one, other = table[:4].mean(0), table[4:8].mean(0)
        claims[0] += min(holm(ours)) <= LEVEL
        claims[1] += min(holm(old)) <= LEVEL
        claims[2] += difference(one, other, bounds=FRACTION).p() <= LEVEL
        claims[3] += _on_seeds(one, other) <= LEVEL
    margin = 0.02
    pair = [accuracy + margin / 2, accuracy - margin / 2]
    for a, b in studies(_generator(4, *cell), STUDIES, 2, seeds, images, pair, spread, 1):
        told = difference(a, b, bounds=FRACTION)
        claims[4] += max(told.p(-margin, "above"), told.p(margin, "below")) <= LEVEL
    return (claims / STUDIES).tolist()


def best(cell: Cell) -> list[float]:
    """The same against the best of a table, picked on val: ours, and the sign flips of seeds."""
    trials, seeds, images, accuracy, spread, cluster = (
        int(cell[0]), int(cell[1]), int(cell[2]), cell[3], cell[4], int(cell[5]),
    )  # fmt: skip
    images -= images % cluster
    clusters = _clusters(images, cluster)
    claims = np.zeros(2)
    for table in studies(
        _generator(5, *cell), STUDIES, trials, seeds, 2 * images, [accuracy] * trials, spread, cluster
    ):
        val, test = table[:, :, :images], table[:, :, images:]
        means_TS = val.mean(2, dtype=np.float64), test.mean(2, dtype=np.float64)
        leads = int(means_TS[0].mean(1).argmax())
        ours = against_best_on_images(list(val), list(test), clusters, clusters, best=leads, num_draws=DRAWS)
        flips = against_best(*means_TS, best=leads)
        claims[0] += any(p is not None and p <= LEVEL for p in ours.p)
        claims[1] += flips.attainable <= LEVEL and any(p is not None and p <= LEVEL for p in flips.p)
    return (claims / STUDIES).tolist()


def power(cell: Cell) -> list[float]:
    """Share of true differences that are found, at a true false-claim rate of 5%: ours, and the paired t test.

    Each test's threshold is the p-value that 5% of the studies without a difference fall below. The third is ours at
    its own 5%, as reports say it. The difference is 1.5 times what a study's images and seeds make of chance.
    """
    seeds, images, accuracy, spread = int(cell[0]), int(cell[1]), cell[2], cell[3]
    found = np.zeros(3)
    gaps: list[float] = []
    p_values = np.zeros((2, STUDIES))

    def both(a: Table, b: Table) -> tuple[float, float]:
        return difference(a, b, bounds=FRACTION).p(), _on_seeds(a, b)

    for number, (a, b) in enumerate(
        studies(_generator(6, *cell), STUDIES, 2, seeds, images, [accuracy] * 2, spread, 1)
    ):
        p_values[:, number] = both(a, b)
        gaps.append(float(a.mean() - b.mean()))
    thresholds = np.quantile(p_values, LEVEL, axis=1)
    shift = min(2.8 * float(np.std(gaps)), 2 * (0.999 - accuracy))
    pair = [accuracy + shift / 2, accuracy - shift / 2]
    for a, b in studies(_generator(7, *cell), STUDIES, 2, seeds, images, pair, spread, 1):
        ours, old = both(a, b)
        found += [ours <= thresholds[0], old <= thresholds[1], ours <= LEVEL]
    return [shift, *(found / STUDIES).tolist()]


PARTS: dict[str, tuple[Callable[[Cell], list[float]], list[Cell]]] = {
    "coverage": (coverage, list(itertools.product(SEEDS, IMAGES, ACCURACIES, SPREADS, CLUSTERS))),
    "planned": (planned, list(itertools.product(SEEDS, IMAGES, ACCURACIES, SPREADS, CLUSTERS))),
    "families": (families, list(itertools.product(SEEDS, IMAGES, (0.75, 0.9), SPREADS))),
    "best": (
        best,
        [
            *itertools.product(TRIALS, SEEDS, IMAGES, (0.75,), SPREADS, (1,)),
            *itertools.product((8,), SEEDS, IMAGES, (0.75,), SPREADS, (4,)),
        ],
    ),
    "power": (power, list(itertools.product(SEEDS, IMAGES, (0.75,), SPREADS))),
}
"""What is simulated, and in which cells."""


def _column(seeds: float, images: float) -> str:
    return f"{seeds:g} × {images:g}"


def _percent(values: Sequence[float]) -> str:
    return f"{100 * values[0]:.1f} ({100 * values[1]:.1f})"


def _grid(found: dict[Cell, list[float]], names: Sequence[str], rows: Sequence[Cell]) -> list[str]:
    """A table with a column for each number of seeds and images; cells are `seeds, images, *row`."""
    columns = list(itertools.product(SEEDS, IMAGES))
    lines = ["| " + " | ".join([*names, *(_column(*column) for column in columns)]) + " |"]
    lines.append("| " + " | ".join(["---"] * (len(names) + len(columns))) + " |")
    for row in rows:
        told = [f"{100 * value:g}" if value < 1 else f"{value:g}" for value in row]
        cells = [_percent(found[(*column, *row)]) for column in columns]
        lines.append("| " + " | ".join([*told, *cells]) + " |")
    return lines


def page(found: dict[str, dict[Cell, list[float]]]) -> str:
    """The report."""
    held = np.array([values[0] for values in found["coverage"].values()])
    claimed = np.array([values[0] for values in found["planned"].values()])
    against = np.array([values[0] for values in found["best"].values()])
    lines = [
        "# What intervals hold, and false claims",
        "",
        f"{STUDIES:,} simulated studies for each cell (standard error at most 0.2 points at 5%), each with fresh seeds "
        "and fresh test images. Made by `python -m benchmarks.false_claims`, which says how they are drawn: images "
        f"differ in difficulty, trials in the images they get right, seeds in their luck, by {100 * SPREADS[0]:g} or "
        f"{100 * SPREADS[1]:g} points (no more than half the error rate). Columns are seeds × test images. In brackets "
        "is what the same studies give when seeds alone are taken for chance: the Student-t interval, the paired t "
        "test, and sign flips of seeds.",
        "",
        "## 95% intervals of a mean that hold the truth, percent",
        "",
        f"On average {100 * held.mean():.1f}, at least {100 * held.min():.1f}, at most {100 * held.max():.1f}.",
        "",
        *_grid(
            found["coverage"],
            ["Accuracy", "Seed spread", "Images a cluster"],
            list(itertools.product(ACCURACIES, SPREADS, CLUSTERS)),
        ),
        "",
        "## Planned comparisons of two equally good trials that claim a difference, percent",
        "",
        f"On average {100 * claimed.mean():.1f}, at most {100 * claimed.max():.1f}.",
        "",
        *_grid(
            found["planned"],
            ["Accuracy", "Seed spread", "Images a cluster"],
            list(itertools.product(ACCURACIES, SPREADS, CLUSTERS)),
        ),
        "",
        "## Families of planned comparisons with a false claim, percent",
        "",
        "An ablation of eight rows (Holm); a hypothesis that averages over four pairs of trials; and “no difference” "
        "claimed of two trials that differ by just the margin of two points.",
        "",
    ]
    families_found = found["families"]
    rows = list(itertools.product((0.75, 0.9), SPREADS))
    for name, first in (("Ablation", 0), ("Hypothesis", 2)):
        part = {cell: values[first : first + 2] for cell, values in families_found.items()}
        lines += [*_grid(part, [f"{name}: accuracy", "Seed spread"], rows), ""]
    none = {cell: [values[4], math.nan] for cell, values in families_found.items()}
    lines += [
        *(line.replace(" (nan)", "") for line in _grid(none, ["No difference: accuracy", "Seed spread"], rows)),
        "",
    ]
    lines += [
        "## Against the best of a table, picked on val: tables with a false claim, percent",
        "",
        f"On average {100 * against.mean():.1f}, at most {100 * against.max():.1f}; accuracy 75. With three or five "
        "seeds, sign flips often can reach no 5% whatever the data, and then claim nothing.",
        "",
    ]
    by_place = {(s, n, t, spread, k): values for (t, s, n, _, spread, k), values in found["best"].items()}
    rows = [*itertools.product(TRIALS, SPREADS, (1,)), *itertools.product((8,), SPREADS, (4,))]
    lines += [*_grid(by_place, ["Trials", "Seed spread", "Images a cluster"], rows), ""]
    lines += [
        "## Power",
        "",
        "Of a true difference of 2.8 standard deviations of what chance makes of it (a test that knew them would find "
        "80%), accuracy 75. At a true false-claim rate of 5% for each test, ours against the paired t test, whose "
        "threshold must be far below p = 0.05 for that; and ours at its own p = 0.05.",
        "",
        "| Seed spread | Seeds | Images | Difference, points | Ours | Paired t test | Ours at p = 0.05 |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for (seeds, images, _, spread), (shift, ours, old, own) in found["power"].items():
        told = [f"{100 * value:.1f}" for value in (shift, ours, old, own)]
        lines.append("| " + " | ".join([f"{100 * spread:g}", f"{seeds:g}", f"{images:g}", *told]) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Simulates all cells and writes the page."""
    workers = int(next((word.partition("=")[2] for word in sys.argv[1:] if word.startswith("workers=")), "2"))
    found: dict[str, dict[Cell, list[float]]] = {}
    with ProcessPoolExecutor(workers) as pool:
        waiting = {
            name: dict(zip(cells, [pool.submit(simulate, cell) for cell in cells], strict=True))
            for name, (simulate, cells) in PARTS.items()
        }
        for name, cells in waiting.items():
            found[name] = {}
            for cell, future in cells.items():
                found[name][cell] = future.result()
                print(name, *cell, *(f"{value:.4f}" for value in found[name][cell]), flush=True)
    Path("reports/false_claims.md").write_text(page(found), encoding="utf-8")


if __name__ == "__main__":
    main()
