"""`confirmed`: the best trials on fresh seeds."""

from collections.abc import Sequence
from dataclasses import replace

from resnet_tl.errors import ConfigError
from sweeps.definition.outputs.tables.confirmed import Options
from sweeps.reporting.cells import MISSING, gap_interval, label, p_value, unit
from sweeps.reporting.cross_validation import NOT_FRESH
from sweeps.reporting.results import Results, Trial, comparable
from sweeps.reporting.samples import chance, sample
from sweeps.reporting.table import Column, Table, assemble, interval_column, mean_column, notes, parameters
from sweeps.statistics.planned import LEAST_PAIRS, paired
from sweeps.statistics.stats import LEVEL, holm


def draw(results: Results, trials: Sequence[Trial], options: Options) -> list[Table]:
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
    columns.append(interval_column(results, fresh, own))
    columns.append(Column(header="n, fresh", cells=[str(len(trial.states)) for trial in fresh]))
    told = [NOT_FRESH if results.folds else "Fresh seeds had no part in the search, whose winner is biased upward."]
    leads = min(results.trials, key=results.sort_key)
    leader = leads.fresh
    others = [trial for trial in fresh if trial is not leader]
    if leader is None:
        told.append(f"Trial {leads.number}, which leads the search now, has not been run on them.")
    elif not results.folds and others and leader in comparable(fresh, own) and len(leader.seeds) >= LEAST_PAIRS:
        tests = {
            trial.number: paired(sample(results, trial, own), sample(results, leader, own))
            for trial in comparable(fresh, own)
            if trial is not leader
        }
        adjusted = dict(zip(tests, holm([1.0 if test.p is None else test.p for test in tests.values()]), strict=True))
        gaps, p_values = [], []
        for trial in fresh:
            test = tests.get(trial.number)
            missing = "led the search" if trial is leader else MISSING
            gaps.append(gap_interval(own, test) if test else missing)
            p_values.append(p_value(adjusted[trial.number]) if test else "" if trial is leader else MISSING)
        columns += [
            Column(header=f"{label(own)} against it (95% CI)", cells=gaps),
            Column(header="p", cells=p_values),
        ]
        told.append(
            f"{label(own)} of the others against the one that led the search, paired by seed{unit(own)}; "
            f"p at {LEVEL:g} for all of them together (Holm)."
        )
    told.append(chance(results, fresh, own))
    remarks = notes(replace(results, seeds=_fresh_seeds(results)), fresh)
    return [assemble(columns, "Confirmed on fresh seeds", [" ".join(told), *remarks])]


def _fresh_seeds(results: Results) -> tuple[int, ...] | None:
    confirm = results.about.confirm if results.about else None
    return confirm.seeds if confirm else None
