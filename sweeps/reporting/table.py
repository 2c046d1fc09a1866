"""What the kinds of table have in common."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from resnet_tl.metrics import metric_of
from sweeps.reporting.cells import MISSING, interval, label, momentum, name_of, rounded, score, show, unit_of
from sweeps.reporting.inline import Inline, bold, code, joined
from sweeps.reporting.results import Results, Trial, comparable, distinct
from sweeps.reporting.samples import summary
from sweeps.statistics.stats import summarise

EXTREME = {"min": min, "max": max}


@dataclass(frozen=True, kw_only=True)
class Table:
    """Cells, and what must be known of them."""

    title: str | None
    header: tuple[Inline, ...]
    rows: tuple[tuple[Inline, ...], ...]
    notes: tuple[Inline, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a table of trials."""

    header: str
    cells: Sequence[Inline]
    keys: list[float | None] = field(default_factory=list)
    """What the cells are compared by, rounded as shown; empty for columns without a best."""
    better: Literal["min", "max"] = "max"


def assemble(columns: Sequence[Column], title: str | None, notes: Sequence[Inline]) -> Table:
    """Columns side by side, the best cells bold."""
    marked = []
    for column in columns:
        present = [key for key in column.keys if key is not None]
        best = EXTREME[column.better](present) if present else None
        cells = [
            bold(cell) if column.keys and column.keys[index] is not None and column.keys[index] == best else cell
            for index, cell in enumerate(column.cells)
        ]
        marked.append(cells)
    return Table(
        title=title,
        header=tuple(column.header for column in columns),
        rows=tuple(zip(*marked, strict=True)),
        notes=tuple(notes),
    )


def parameters(
    results: Results,
    trials: Sequence[Trial],
    *,
    always: Sequence[str] = (),
    without: Sequence[str | None] = (),
) -> list[Column]:
    """Parameter columns: those that vary among these trials, and those that are always shown."""
    varying = [name for name in results.varying() if len(distinct(trial.values.get(name) for trial in trials)) > 1]
    present = {name for trial in trials for name in trial.values}
    names = [n for n in varying if n not in always] + [n for n in always if n in present]
    columns = []
    for name in names:
        if name in without:
            continue
        cells = [
            momentum(t.values)
            if name == "momentum"
            else ", ".join(show(name, value) for value in results.asked(t, name))
            for t in trials
        ]
        columns.append(Column(header=name_of(name), cells=cells))
    return columns


def mean_column(trials: Sequence[Trial], metric: str, *, spread: bool, header: str | None = None) -> Column:
    """Means over seeds, with their standard deviation or without."""
    cells: list[str] = []
    keys: list[float | None] = []
    for trial in trials:
        if trial.state != "complete":
            cells.append(MISSING if trial.state == "planned" else _stopped(trial, metric) or trial.state)
            keys.append(None)
            continue
        told = summarise(trial.scores(metric))
        text = score(metric, told.mean, sign=False)
        if spread and told.sd is not None:
            text += f" ± {score(metric, told.sd, sign=False)}"
        cells.append(text + unit_of(metric).sign)
        keys.append(rounded(metric, told.mean))
    return Column(header=header or label(metric), cells=cells, keys=keys, better=metric_of(metric).better)


def _stopped(trial: Trial, metric: str) -> str | None:
    """The mean of a trial that the pruner stopped, marked with its epochs or seeds; None for others, or without one."""
    is_alike = trial.state == "pruned" and len(set(trial.states)) == 1
    mean = trial.mean(metric) if is_alike and trial.is_stopped else None
    if mean is None or trial.stop is None:
        return None
    had = f"epoch {trial.stop.epoch}" if "pruned" in trial.states else f"n={len(trial.states)}"
    return f"{score(metric, mean)} (pruned, {had})"


def interval_column(results: Results, trials: Sequence[Trial], metric: str, *, seeds_only: bool = False) -> Column:
    """Intervals of the means: for fresh seeds and images where images are known, or for other seeds only."""
    cells = []
    for trial in trials:
        if trial.state != "complete":
            cells.append(MISSING if trial.state == "planned" else trial.state)
            continue
        cells.append(interval(metric, summary(results, trial, metric, seeds_only=seeds_only)))
    header = f"{label(metric)} 95% CI" + (", same images" if seeds_only else "")
    return Column(header=header, cells=cells)


def test_scores(results: Results) -> list[str]:
    """The scores that tables without a metric of their own show."""
    wanted = dict.fromkeys(["test/loss", "test/accuracy", results.on_test])
    return [name for name in wanted if results.expects(name)]


def entries(trial: Trial, column: str, text: Callable[[float], str]) -> list[tuple[str, float | None]]:
    """Cells of a list, one for each seed: (text, value or None); stopped trials are not ranked and have no values."""
    found: list[tuple[str, float | None]] = []
    for state, value in zip(trial.states, trial.columns[column], strict=True):
        if state != "complete" or value is None:
            found.append((state if state != "complete" else MISSING, None))
        else:
            found.append((text(float(value)), None if trial.is_stopped else float(text(float(value)))))
    return found


def list_cells(
    several: Sequence[Sequence[tuple[str, float | None]]], *, better: Literal["min", "max"] | None
) -> list[Inline]:
    """Lists as text, the best single entry of all bold."""
    values = [value for cell in several for _, value in cell if value is not None]
    best = None if better is None or not values else EXTREME[better](values)
    cells: list[Inline] = []
    for cell in several:
        words = [bold(text) if value is not None and value == best else text for text, value in cell]
        cells.append(("[", joined(", ", words), "]") if words else MISSING)
    return cells


def plain(value: float) -> str:
    """A whole number as it is."""
    return f"{value:g}"


def notes(results: Results, trials: Sequence[Trial]) -> list[Inline]:
    """What a reader must know of trials without all their results."""
    told_of: list[Inline] = []
    for state in ("failed", "diverged"):
        those = [trial for trial in trials if state in trial.states]
        if those:
            told = []
            for trial in those:
                seeds = [seed for seed, own in zip(trial.seeds, trial.states, strict=True) if own == state]
                named = ", ".join(map(str, seeds))
                told.append(f"trial {trial.number} (seeds {named}{_reason(results, trial, seeds)})")
            told_of.append(f"{len(those)} of {len(trials)} trials {state}: {'; '.join(told)}.")
    stopped = [trial for trial in trials if trial.state == "pruned"]
    if at_rungs := [trial for trial in stopped if trial.stop and trial.stop.by == "rungs"]:
        told_of.append(_rungs(results, trials, at_rungs))
    if raced := [trial for trial in stopped if trial.stop and trial.stop.by == "race"]:
        told_of.append(_race(results, trials, raced))
    if results.seeds is not None:
        planned = len(results.seeds)
        short = [trial for trial in trials if 0 < len(trial.states) < planned and trial not in stopped]
        if short:
            told = [f"trial {trial.number} has {len(trial.states)}" for trial in short]
            told_of.append(f"Planned are {planned} seeds for each trial; {', '.join(told)}.")
    waiting = sum(trial.state == "planned" for trial in trials)
    if waiting:
        told_of.append((f"{waiting} of {len(trials)} trials have no result yet (", code(MISSING), ")."))
    return told_of


def _rungs(results: Results, trials: Sequence[Trial], stopped: Sequence[Trial]) -> Inline:
    """What was ended within its runs, and that nothing is claimed of it."""
    by_epoch: dict[int, list[str]] = {}
    for trial in stopped:
        by_epoch.setdefault((trial.stop and trial.stop.epoch) or 0, []).append(str(trial.number))
    told = "; ".join(
        f"after epoch {epoch} trial{'s' * (len(own) > 1)} {', '.join(own)}" for epoch, own in sorted(by_epoch.items())
    )
    return (
        f"{len(stopped)} of {len(trials)} trials were stopped at a rung, where enough others had at least as good a "
        f"{results.metric}: {told}. What is shown of them is of that epoch, or of the seeds that they have had; they "
        "are not ranked, and nothing is claimed of what they would have come to."
    )


def _race(results: Results, trials: Sequence[Trial], stopped: Sequence[Trial]) -> Inline:
    """What a race ended, and all that is claimed of it."""
    by_n: dict[int, list[str]] = {}
    for trial in stopped:
        by_n.setdefault(trial.stop.seeds if trial.stop else 0, []).append(str(trial.number))
    told = "; ".join(f"after {n} seeds trial{'s' * (len(own) > 1)} {', '.join(own)}" for n, own in sorted(by_n.items()))
    many = f"{len(stopped)} of {len(trials)} trials"
    text = f"{many} were stopped by the race, since they could hardly win any more: {told}."
    if rule := results.rule("race"):
        how = "of any of them" if rule["simultaneous"] else "of each"
        text += (
            " Their means are of fewer seeds and are not ranked; all that is said of them: over all seeds none is "
            f"ahead of the best by more than {_points(results.metric, rule['regret'])}, with a risk "
            f"{how} of {100 * rule['risk']:g}%."
        )
    return text


def _points(metric: str, difference: float) -> str:
    points = " points" if unit_of(metric).sign else ""
    return f"{score(metric, difference, sign=False)}{points} of {metric}"


def _reason(results: Results, trial: Trial, seeds: Sequence[int]) -> str:
    named = (results.origin.reasons.get(f"{trial.number}/{seed}") for seed in seeds)
    reasons = [reason for reason in named if reason]
    return f": {reasons[0].splitlines()[-1]}" if reasons else ""


def left_out(results: Results) -> list[Inline]:
    """What a mean over trials does not contain."""
    missing = len(results.trials) - len(comparable(results.trials, results.metric))
    if not missing:
        return []
    said = f"{missing} of {len(results.trials)} trials have no score on all seeds and are in no mean."
    return [said, *notes(results, results.trials)]
