"""`summary`: trials by rank, with what their lead is worth."""

from collections.abc import Sequence

import numpy as np

from sweeps.definition.outputs.tables.summary import Options
from sweeps.reporting.cells import MISSING, gap_interval, label, p_value, roughly, unit
from sweeps.reporting.results import Results, Trial, comparable, sign
from sweeps.reporting.samples import chance, knows_images, sample
from sweeps.reporting.table import Column, Table, assemble, interval_column, mean_column, notes, parameters
from sweeps.statistics.images import against_best_on_images
from sweeps.statistics.planned import Paired, paired, seeds_needed
from sweeps.statistics.stats import LEVEL, AgainstBest, against_best


def draw(results: Results, trials: Sequence[Trial], options: Options) -> list[Table]:
    """One row for each trial, sorted by the mean of the study's metric on `val`."""
    trials = sorted(trials, key=results.sort_key)
    columns = parameters(results, trials, without=(options.by,))
    columns.append(Column(header="n", cells=[str(len(trial.states)) for trial in trials]))
    own = results.on_test
    shown = [metric for metric in dict.fromkeys([results.metric, own]) if results.expects(metric)]
    columns += [mean_column(trials, metric, spread=True) for metric in shown]
    told = notes(results, trials)
    if results.expects(own):
        columns.append(interval_column(results, trials, own))
        if options.ci == "seeds" and knows_images(results, own):
            columns.append(interval_column(results, trials, own, seeds_only=True))
        behind, about = _behind(results, trials, own)
        columns += behind
        told = [*about, chance(results, trials, own), *told] if results.has(own) else [*about, *told]
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
    found = _against_best(results, whole, metric)
    best, num_seeds = whole[found.best], len(whole[0].seeds)
    cells: dict[int, tuple[str, str]] = {best.number: ("best", "")}
    leads = sample(results, best, metric)
    for trial, p in zip(whole, found.p, strict=True):
        if trial is best:
            continue
        told = paired(sample(results, trial, metric), leads)
        word = p_value(p) if p is not None and found.attainable <= LEVEL else _too_few(told, len(whole))
        cells[trial.number] = (gap_interval(metric, told), word)
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
    if knows_images(results, metric) and knows_images(results, results.metric) and num_seeds > 1:
        about.append(
            f"p allows for its having been picked from these {len(whole)} trials: other seeds and other images are "
            "drawn, and each draw picks its own best."
        )
    elif found.attainable <= LEVEL:
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


def _against_best(results: Results, whole: Sequence[Trial], metric: str) -> AgainstBest:
    """Of trials by rank, so that the first is the one that every table calls the best."""
    signs = sign(results.metric), sign(metric)
    if len(whole[0].seeds) > 1 and knows_images(results, results.metric) and knows_images(results, metric):
        choice, score = (
            [table for trial in whole if (table := results.on_images(trial, name)) is not None]
            for name in (results.metric, metric)
        )
        return against_best_on_images(
            [signs[0] * table.values_SN for table in choice],
            [signs[1] * table.values_SN for table in score],
            choice[0].clusters_N,
            score[0].clusters_N,
            best=0,
        )
    choice_TS = np.array([trial.scores(results.metric) for trial in whole])
    score_TS = np.array([trial.scores(metric) for trial in whole])
    return against_best(signs[0] * choice_TS, signs[1] * score_TS, best=0)


def _too_few(told: Paired, num_trials: int) -> str:
    """Of seeds alone, whose signs are flipped: no p-value is below 2^(1-n)."""
    least = next(n for n in range(2, 100) if 2.0 ** (1 - n) <= LEVEL)
    needed = seeds_needed(told.values_S, LEVEL / max(1, num_trials - 1), least=least) if told.n > 1 else None
    return "too few seeds" + (f" ({roughly(needed)})" if needed else "")
