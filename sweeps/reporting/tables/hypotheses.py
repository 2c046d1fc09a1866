"""`hypotheses`: what the runs answer."""

from collections.abc import Sequence

from resnet_tl.errors import ConfigError
from sweeps.definition.hypotheses import DIFFERENCE, NO_DIFFERENCE
from sweeps.definition.outputs.tables.hypotheses import Options
from sweeps.reporting.answers import Answer, answers
from sweeps.reporting.cells import gap_interval, label, name_of, p_value, score, show, unit
from sweeps.reporting.inline import Inline, bold
from sweeps.reporting.results import Results, Trial
from sweeps.reporting.samples import chance
from sweeps.reporting.table import Table
from sweeps.statistics.planned import effect_interval
from sweeps.statistics.stats import LEVEL


def draw(results: Results, trials: Sequence[Trial], options: Options) -> list[Table]:
    """One row for each hypothesis that compares something."""
    found = answers(results, results.hypotheses)
    if not found:
        raise ConfigError("The table hypotheses needs a study whose `hypotheses` compare something.")
    rows = tuple((_expected(a), bold(a.verdict), *_figures(a)) for a in found)
    kinds = [a.hypothesis.expect for a in found]
    notes: list[Inline] = [
        f"Differences are paired by seed{_units(found)}; for each seed the mean over trials that are "
        f"alike in all else is taken. Answers at {LEVEL:g} for all hypotheses together (Holm).",
        *(chance(results, results.trials, metric) for metric in dict.fromkeys(a.metric for a in found if a.difference)),
    ]
    notes.append(
        "p is corrected for the number of hypotheses and for the pairs of values within one; intervals are not. d is "
        "the mean difference over its standard deviation between seeds."
    )
    if any(len(a.hypothesis.values) > 2 and a.difference for a in found):
        notes.append(
            "Of more than two values the pair that decides is shown: that of least p where values are to differ, the "
            "hardest rival where one is to win."
        )
    if NO_DIFFERENCE in kinds:
        notes.append(
            "No difference is supported when two one-sided tests place the mean difference within the margin, and "
            "contradicted when it is shown to be larger; its p is that of these tests."
        )
    if any(trial.fresh for trial in results.trials):
        notes.append("The seeds are those of the search; the confirmation has others.")
    changed = results.about.hypotheses_changed if results.about else None
    if changed:
        notes.append(bold(f"Some of them were written or changed on {changed}, when seed runs had been seen already."))
    notes += [
        f"{_expected(a).rstrip('.')}: {', '.join(a.following)} changes with {a.hypothesis.parameter}, as the space "
        "sets it, and is compared with it."
        for a in found
        if a.following and a.difference
    ]
    notes += [f"{_expected(a).rstrip('.')}: {a.note}." for a in found if a.note]
    return [
        Table(
            title=None,
            header=("Expected", "Answer", "Compared", "Difference (95% CI)", "Effect size d", "p", "n"),
            rows=rows,
            notes=tuple(notes),
        )
    ]


def _expected(answer: Answer) -> str:
    hypothesis = answer.hypothesis
    name = hypothesis.parameter or ""
    values = [show(name, value) for value in hypothesis.values]
    margin = ""
    if hypothesis.margin is not None:
        margin = f" (margin {score(answer.metric, hypothesis.margin)})"
    if hypothesis.says:
        return hypothesis.says + margin
    if hypothesis.expect == NO_DIFFERENCE:
        return f"{name_of(name)}: {' and '.join(values)} make no difference{margin}"
    if hypothesis.expect == DIFFERENCE:
        return f"{name_of(name)}: {' and '.join(values)} differ{margin}"
    rest = [value for value in values if value != show(name, hypothesis.expect)]
    return f"{name_of(name)}: {show(name, hypothesis.expect)} beats {' and '.join(rest)}"


def _units(found: Sequence[Answer]) -> str:
    units = {unit(answer.metric) for answer in found}
    return units.pop() if len(units) == 1 else ", of accuracies in percentage points"


def _figures(answer: Answer) -> tuple[str, ...]:
    told = answer.difference
    if told is None or answer.pair is None:
        return ("/", "/", "/", "/", "/")
    name = answer.hypothesis.parameter or ""
    compared = f"{label(answer.metric)}, {show(name, answer.pair[0])} − {show(name, answer.pair[1])}"
    effect = "no spread" if told.effect is None else f"{told.effect:.2f}"
    # it stands on seeds alone, and beside an interval for fresh images its own would look like certainty
    around = None if told.effect is None or told.parts is not None else effect_interval(told.effect, told.n)
    if around is not None:
        effect += f" [{around[0]:.2f}, {around[1]:.2f}]"
    p = "/" if answer.p is None else p_value(answer.p)
    return (compared, gap_interval(answer.metric, told), effect, p, str(told.n))
