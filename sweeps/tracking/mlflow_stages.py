"""Runs of pretrain stages in the experiment of the study that starts from them: one for each stage and depth.

A study has a few of them, so that they go through MLflow's client everywhere. No ledger knows whether they arrived:
MLflow itself is asked, and the tag `state`, which is written last, tells a run that is whole.
"""

from collections.abc import Sequence
from typing import Any

from sweeps.tracking.mlflow_database import STAGE
from sweeps.tracking.mlflow_runs import (
    KnownRun,
    describe_run,
    final_scores,
    known_run,
    last_step_of,
    log_epochs,
    milliseconds,
    params_of,
    put_checkpoint,
    search,
)
from sweeps.tracking.tracker import TrainedStage


def send_stages(client: Any, experiment: str, study: str, stages: Sequence[TrainedStage]) -> None:
    """Makes the runs that are not there, and completes those that a kill or an error left half done."""
    from mlflow.entities import ViewType

    every = search(client, experiment, f"tags.kind = '{STAGE}'", ViewType.ALL)
    for stage in stages:
        found = [run for run in every if run.data.tags["fingerprint"] == stage.fingerprint]
        if any(_is_whole(run) or run.info.lifecycle_stage == "deleted" for run in found):
            continue  # one that people removed in the browser is to stay removed
        if found:
            run = known_run(found[0])
            run.has_finals = "state" in found[0].data.tags
            run.last_step = last_step_of(client, found[0])
        else:
            run = _create(client, experiment, study, stage)
        _complete(client, run, stage)


def _is_whole(run: Any) -> bool:
    return "state" in run.data.tags and run.info.status == "FINISHED"


def _create(client: Any, experiment: str, study: str, stage: TrainedStage) -> KnownRun:
    tags = {
        "kind": STAGE,
        "study": study,
        "stage": stage.name,
        "fingerprint": stage.fingerprint,
        "backbone": stage.trial.backbone,
        "seed": str(stage.seed),
        "data": stage.source,
        "data_fingerprint": stage.data,
        # no commit: the code that trained it may have been another than that which runs now
    }
    spent_ms = round(1000 * (stage.result.wall_s or 0.0))
    run = client.create_run(
        experiment,
        start_time=milliseconds(stage.result.finished) - spent_ms,
        tags=tags,
        run_name=f"pretrain {stage.name} {stage.trial.backbone}",
    )
    return KnownRun(run_id=run.info.run_id, artifact_uri=run.info.artifact_uri, described=False)


def _complete(client: Any, run: KnownRun, stage: TrainedStage) -> None:
    from mlflow.entities import Metric, RunTag

    result, stamp = stage.result, milliseconds(stage.result.finished)
    if not run.has_finals:
        describe_run(client, run, params_of(stage.trial, stage.seed))
        put_checkpoint(client, run.run_id, run.artifact_uri, stage.network)
        scores = final_scores(result.metrics, result.wall_s)
        finals = [Metric(name, value, stamp, 0) for name, value in scores.items()]
        tags = [RunTag("best_epoch", str(result.best_epoch)), RunTag("state", "complete")]
        log_epochs(client, run, result.history, finals, tags)
    client.set_terminated(run.run_id, "FINISHED", end_time=stamp)
