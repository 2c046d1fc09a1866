"""`pareto`: which trials no other dominates."""

from collections.abc import Sequence

from sweeps.definition.aims import OTHERS, SECONDS, better_of
from sweeps.definition.outputs.tables.pareto import Options
from sweeps.records import count
from sweeps.reporting.cells import LESS_OR_MORE, MISSING, seconds
from sweeps.reporting.fronts import Front, aims_of, front_of, mean_of, name_of_aim, values
from sweeps.reporting.results import Results, Trial
from sweeps.reporting.table import Column, Table, assemble, mean_column, notes, parameters
from sweeps.statistics.pareto import NUM_RESAMPLES
from sweeps.statistics.stats import summarise


def draw(results: Results, trials: Sequence[Trial], options: Options) -> list[Table]:
    """Complete trials with the same seeds, those on the front first, then the others, each by the first aim."""
    aims = aims_of(results, options.aims, "table pareto")
    found = front_of(results, trials, aims, "table pareto")
    shown = found.trials
    columns = [
        Column(header="Trial", cells=[str(trial.number) for trial in shown]),
        *parameters(results, shown),
        Column(header="n", cells=[str(len(trial.seeds)) for trial in shown]),
        *(_column(shown, aim) for aim in aims),
        Column(
            header="On the front",
            cells=["yes" if over is None else f"no (trial {over.number})" for over in found.dominators],
        ),
        Column(header="Front in resamples", cells=_shares(found)),
    ]
    return [assemble(columns, None, [*_about(found, aims, trials), *notes(results, trials)])]


def _column(trials: Sequence[Trial], aim: str) -> Column:
    if aim not in OTHERS:
        return mean_column(trials, aim, spread=True)
    cells = [_seconds(trial) if aim == SECONDS else f"{trial.sizes[aim]:,}" for trial in trials]
    keys: list[float | None] = [
        float(seconds(mean_of(trial, aim))) if aim == SECONDS else mean_of(trial, aim) for trial in trials
    ]
    return Column(header=name_of_aim(aim), cells=cells, keys=keys, better=better_of(aim))


def _seconds(trial: Trial) -> str:
    told = summarise(values(trial, SECONDS))
    if told.sd is None:
        return seconds(told.mean)
    spread = f"{told.sd:.1f}" if told.mean >= 1 else seconds(told.sd)  # in the digits of the mean
    return f"{seconds(told.mean)} ± {spread}"


def _shares(found: Front) -> list[str]:
    if found.shares is None:
        return [MISSING] * len(found.trials)
    return [f"{100 * share:.0f}%" for share in found.shares]


def _about(found: Front, aims: Sequence[str], trials: Sequence[Trial]) -> list[str]:
    """What the front is, and what its share in resamples tells."""
    told = ", ".join(f"{name_of_aim(aim).lower()} ({LESS_OR_MORE[better_of(aim)]})" for aim in aims)
    about = [
        f"A trial is on the front when no other is at least as good in all aims and better in one: {told}. Of those "
        "that dominate another one, the best in the first aim is named."
    ]
    num_seeds = len(found.trials[0].seeds)
    left_out = sum(trial.state == "complete" for trial in trials) - len(found.trials)
    if left_out:
        about.append(
            f"Compared are the {len(found.trials)} trials that have the same {count(num_seeds, 'seed')}, not "
            f"{count(left_out, 'other')}."
        )
    if found.shares is None:
        about.append("With one seed nothing tells how far the front hangs on it.")
    else:
        about.append(
            f"Front in resamples: the share of {NUM_RESAMPLES:,} draws of the {num_seeds} seeds, the same ones of all "
            "trials, in which a trial is on the front; it tells of other seeds only, not of other images."
        )
    return [" ".join(about)]
