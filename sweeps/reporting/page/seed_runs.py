"""Every seed run of a study with its learning curve, for the page."""

from collections.abc import Sequence

from sweeps.records import SeedRun
from sweeps.reporting.blocks import Curves, SeedRunRow, SeedRuns
from sweeps.reporting.cells import label, score, unit_of
from sweeps.reporting.chart import title_of
from sweeps.reporting.results import Results, Trial, ranking

MOST_RUNS = 1_000
"""Seed runs with a curve; more would make the page heavy, and nobody looks at each."""


def seed_runs(results: Results) -> SeedRuns | None:
    """The seed runs of as many trials as a page can hold, by rank; None where no learning curve is known."""
    details = results.details
    if details is None:
        return None
    ranked = ranking(results)
    trials = list({id(trial): trial for trial in (*ranked, *results.trials) if trial.states}.values())
    seeds = sorted({seed for trial in trials for seed in trial.seeds})
    most = max(1, MOST_RUNS // max(len(seeds), 1))
    curves: dict[str, tuple[int | None, tuple[int | None, ...]]] = {}
    digits = unit_of(results.metric).digits
    scale = unit_of(results.metric).factor * 10**digits
    rows = []
    for trial in trials[:most]:
        for run in details.runs(trial):
            if run.history:
                curves[f"{trial.number}/{run.seed}"] = (run.best_epoch, _values(run, results.metric, scale))
        rows.append(_row(results, trial, seeds))
    if not curves:
        return None
    sign = unit_of(results.metric).sign
    return SeedRuns(
        column=label(results.headline),
        seeds=tuple(seeds),
        rows=tuple(rows),
        num_left_out=len(trials) - len(rows),
        curves=Curves(
            metric=label(results.metric),
            sign=sign,
            digits=digits,
            runs=curves,
        ),
    )


def _values(run: SeedRun, metric: str, scale: float) -> tuple[int | None, ...]:
    """The metric after each epoch, from the first, in whole steps of its last digit."""
    found = {epoch.epoch: epoch.metrics.get(metric) for epoch in run.history or ()}
    values = [found.get(epoch) for epoch in range(1, max(found) + 1)]
    return tuple(None if value is None else round(scale * value) for value in values)


def _row(results: Results, trial: Trial, seeds: Sequence[int]) -> SeedRunRow:
    metric = results.headline
    scores = trial.columns.get(metric, (None,) * len(trial.seeds))
    own = {
        seed: (
            state if state != "complete" or value is None else score(metric, value),
            value if state == "complete" else None,
        )
        for seed, state, value in zip(trial.seeds, trial.states, scores, strict=True)
    }
    return SeedRunRow(
        trial=trial.number, title=title_of(results, trial), cells=tuple(own.get(seed, ("", None)) for seed in seeds)
    )
