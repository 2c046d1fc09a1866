"""Results as JSON: every seed run, the statistics of every trial, the answers to the hypotheses."""

import json
from dataclasses import asdict
from typing import Any

from sweeps.records import study_to_json
from sweeps.reporting.frame import frame_of
from sweeps.reporting.hypotheses import answers
from sweeps.reporting.results import Results, Trial
from sweeps.statistics.stats import bootstrap_interval, summarise


def to_json(results: Results) -> str:
    """Everything that a report is made from, as numbers."""
    frame = frame_of(results).astype(object)
    rows = frame.where(frame.notna(), None).to_dict(orient="records")
    content: dict[str, Any] = {
        "study": results.study,
        "metric": results.metric,
        "direction": results.direction,
    }
    if results.about:
        content |= {"about": study_to_json(results.about)}
        content |= {"origin": asdict(results.origin)}
    metrics = [metric for metric in dict.fromkeys([results.metric, results.on_test]) if results.has(metric)]
    content["trials"] = [_trial(trial, metrics) for trial in results.trials]
    content["answers"] = [
        asdict(answer) | {"hypothesis": answer.hypothesis.written()} for answer in answers(results, results.hypotheses)
    ]
    return json.dumps(content | {"seed_runs": rows}, indent=1, allow_nan=False) + "\n"


def _trial(trial: Trial, metrics: list[str]) -> dict[str, Any]:
    told: dict[str, Any] = {"trial": trial.number, "state": trial.state, "seeds": list(trial.seeds)}
    if trial.state == "complete":
        told["scores"] = {metric: _scores(trial.scores(metric)) for metric in metrics if trial.mean(metric) is not None}
    if trial.fresh:
        told["fresh"] = _trial(trial.fresh, metrics)
    return told


def _scores(values: list[float]) -> dict[str, Any]:
    told = summarise(values)
    return {
        "n": told.n,
        "mean": told.mean,
        "median": told.median,
        "sd": told.sd,
        "t_interval": None if told.low is None else [told.low, told.high],
        "bca_interval": bootstrap_interval(values),
    }
