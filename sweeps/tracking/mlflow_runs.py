"""How one run is written through MLflow's client, whatever it is a run of."""

import csv
import datetime
import io
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnet_tl.config import TrialConfig
from resnet_tl.files import link_folder
from resnet_tl.result import Epoch
from sweeps.records import SeedRun
from sweeps.tracking.mlflow_files import local_path

MOST_METRICS = 1000
"""MLflow takes no more in one batch."""


@dataclass(slots=True)
class KnownRun:
    """A run as MLflow has it."""

    run_id: str
    artifact_uri: str
    last_step: int = 0
    """The last epoch whose metrics are there."""
    status: str = "RUNNING"
    described: bool = True
    """Whether its parameters are there; a kill may come between a run's making and them."""
    has_finals: bool = False
    """Of a seed run or stage: whether the final scores are there."""
    num_seeds: int = 0
    """Of a trial: how many seed runs its final scores are the mean of."""


def known_run(found: Any) -> KnownRun:
    """What an earlier start has written of a run that MLflow found."""
    return KnownRun(
        run_id=found.info.run_id,
        artifact_uri=found.info.artifact_uri,
        status=found.info.status,
        described=bool(found.data.params),
    )


def last_step_of(client: Any, found: Any) -> int:
    """The last epoch whose metrics an earlier start has logged; 0 where there is none."""
    if "val/loss" not in found.data.metrics:
        return 0
    return max(int(metric.step) for metric in client.get_metric_history(found.info.run_id, "val/loss"))


def search(client: Any, experiment: str, query: str, view: int = 1) -> list[Any]:
    """All runs that a query finds.

    Args:
        view: MLflow's `ViewType`; by default without those that people removed in the browser.
    """
    runs, token = [], None
    while True:
        page = client.search_runs([experiment], query, view, max_results=1000, page_token=token)
        runs += list(page)
        token = page.token
        if not token:
            return runs


def describe_run(client: Any, run: KnownRun, params: Mapping[str, str], images: Any = None) -> None:
    """Logs the parameters, if they are not there.

    Args:
        images: what it trains on, as MLflow's input; logged before, so that a run with parameters has it.
    """
    if not run.described:
        from mlflow.entities import Param

        if images is not None:
            client.log_inputs(run.run_id, datasets=[images])
        client.log_batch(run.run_id, params=[Param(key, value) for key, value in params.items()])
        run.described = True


def log_epochs(
    client: Any, run: KnownRun, epochs: Sequence[Epoch], extra: Sequence[Any] = (), tags: Sequence[Any] = ()
) -> None:
    """Logs the epochs that are not there yet, whole ones in each batch: a second point would bend the curve.

    Args:
        extra: metrics that come with the last batch.
        tags: likewise.
    """
    from mlflow.entities import Metric

    stamp = int(time.time() * 1000)
    batch: list[Any] = []
    for epoch in epochs:
        if epoch.epoch <= run.last_step:
            continue
        points = [Metric(name, value, stamp, epoch.epoch) for name, value in epoch.metrics.items()]
        points.append(Metric("lr", epoch.lr, stamp, epoch.epoch))
        if len(batch) + len(points) + len(extra) + len(tags) > MOST_METRICS:
            client.log_batch(run.run_id, metrics=batch)
            batch = []
        batch += points
    if batch or extra or tags:
        client.log_batch(run.run_id, metrics=[*batch, *extra], tags=tags)
    run.last_step = max([run.last_step, *(epoch.epoch for epoch in epochs)])


def put_checkpoint(client: Any, run_id: str, artifact_uri: str, network: Path) -> None:
    """Puts a network where MLflow looks for it: a link or copy in a folder of this machine, or a copy on a server."""
    local = local_path(artifact_uri)
    if local is None:
        client.log_artifacts(run_id, str(network), "checkpoint")
    else:
        link_folder(network, local / "checkpoint")


def final_scores(metrics: Mapping[str, float], wall_s: float | None) -> Mapping[str, float]:
    """The scores of the selected network, logged at step 0: the UI draws a single value as a bar."""
    every = dict(metrics) | ({} if wall_s is None else {"wall_s": wall_s})
    return {(f"best/{name}" if name.startswith(("train/", "val/")) else name): value for name, value in every.items()}


def params_of(config: TrialConfig, seed: int | None) -> dict[str, str]:
    """The parameters of a run: all of its configuration, and the seed where it has one."""
    params = {key: str(value) for key, value in config.model_dump(mode="json").items()}
    return params | ({"seed": str(seed)} if seed is not None else {})


def seed_table(rows: Sequence[SeedRun]) -> str:
    """The seed runs of a trial as CSV, which MLflow's UI shows as a table."""
    scores = sorted({name for row in rows for name in row.metrics})
    text = io.StringIO()
    lines = csv.writer(text)
    lines.writerow(["seed", "state", "best_epoch", *scores, "wall_s"])
    for row in sorted(rows, key=lambda row: row.seed):
        values = [row.metrics.get(name) for name in scores]
        lines.writerow([row.seed, row.state, row.best_epoch, *values, row.wall_s])
    return text.getvalue()


def milliseconds(stamp: str) -> int:
    """An ISO time as MLflow stores it."""
    return int(datetime.datetime.fromisoformat(stamp).timestamp() * 1000)
