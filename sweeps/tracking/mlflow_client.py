"""MLflow as a tracker: experiment = study, parent run = trial, child run = seed run."""

import datetime
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from resnet_tl.files import discard, link_folder
from resnet_tl.result import Epoch
from sweeps.definition.space import describe
from sweeps.records import RunState, SeedRun, TrialRecord
from sweeps.statistics.stats import summarise
from sweeps.tracking.mlflow_bulk import BulkWriter, FinishedRun, run_id_of
from sweeps.tracking.mlflow_database import ENDED, Place
from sweeps.tracking.mlflow_files import local_path
from sweeps.tracking.tracker import EndedRun, EndedTrial, Key

MOST_METRICS = 1000
"""MLflow takes no more in one batch."""

MOST_SEARCHES = 100
"""Seed runs that are looked up one by one; of more, all of the study are read."""


@dataclass(slots=True)
class _Run:
    """A run as MLflow has it."""

    run_id: str
    artifact_uri: str
    last_step: int = 0
    """The last epoch whose metrics are there."""
    status: str = "RUNNING"
    described: bool = True
    """Whether its parameters are there; a kill may come between a run's making and them."""
    has_finals: bool = False
    """Of a seed run: whether the final scores are there."""
    num_seeds: int = 0
    """Of a trial: how many seed runs its final scores are the mean of."""


class MlflowTracker:
    """Shows one study in MLflow.

    Runs that MLflow does not know yet when they have ended go into our own database many at a time (`mlflow_bulk`); a
    server, and runs that are shown while they go on, are written through MLflow's client.

    Args:
        place: our own database in `run.out`, or a server.
        commit: of the code that runs.
        say: told what became of a database that is damaged.
    """

    def __init__(
        self, place: Place, *, study: str, question: str, commit: str | None, say: Callable[[str], None]
    ) -> None:
        self._place, self._study, self._question, self._commit, self._say = place, study, question, commit, say
        self._client: Any = None
        self._experiment = ""
        self._children: dict[Key, _Run] = {}
        self._parents: dict[str, _Run] = {}
        self._bulk: BulkWriter | None = None

    # -- getting ready ------------------------------------------------------------------------------------------------

    def connect(self, unsent: AbstractSet[Key], sent: AbstractSet[Key]) -> AbstractSet[Key]:
        """See `Tracker`."""
        self._place.make(self._say)
        logging.getLogger("mlflow").setLevel(logging.WARNING)
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # what it raises, it also prints, whole
        logging.getLogger("alembic").setLevel(logging.WARNING)
        from mlflow.tracking import MlflowClient

        client = MlflowClient(self._place.uri)
        lost: AbstractSet[Key] = set()
        experiment = client.get_experiment_by_name(self._study)
        if experiment is None:
            lost = sent
            self._experiment = client.create_experiment(
                self._study,
                artifact_location=self._place.artifacts_of(self._study),
                tags={"mlflow.note.content": self._question},
            )
        else:
            self._experiment = experiment.experiment_id
            if experiment.lifecycle_stage == "deleted":  # in the browser; nothing can be written to it as it is
                client.restore_experiment(self._experiment)
            lost = self._lacking(client, sent)
            self._look_around(client, unsent | lost)
        self._client = client
        return lost

    def _lacking(self, client: Any, sent: AbstractSet[Key]) -> AbstractSet[Key]:
        if self._place.is_ours:
            return self._place.lacking(self._study, sent)
        from mlflow.entities import ViewType

        # those that people removed in the browser are to stay removed
        found = self._search(client, "tags.kind = 'seed run'", ViewType.ALL) if sent else []
        ended = [run.data.tags for run in found if run.info.status in ENDED]
        return sent - {(tags["fingerprint"], int(tags["seed"])) for tags in ended}

    def _look_around(self, client: Any, unsent: AbstractSet[Key]) -> None:
        """Finds what an earlier start left, and what it may have left half done."""
        self._parents, self._children = {}, {}
        found = self._search(client, "tags.kind = 'trial'")
        found += self._search(client, "tags.kind = 'seed run' and attributes.status != 'FINISHED'")
        if len(unsent) > MOST_SEARCHES:
            every = self._search(client, "tags.kind = 'seed run'")
            found += [run for run in every if (run.data.tags["fingerprint"], int(run.data.tags["seed"])) in unsent]
        else:
            found += [run for key in sorted(unsent) for run in self._search(client, _query(key))]
        for run in found:
            tags, metrics = run.data.tags, run.data.metrics
            known = _Run(
                run_id=run.info.run_id,
                artifact_uri=run.info.artifact_uri,
                status=run.info.status,
                described=bool(run.data.params),
            )
            if tags.get("kind") == "trial":
                known.num_seeds = int(metrics.get("n", 0))
                self._parents[tags["fingerprint"]] = known
            elif tags.get("kind") == "seed run":
                known.has_finals = "wall_s" in metrics
                if "val/loss" in metrics:
                    known.last_step = max(m.step for m in client.get_metric_history(known.run_id, "val/loss"))
                self._children[tags["fingerprint"], int(tags["seed"])] = known

    def _search(self, client: Any, query: str, view: int = 1) -> list[Any]:
        runs, token = [], None
        while True:
            page = client.search_runs([self._experiment], query, view, max_results=1000, page_token=token)
            runs += list(page)
            token = page.token
            if not token:
                return runs

    # -- while runs go on ---------------------------------------------------------------------------------------------

    def begin(self, trial: TrialRecord, seed: int) -> None:
        """See `Tracker`."""
        self._ensure_child(trial, seed)

    def epochs(self, trial: TrialRecord, seed: int, epochs: Sequence[Epoch]) -> None:
        """See `Tracker`."""
        self._log_epochs(self._ensure_child(trial, seed), epochs)

    def _ensure_parent(self, trial: TrialRecord) -> _Run:
        run = self._parents.get(trial.fingerprint)
        if run is None:
            run = self._create(f"trial {trial.number}: {describe(trial.params)}", trial, {"kind": "trial"}, None)
            self._parents[trial.fingerprint] = run
        self._describe(run, trial, None)
        return run

    def _ensure_child(self, trial: TrialRecord, seed: int, started: str | None = None) -> _Run:
        run = self._children.get((trial.fingerprint, seed))
        if run is None:
            tags = _child_tags(seed, self._ensure_parent(trial))
            run = self._create(_child_name(trial, seed), trial, tags, started)
            self._children[trial.fingerprint, seed] = run
        elif run.status not in ("RUNNING", "FINISHED"):
            self._client.update_run(run.run_id, status="RUNNING")
            run.status = "RUNNING"
        self._describe(run, trial, seed)
        return run

    def _describe(self, run: _Run, trial: TrialRecord, seed: int | None) -> None:
        if not run.described:
            from mlflow.entities import Param

            params = [Param(key, value) for key, value in _params(trial, seed).items()]
            self._client.log_batch(run.run_id, params=params)
            run.described = True

    def _tags(self, trial: TrialRecord) -> dict[str, str]:
        return {
            "study": self._study,
            "fingerprint": trial.fingerprint,
            "backbone": trial.config.backbone,
            **({"mlflow.source.git.commit": self._commit} if self._commit else {}),
        }

    def _create(self, name: str, trial: TrialRecord, tags: dict[str, str], started: str | None) -> _Run:
        run = self._client.create_run(
            self._experiment,
            start_time=_milliseconds(started) if started else None,
            tags=tags | self._tags(trial),
            run_name=name,
        )
        return _Run(run_id=run.info.run_id, artifact_uri=run.info.artifact_uri, described=False)

    def _log_epochs(
        self, run: _Run, epochs: Sequence[Epoch], extra: Sequence[Any] = (), tags: Sequence[Any] = ()
    ) -> None:
        """Logs the epochs that are not there yet, whole ones in each batch: a second point would bend the curve."""
        from mlflow.entities import Metric

        stamp = int(time.time() * 1000)
        batch: list[Any] = []
        for epoch in epochs:
            if epoch.epoch <= run.last_step:
                continue
            points = [Metric(name, value, stamp, epoch.epoch) for name, value in epoch.metrics.items()]
            points.append(Metric("lr", epoch.lr, stamp, epoch.epoch))
            if len(batch) + len(points) + len(extra) + len(tags) > MOST_METRICS:
                self._client.log_batch(run.run_id, metrics=batch)
                batch = []
            batch += points
        if batch or extra or tags:
            self._client.log_batch(run.run_id, metrics=[*batch, *extra], tags=tags)
        run.last_step = max([run.last_step, *(epoch.epoch for epoch in epochs)])

    # -- when they have ended -----------------------------------------------------------------------------------------

    def finish(self, runs: Sequence[EndedRun], trials: Sequence[EndedTrial]) -> None:
        """See `Tracker`."""
        quick: list[FinishedRun] = []
        for ended in runs:
            key = ended.run.fingerprint, ended.run.seed
            if self._place.is_ours and ended.run.state.is_result and key not in self._children:
                quick.append(self._prepare(ended))
            else:
                self._finish(ended)
        if quick:
            self._bulk_for(runs[0].trial).write(quick)
        for trial in trials:
            self._finish_trial(trial)

    def _bulk_for(self, trial: TrialRecord) -> BulkWriter:
        if self._bulk is None:
            self._bulk = BulkWriter(self._place.path, self._ensure_parent(trial).run_id)
        return self._bulk

    def _prepare(self, ended: EndedRun) -> FinishedRun:
        """A run that MLflow does not know yet, with its files where they belong."""
        trial, row = ended.trial, ended.run
        parent = self._ensure_parent(trial)
        run_id = run_id_of(self._experiment, trial.fingerprint, row.seed)
        self._store(run_id, self._bulk_for(trial).artifact_uri(run_id), ended)
        tags = _state_tags(row) | _child_tags(row.seed, parent) | self._tags(trial)
        stamp = _milliseconds(row.finished)
        points = [
            (name, value, stamp, epoch.epoch)
            for epoch in row.history or ()
            for name, value in (epoch.metrics | {"lr": epoch.lr}).items()
        ]
        return FinishedRun(
            run_id=run_id,
            name=_child_name(trial, row.seed),
            status="FINISHED",
            start=_milliseconds(row.started),
            end=stamp,
            tags=tags,
            params=_params(trial, row.seed),
            points=points + [(name, value, stamp, 0) for name, value in _finals(row).items()],
        )

    def _finish(self, ended: EndedRun) -> None:
        """The same through the client: for a server, and for runs that it knows already."""
        from mlflow.entities import Metric, RunTag

        trial, row = ended.trial, ended.run
        run = self._ensure_child(trial, row.seed, row.started)
        stamp = _milliseconds(row.finished)
        finals = []
        if row.state.is_result and not run.has_finals:
            finals = [Metric(name, value, stamp, 0) for name, value in _finals(row).items()]
        tags = [RunTag(key, value) for key, value in _state_tags(row).items()]
        self._log_epochs(run, row.history or (), finals, tags)
        run.has_finals = row.state.is_result
        self._store(run.run_id, run.artifact_uri, ended)
        run.status = "FINISHED" if row.state.is_result else "FAILED"
        self._client.set_terminated(run.run_id, run.status, end_time=stamp)
        if row.state.is_result:
            del self._children[trial.fingerprint, row.seed]  # nothing more will be written to it

    def _store(self, run_id: str, artifact_uri: str, ended: EndedRun) -> None:
        """Puts the files of a seed run where MLflow looks for them."""
        local = local_path(artifact_uri)
        if local is None:
            if ended.confusion:
                self._client.log_dict(run_id, dict(ended.confusion), "confusion.json")
            if ended.network is not None:
                self._client.log_artifacts(run_id, str(ended.network), "checkpoint")
            return
        local.mkdir(parents=True, exist_ok=True)
        if ended.confusion:
            (local / "confusion.json").write_text(json.dumps(ended.confusion), encoding="utf-8")
        if ended.network is not None:
            link_folder(ended.network, local / "checkpoint")

    def _finish_trial(self, ended: EndedTrial) -> None:
        from mlflow.entities import Metric

        run, rows = self._ensure_parent(ended.trial), ended.runs
        ok = all(row.state == RunState.COMPLETE for row in rows)
        if ok and run.num_seeds != len(rows):
            stamp, metrics = int(time.time() * 1000), []
            for name in rows[0].metrics:
                summary = summarise([row.metrics[name] for row in rows])
                metrics.append(Metric(name, summary.mean, stamp, summary.n))
                if summary.sd is not None:
                    metrics.append(Metric(f"{name}_sd", summary.sd, stamp, summary.n))
            metrics.append(Metric("n", len(rows), stamp, len(rows)))
            self._client.log_batch(run.run_id, metrics=metrics)
            run.num_seeds = len(rows)
        run.status = "FINISHED" if ok else "FAILED"
        self._client.set_terminated(run.run_id, run.status)

    def drop_networks(self, runs: AbstractSet[Key]) -> None:
        """See `Tracker`."""
        for key in sorted(runs):
            for run in self._search(self._client, _query(key)):
                local = local_path(run.info.artifact_uri)
                if local is not None and (local / "checkpoint").exists():
                    discard(local / "checkpoint")

    def end_open(self, *, killed: bool) -> None:
        """See `Tracker`."""
        for run in self._search(self._client, "attributes.status = 'RUNNING'"):
            self._client.set_terminated(run.info.run_id, "KILLED" if killed else "FINISHED")

    def close(self) -> None:
        """See `Tracker`."""
        if self._bulk:
            self._bulk.close()
        self._client = self._bulk = None


def _query(key: Key) -> str:
    return f"tags.fingerprint = '{key[0]}' and tags.seed = '{key[1]}'"


def _milliseconds(stamp: str) -> int:
    return int(datetime.datetime.fromisoformat(stamp).timestamp() * 1000)


def _child_name(trial: TrialRecord, seed: int) -> str:
    return f"trial {trial.number} seed {seed}"


def _child_tags(seed: int, parent: _Run) -> dict[str, str]:
    return {"kind": "seed run", "seed": str(seed), "mlflow.parentRunId": parent.run_id}


def _state_tags(row: SeedRun) -> dict[str, str]:
    # every tag is written, so that those of a failure do not outlive it; MLflow cuts longer ones without a word
    return {
        "state": row.state.value,
        "reason": (row.reason or "")[:5000],
        "best_epoch": str(row.best_epoch or ""),
        "reused_from": row.reused_from or "",
    }


def _finals(row: SeedRun) -> Mapping[str, float]:
    """The scores of the selected network, logged at step 0: the UI draws a single value as a bar."""
    return {
        (f"best/{name}" if name.startswith(("train/", "val/")) else name): value
        for name, value in (dict(row.metrics) | {"wall_s": row.wall_s}).items()
    }


def _params(trial: TrialRecord, seed: int | None) -> dict[str, str]:
    params = {key: str(value) for key, value in trial.config.model_dump(mode="json").items()}
    return params | ({"seed": str(seed)} if seed is not None else {})
