"""What of a configuration matters: `ablation`, `importances`, `slices`."""

from collections.abc import Sequence

import numpy as np

from resnet_tl.errors import ConfigError
from sweeps.reporting.importance import shares, slices_of
from sweeps.reporting.results import Results, Trial, comparable, distinct, sign
from sweeps.reporting.tables.cells import (
    gap_interval,
    interval,
    label,
    name_of,
    p_value,
    score,
    show,
    show_range,
    unit,
)
from sweeps.reporting.tables.parts import Column, Table, assemble, mean_column, notes
from sweeps.statistics.stats import LEVEL, differences, holm, paired, roughly, seeds_needed, summarise


def ablation(results: Results) -> list[Table]:
    """One row for each option that is switched alone, against the study's first trial."""
    base, *rest = results.trials or (None,)
    if base is None:
        raise ConfigError("The table ablation needs trials.")
    # a value may set other parameters, which are not switched but follow
    space = results.about.space if results.about else results.varying()
    varying = [name for name in results.varying() if name in space]
    alone: list[tuple[str, Trial]] = []
    for trial in rest:
        changed = [name for name in varying if repr(trial.values.get(name)) != repr(base.values.get(name))]
        if len(changed) == 1:
            alone.append((changed[0], trial))
    if not alone:
        raise ConfigError(
            "The table ablation needs trials that differ from the first one in a single parameter; "
            "`method: ablation` makes such a study."
        )
    metric = results.headline
    trials = [base, *(trial for _, trial in alone)]
    names = ["base", *(f"{name_of(name)}: {show(name, trial.values.get(name))}" for name, trial in alone)]
    columns = [
        Column(header="Switched", cells=names),
        Column(header="n", cells=[str(len(trial.states)) for trial in trials]),
        mean_column(trials, metric, spread=True),
    ]
    gaps, p_values, verdicts = _against(base, [trial for _, trial in alone], metric)
    columns += [
        Column(header="Against the base (95% CI)", cells=["", *gaps]),
        Column(header="p", cells=["", *p_values]),
        Column(header="Verdict", cells=["", *verdicts]),
    ]
    at = ", ".join(f"{name_of(name).lower()} {show(name, base.values.get(name))}" for name in varying)
    told = [
        f"Base: {at}. {label(metric)}, paired by seed{unit(metric)}; the verdict is the paired t test's, at {LEVEL:g} "
        "for all rows together (Holm). Hypotheses are answered apart from this table, at a level of their own."
    ]
    if len(alone) + 1 < len(results.trials):
        told.append(f"{len(results.trials) - len(alone) - 1} trials that differ in several parameters are left out.")
    return [assemble(columns, None, told + notes(results, trials))]


def _against(base: Trial, trials: Sequence[Trial], metric: str) -> tuple[list[str], list[str], list[str]]:
    whole = comparable([base, *trials], metric)
    if base not in whole:
        missing = ["/"] * len(trials)
        return missing, missing, [f"base {base.state}"] * len(trials)
    tests = {trial.number: paired(trial.scores(metric), base.scores(metric)) for trial in trials if trial in whole}
    known = [test.p for test in tests.values() if test.p is not None]
    adjusted = dict(zip(tests, holm(known), strict=True)) if len(known) == len(tests) else {}
    gaps, p_values, verdicts = [], [], []
    for trial in trials:
        test = tests.get(trial.number)
        if test is None:
            gaps.append("/")
            p_values.append("/")
            verdicts.append(trial.state if trial.state != "complete" else "other seeds")
            continue
        gaps.append(gap_interval(metric, test.mean, test.low, test.high))
        p = adjusted.get(trial.number)
        p_values.append("/" if p is None else p_value(p))
        if p is None:
            verdicts.append("too few seeds")
        elif p < LEVEL:
            verdicts.append("**better**" if sign(metric) * test.mean > 0 else "**worse**")
        else:
            needed = seeds_needed(differences(trial.scores(metric), base.scores(metric)), len(tests))
            verdicts.append("undecided" + (f"; about {roughly(needed)} seeds would show it" if needed else ""))
    return gaps, p_values, verdicts


def importances(results: Results) -> list[Table]:
    """How much of the spread between trials each parameter explains."""
    found = shares(results)
    rows = [(name_of(name), f"{100 * share:.0f}%") for name, share in found.of_parameter.items()]
    rows.append(("together only", f"{100 * found.interactions:.0f}%"))
    noise = (
        f" Between seeds of one trial {label(results.metric).lower()} has a standard deviation of "
        f"{score(results.metric, found.noise_sd)}, between trials of {score(results.metric, found.trial_sd)}."
        if found.noise_sd is not None
        else ""
    )
    how = "" if found.exact else ", in a random forest fitted to them"
    told = [
        f"Share of the variance between the means of {found.num_trials} trials ({results.metric}) that a parameter "
        f"explains on its own{how}.{noise}",
        *_left_out(results),
    ]
    return [Table(title=None, header=("Parameter", "Explains"), rows=tuple(rows), notes=tuple(told))]


def _left_out(results: Results) -> list[str]:
    """What a mean over trials does not contain."""
    missing = len(results.trials) - len(comparable(results.trials, results.metric))
    if not missing:
        return []
    said = f"{missing} of {len(results.trials)} trials have no score on all seeds and are in no mean."
    return [said, *notes(results, results.trials)]


def slices(results: Results) -> list[Table]:
    """For each parameter its values, averaged over all else."""
    metrics = [m for m in dict.fromkeys([results.metric, results.on_test]) if results.has(m)]
    whole = comparable(results.trials, results.metric)
    rows: list[tuple[str, ...]] = []
    num_seeds = 0
    for name in results.varying():
        for value, trials in slices_of(results, name):
            cells: list[str] = []
            for metric in metrics:
                by_seed = np.array([trial.scores(metric) for trial in trials]).mean(0)
                told = summarise([float(v) for v in by_seed])
                num_seeds = max(num_seeds, told.n)
                cells.append(score(metric, told.mean))
                cells.append(
                    "one seed" if told.low is None or told.high is None else interval(metric, told.low, told.high)
                )
            rows.append((name_of(name), show_range(name, value), str(len(trials)), *cells))
        with_score = {repr(trial.values.get(name)) for trial in whole}
        empty = ["/"] * (2 * len(metrics))
        for value in distinct(trial.values.get(name) for trial in results.trials):
            if repr(value) not in with_score:
                rows.append((name_of(name), show(name, value), "0", *empty))
    if not whole or not rows:
        raise ConfigError("The table slices needs complete trials with the same seeds and a parameter that varies.")
    header = ["Parameter", "Value", "Trials"]
    for metric in metrics:
        header += [label(metric), "95% CI"]
    told_of = (
        f"Means over all trials with that value, and over {num_seeds} seeds; intervals are over seeds, after averaging "
        "over trials, and say nothing of trials that were not run.",
        *_left_out(results),
    )
    return [Table(title=None, header=tuple(header), rows=tuple(rows), notes=told_of)]
