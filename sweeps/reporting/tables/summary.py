"""`summary`: trials by rank, with what their lead is worth. `confirmed`: the best ones on fresh seeds."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from resnet_tl.errors import ConfigError
from sweeps.definition.tables import TableSpec
from sweeps.reporting.results import Results, Trial, comparable, sign
from sweeps.reporting.tables.cells import MISSING, gap_interval, label, p_value, unit
from sweeps.reporting.tables.parts import Column, Table, assemble, interval_column, mean_column, notes, parameters
from sweeps.statistics.stats import LEAST_PAIRS, LEVEL, against_best, differences, holm, paired, roughly, seeds_needed


def summary(results: Results, trials: Sequence[Trial], spec: TableSpec) -> list[Table]:
    """One row for each trial, sorted by the mean of the study's metric on `val`."""
    trials = sorted(trials, key=results.sort_key)
    columns = parameters(results, trials, without=(spec.by,))
    columns.append(Column(header="n", cells=[str(len(trial.states)) for trial in trials]))
    own = results.on_test
    shown = [metric for metric in dict.fromkeys([results.metric, own]) if results.expects(metric)]
    columns += [mean_column(trials, metric, spread=True) for metric in shown]
    told = notes(results, trials)
    if results.expects(own):
        columns.append(interval_column(trials, own))
        behind, about = _behind(results, trials, own)
        columns += behind
        told = about + told
    if results.expects("wall_s"):
        means = [trial.mean("wall_s") for trial in trials]
        columns.append(Column(header="Seconds", cells=[MISSING if m is None else _seconds(m) for m in means]))
    return [assemble(columns, None, told)]


def _seconds(value: float) -> str:
    return f"{value:.1f}" if value >= 1 else f"{value:.2g}"


def _behind(results: Results, trials: Sequence[Trial], metric: str) -> tuple[list[Column], list[str]]:
    """Columns with each trial's distance from the best one, and what a reader must know of them."""
    whole = comparable(trials, results.metric, metric)
    if len(whole) < 2:
        return [], []
    choice_TS = np.array([trial.scores(results.metric) for trial in whole])
    score_TS = np.array([trial.scores(metric) for trial in whole])
    # trials come by rank, so that the first is the one that every table calls the best
    found = against_best(sign(results.metric) * choice_TS, sign(metric) * score_TS, best=0)
    best, num_seeds = whole[found.best], len(whole[0].seeds)
    cells: dict[int, tuple[str, str]] = {best.number: ("best", "")}
    for trial, p in zip(whole, found.p, strict=True):
        if trial is best:
            continue
        told = paired(trial.scores(metric), best.scores(metric))
        word = p_value(p) if p is not None and found.attainable <= LEVEL else _too_few(trial, best, metric, len(whole))
        cells[trial.number] = (gap_interval(metric, told.mean, told.low, told.high), word)
    name = label(metric)
    shown = [cells.get(trial.number, (MISSING, MISSING)) for trial in trials]
    columns = [
        Column(header=f"{name} against the best (95% CI)", cells=[behind for behind, _ in shown]),
        Column(header="p", cells=[p for _, p in shown]),
    ]
    about = [
        f"The best has the highest mean {results.metric}."
        if results.higher_is_better
        else f"The best has the lowest mean {results.metric}.",
        f"Differences to it are in {name.lower()}, paired by seed{unit(metric)}.",
    ]
    left_out = sum(trial.state == "complete" for trial in trials) - len(whole)
    if left_out:
        about.insert(
            0, f"Compared are the {len(whole)} trials that have the same {num_seeds} seeds, not {left_out} others."
        )
    if found.attainable <= LEVEL:
        about.append(
            f"p allows for its having been picked from these {len(whole)} trials: sign flips of whole seeds, each of "
            "which picks its own best."
        )
    else:
        about.append(
            f"Too few seeds: with {num_seeds} the least possible p of a test that allows for the best having been "
            f"picked is {found.attainable:.3g}; beside it, how many would show a difference of this size and spread."
        )
    return columns, [" ".join(about)]


def _too_few(trial: Trial, best: Trial, metric: str, num_trials: int) -> str:
    gaps_S = differences(trial.scores(metric), best.scores(metric))
    needed = seeds_needed(gaps_S, num_trials - 1, by_flips=True) if len(gaps_S) > 1 else None
    return "too few seeds" + (f" ({roughly(needed)})" if needed else "")


def confirmed(results: Results) -> list[Table]:
    """What the search said of its best trials, and what fresh seeds say.

    The trial that led the search is compared with the others on seeds that had no part in choosing it, so that the
    planned test applies.
    """
    trials = sorted((trial for trial in results.trials if trial.fresh), key=results.sort_key)
    if not trials:
        raise ConfigError("The table confirmed needs a study with `confirm: {top: 3, seeds: 10}` that has been run.")
    fresh = [trial.fresh for trial in trials if trial.fresh]
    own = results.headline
    columns = parameters(results, trials) or [Column(header="Trial", cells=[str(t.number) for t in trials])]
    plain = mean_column(trials, results.metric, spread=True, header=f"{label(results.metric)}, search")
    again = mean_column(fresh, results.metric, spread=True, header=f"{label(results.metric)}, fresh seeds")
    columns += [plain, again]
    if own != results.metric:
        columns.append(mean_column(trials, own, spread=True, header=f"{label(own)}, search"))
        columns.append(mean_column(fresh, own, spread=True, header=f"{label(own)}, fresh seeds"))
    columns.append(interval_column(fresh, own))
    columns.append(Column(header="n, fresh", cells=[str(len(trial.states)) for trial in fresh]))
    told = ["Fresh seeds had no part in the search, whose winner is biased upward."]
    leads = min(results.trials, key=results.sort_key)
    leader = leads.fresh
    others = [trial for trial in fresh if trial is not leader]
    if leader is None:
        told.append(f"Trial {leads.number}, which leads the search now, has not been run on them.")
    elif others and leader in comparable(fresh, own) and len(leader.seeds) >= LEAST_PAIRS:
        tests = {
            trial.number: paired(trial.scores(own), leader.scores(own))
            for trial in comparable(fresh, own)
            if trial is not leader
        }
        adjusted = dict(zip(tests, holm([1.0 if test.p is None else test.p for test in tests.values()]), strict=True))
        gaps, p_values = [], []
        for trial in fresh:
            test = tests.get(trial.number)
            missing = "led the search" if trial is leader else MISSING
            gaps.append(gap_interval(own, test.mean, test.low, test.high) if test else missing)
            p_values.append(p_value(adjusted[trial.number]) if test else "" if trial is leader else MISSING)
        columns += [
            Column(header=f"{label(own)} against it (95% CI)", cells=gaps),
            Column(header="p", cells=p_values),
        ]
        told.append(
            f"{label(own)} of the others against the one that led the search, paired by seed{unit(own)}; p by the "
            f"paired t test, at {LEVEL:g} for all of them together (Holm)."
        )
    told = [" ".join(told), *notes(replace(results, seeds=_fresh_seeds(results)), fresh)]
    return [assemble(columns, "Confirmed on fresh seeds", told)]


def _fresh_seeds(results: Results) -> tuple[int, ...] | None:
    confirm = results.about.confirm if results.about else None
    return confirm.seeds if confirm else None
