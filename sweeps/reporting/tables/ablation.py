"""`ablation`: what each option does that is switched alone."""

from collections.abc import Sequence

from resnet_tl.errors import ConfigError
from sweeps.definition.outputs.tables.ablation import Options
from sweeps.reporting.cells import gap_interval, label, name_of, p_value, show, unit, what_would_show
from sweeps.reporting.inline import Inline, bold
from sweeps.reporting.results import Results, Trial, comparable, sign
from sweeps.reporting.samples import chance, sample
from sweeps.reporting.table import Column, Table, assemble, mean_column, notes
from sweeps.statistics.planned import paired
from sweeps.statistics.stats import LEVEL, holm


def draw(results: Results, trials: Sequence[Trial], options: Options) -> list[Table]:
    """One row for each option that is switched alone, against the study's first trial."""
    base, *rest = trials or (None,)
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
    shown = [base, *(trial for _, trial in alone)]
    names = ["base", *(f"{name_of(name)}: {show(name, trial.values.get(name))}" for name, trial in alone)]
    columns = [
        Column(header="Switched", cells=names),
        Column(header="n", cells=[str(len(trial.states)) for trial in shown]),
        mean_column(shown, metric, spread=True),
    ]
    gaps, p_values, verdicts = _against(results, base, [trial for _, trial in alone], metric)
    columns += [
        Column(header="Against the base (95% CI)", cells=["", *gaps]),
        Column(header="p", cells=["", *p_values]),
        Column(header="Verdict", cells=["", *verdicts]),
    ]
    sure = "test/confidence"
    if results.has(sure) and metric != sure:
        columns += [
            mean_column(shown, sure, spread=True),
            Column(header="Confidence against the base (95% CI)", cells=["", *_gaps(results, base, shown[1:], sure)]),
        ]
    at = ", ".join(f"{name_of(name).lower()} {show(name, base.values.get(name))}" for name in varying)
    told = [
        f"Base: {at}. {label(metric)}, paired by seed{unit(metric)}; verdicts and p at {LEVEL:g} for all rows "
        "together (Holm), intervals each for itself. Hypotheses are answered apart from this table, at a level of "
        "their own.",
        *([chance(results, shown, metric)] if results.has(metric) else []),
    ]
    if len(alone) + 1 < len(trials):
        told.append(f"{len(trials) - len(alone) - 1} trials that differ in several parameters are left out.")
    return [assemble(columns, None, [*told, *notes(results, shown)])]


def _gaps(results: Results, base: Trial, trials: Sequence[Trial], metric: str) -> list[str]:
    """What each does to another score than the study's: an interval, and no verdict."""
    return _against(results, base, trials, metric)[0]


def _against(
    results: Results, base: Trial, trials: Sequence[Trial], metric: str
) -> tuple[list[str], list[str], list[Inline]]:
    whole = comparable([base, *trials], metric)
    if base not in whole:
        missing = ["/"] * len(trials)
        return (
            missing,
            missing,
            [f"base {base.state}" if base.state != "complete" else "the base has other seeds"] * len(trials),
        )
    own = sample(results, base, metric)
    tests = {trial.number: paired(sample(results, trial, metric), own) for trial in trials if trial in whole}
    known = [test.p for test in tests.values() if test.p is not None]
    adjusted = dict(zip(tests, holm(known), strict=True)) if len(known) == len(tests) else {}
    gaps: list[str] = []
    p_values: list[str] = []
    verdicts: list[Inline] = []
    for trial in trials:
        test = tests.get(trial.number)
        if test is None:
            gaps.append("/")
            p_values.append("/")
            verdicts.append(trial.state if trial.state != "complete" else "other seeds")
            continue
        gaps.append(gap_interval(metric, test))
        p = adjusted.get(trial.number)
        p_values.append("/" if p is None else p_value(p))
        if p is None:
            verdicts.append("too few seeds")
        elif p < LEVEL:
            verdicts.append(bold("better" if sign(metric) * test.mean > 0 else "worse"))
        else:
            enough = what_would_show(test.needed(len(tests)), metric)
            verdicts.append("undecided" + (f"; {enough} would show it" if enough else ""))
    return gaps, p_values, verdicts
