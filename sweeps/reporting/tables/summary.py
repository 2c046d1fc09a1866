"""`summary`: trials by rank, with what their lead is worth."""

from collections.abc import Sequence

from sweeps.definition.outputs.tables.summary import Options
from sweeps.records import count
from sweeps.reporting.cells import MISSING, gap_interval, label, p_value, roughly, seconds, unit
from sweeps.reporting.results import Results, Trial
from sweeps.reporting.samples import chance, knows_images
from sweeps.reporting.standings import standings
from sweeps.reporting.table import Column, Table, assemble, interval_column, mean_column, notes, parameters
from sweeps.statistics.stats import LEVEL


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
        found = standings(results, trials, own) if results.has(own) else None
        split = found is not None and not found.on_images and knows_images(results, own)
        what = "Intervals" if split else "Intervals and p-values"
        beside = (
            ["p is for other seeds on these very images: what each image of val got is not known."] if split else []
        )
        told = (
            [*about, chance(results, trials, own, what=what), *beside, *told] if results.has(own) else [*about, *told]
        )
    if results.expects("wall_s"):
        means = [trial.mean("wall_s") for trial in trials]
        columns.append(Column(header="Seconds", cells=[MISSING if m is None else seconds(m) for m in means]))
    return [assemble(columns, None, told)]


def _behind(results: Results, trials: Sequence[Trial], metric: str) -> tuple[list[Column], list[str]]:
    """Columns with each trial's distance from the best one, and what a reader must know of them."""
    found = standings(results, trials, metric)
    if found is None:
        return [], []
    num_whole, num_seeds = len(found.others) + 1, len(found.best.seeds)
    cells: dict[int, tuple[str, str]] = {found.best.number: ("best", "")}
    for other in found.others:
        word = p_value(other.p)
        if other.standing == "too few seeds":
            word = "too few seeds" + (f" ({roughly(other.seeds_needed)})" if other.seeds_needed else "")
        cells[other.trial.number] = (gap_interval(metric, other.difference), word)
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
        f"Differences to it are in {name.lower()}, paired by seed{' and image' * found.on_images}{unit(metric)}.",
    ]
    left_out = sum(trial.state == "complete" for trial in trials) - num_whole
    if left_out:
        about.insert(
            0,
            f"Compared are the {num_whole} trials that have the same {num_seeds} seeds, not "
            f"{count(left_out, 'other')}.",
        )
    if found.on_images:
        about.append(
            f"p is that of being worse (one-sided), and allows for the best having been picked from these {num_whole} "
            "trials: other seeds and other images are drawn, and each draw picks its own best; intervals do not."
        )
    elif found.attainable <= LEVEL:
        about.append(
            f"p is that of being worse (one-sided), and allows for the best having been picked from these {num_whole} "
            "trials: sign flips of whole seeds, each of which picks its own best."
        )
    else:
        about.append(
            f"Too few seeds: with {num_seeds} the least possible p of a test that allows for the best having been "
            f"picked is {found.attainable:.3g}; beside it, how many would show a difference of this size and spread."
        )
    if stopped := sum(trial.is_stopped for trial in trials):
        about.append(f"p counts the {stopped} that were stopped, too (Bonferroni).")
    if any(item.parameter for item in results.hypotheses):
        about.append("What was expected beforehand is answered by the p of the hypotheses, not by this one.")
    return columns, [" ".join(about)]
