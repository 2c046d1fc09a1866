"""What MLflow's browser UI shows of a study when its link is opened: the trials by rank, with the columns that matter.

MLflow 3.17 opens an experiment in its GenAI view, and lists runs without any metric, until a person chooses otherwise;
the choice stays in that browser. Two things of it can be handed over: `workflowType` in the address, and a saved view,
a tag `mlflow.sharedViewState.KEY` of the experiment that `viewStateShareKey=KEY` in the address opens. The tag
`mlflow.experimentKind` has no effect on either in 3.17.
"""

import json
from typing import Any

from sweeps.records import StudyRecord

SAVED_VIEW = "mlflow.sharedViewState."
"""Tags that start so are saved views of MLflow's UI, each under the key that follows."""

TRIALS, SEED_RUNS = "trials", "seeds"
"""Keys of our views."""

REPORT = "report"
"""The tag `kind` of a study's own run."""

MADE = 1
"""When a view was made, in milliseconds: any fixed time, so that a view of the same content is the same tag."""

NAME, CREATED, DURATION = "attributes.`Run Name`", "runDateAndNestInfo", "duration"
"""Columns that are always there, by their names in MLflow's table."""

NAME_PX, METRIC_PX, COUNT_PX, PARAMETER_PX = 150, 120, 60, 120

SECONDS = "seconds"
"""A trial's metric: wall time of a seed run, mean over seeds; an aim has the same name."""


def view_tags(study: StudyRecord) -> dict[str, str]:
    """Tags of a study's experiment: its views, by name in the menu `Views` and by key in addresses."""
    aims = (study.metric, *study.aims)
    shown = [aim for aim in aims if "/" in aim or aim == SECONDS]  # the sizes among aims are no metrics of runs
    parameters = sorted(study.space)
    trials = _view(
        "Trials by rank",
        kind="trial",
        order=shown[0] if shown else None,
        ascending=study.direction == "minimize",
        metrics=[*(name for aim in shown for name in ([aim, f"{aim}_sd"] if "/" in aim else [aim])), "n"],
        parameters=parameters,
    )
    best = [f"best/{aim}" for aim in aims if aim.startswith("val/")]
    headline = f"test/{study.metric.partition('/')[2]}" if study.metric.startswith("val/") else None
    seeds = _view(
        "Seed runs",
        kind="seed run",
        order=best[0] if best else None,
        ascending=study.direction == "minimize",
        metrics=[*best, *([headline] if headline else []), "wall_s"],
        parameters=[*parameters, "seed"],
    )
    return {f"{SAVED_VIEW}{TRIALS}": trials, f"{SAVED_VIEW}{SEED_RUNS}": seeds}


def _view(
    name: str, *, kind: str, order: str | None, ascending: bool, metrics: list[str], parameters: list[str]
) -> str:
    scores = [f"metrics.`{metric}`" for metric in metrics]
    widths = {f"metrics.`{name}`": COUNT_PX if name == "n" else METRIC_PX for name in metrics}
    options = [f"params.`{parameter}`" for parameter in parameters]
    state: dict[str, Any] = {
        "searchFilter": f"tags.kind = '{kind}'",
        "orderByKey": f"metrics.`{order}`" if order else "attributes.start_time",
        "orderByAsc": ascending if order else True,
        "selectedColumns": [*scores, *options],
        "columnOrder": [NAME, *scores, *options, CREATED, DURATION],
        "columnWidths": {NAME: NAME_PX} | widths | dict.fromkeys(options, PARAMETER_PX),
    }
    return json.dumps({"name": name, "createdAt": MADE, "updatedAt": MADE, "state": json.dumps(state)})


def trials_link(base: str, experiment: str, *, has_view: bool = True) -> str:
    """The address that shows the trials of a study in the Model-training view, with their columns chosen.

    Args:
        base: where MLflow answers, such as `http://127.0.0.1:5000`.
        experiment: id.
        has_view: whether the experiment has our views; the UI refuses the key of one that is not there.
    """
    view = f"&viewStateShareKey={TRIALS}" if has_view else ""
    return f"{base}/#/experiments/{experiment}/runs?workflowType=machine_learning{view}"


def run_link(base: str, experiment: str, run: str) -> str:
    """The address of one run."""
    return f"{base}/#/experiments/{experiment}/runs/{run}?workflowType=machine_learning"
