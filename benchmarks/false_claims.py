"""How often a report claims a difference where there is none: writes reports/false_claims.md.

    python -m benchmarks.false_claims

Studies are drawn in which all trials are equally good: a seed moves all trials alike, a trial's val and test share half
of their variance, and the rest is its own.

Axes: S seeds, T trials.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ttest_rel

from sweeps.statistics.stats import LEVEL, against_best, holm, paired

STUDIES = 10_000
TRIALS, SEEDS = (2, 8, 24), (3, 5, 10)

Array = NDArray[np.float64]


def studies(num_trials: int, num_seeds: int) -> Iterator[tuple[Array, Array]]:
    """Scores on val and test, [T, S] each."""
    draws = np.random.default_rng(1000 * num_trials + num_seeds)
    for _ in range(STUDIES):
        of_seed = draws.normal(size=(1, num_seeds))
        of_network = draws.normal(size=(num_trials, num_seeds))
        val, test = (of_seed + of_network + draws.normal(size=(num_trials, num_seeds)) for _ in range(2))
        yield val, test


def rates(num_trials: int, num_seeds: int) -> list[float]:
    """Share of studies with a claim against the best, as tables make it and without `too few seeds`; planned; naive."""
    claims = np.zeros(4)
    for val, test in studies(num_trials, num_seeds):
        found = against_best(val, test)
        best = any(p is not None and p <= LEVEL for p in found.p)
        planned = [paired(test[t], test[0]).p or 0.0 for t in range(1, num_trials)]
        others = np.delete(val, found.best, axis=0)
        naive = holm(list(ttest_rel(others, val[found.best], axis=1).pvalue))
        claims += [best and found.attainable <= LEVEL, best, min(holm(planned)) <= LEVEL, min(naive) <= LEVEL]
    return [float(rate) for rate in claims / STUDIES]


def main() -> None:
    """Writes the table."""
    error = 100 * np.sqrt(LEVEL * (1 - LEVEL) / STUDIES)
    lines = [
        "# False claims in simulated studies",
        "",
        f"{STUDIES:,} studies for each row, in all of which nothing differs; percent of them in which at least one "
        f"difference is claimed at 5% (standard error at most {error:.1f} points). Made by "
        "`python -m benchmarks.false_claims`.",
        "",
        "| Trials | Seeds | Against the best, as tables say it | the same without “too few seeds” | "
        "Planned: the first against the others | For comparison: t tests against the best on val, Holm |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for num_trials in TRIALS:
        for num_seeds in SEEDS:
            found = rates(num_trials, num_seeds)
            lines.append(f"| {num_trials} | {num_seeds} | " + " | ".join(f"{100 * rate:.1f}" for rate in found) + " |")
            print(lines[-1], flush=True)
    Path("reports/false_claims.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
