"""MLflow as a tracker: experiment = study, parent run = trial, child run = seed run; pretrain stages beside them."""

import json
import logging
import time
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from resnet_tl.files import discard, write_text
from resnet_tl.result import Epoch
from sweeps.definition.space import describe
from sweeps.records import RunState, SeedRun, StudyRecord, TrialRecord
from sweeps.statistics.stats import summarise
from sweeps.tracking.mlflow_bulk import BulkWriter, FinishedRun, run_id_of
from sweeps.tracking.mlflow_database import ENDED, Place
from sweeps.tracking.mlflow_datasets import dataset_input
from sweeps.tracking.mlflow_files import local_path
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
    seed_table,
)
from sweeps.tracking.mlflow_stages import send_stages
from sweeps.tracking.mlflow_views import SECONDS, view_tags
from sweeps.tracking.tracker import EndedRun, EndedTrial, Key, TrainedStage

MOST_SEARCHES = 100
"""Seed runs that are looked up one by one; of more, all of the study are read."""


class MlflowTracker:
    """Shows one study in MLflow.

    Runs that MLflow does not know yet when they have ended go into our own database many at a time (`mlflow_bulk`); a
    server, and runs that are shown while they go on, are written through MLflow's client.

    Args:
        place: our own database in `run.out`, or a server.
        about: the study.
        commit: of the code that runs.
        say: told what became of a database that is damaged.
    """

    def __init__(self, place: Place, *, about: StudyRecord, commit: str | None, say: Callable[[str], None]) -> None:
        self._place, self._about, self._commit, self._say = place, about, commit, say
        self._study = about.name
        self._client: Any = None
        self._images: Any = None
        self._experiment = ""
        self._children: dict[Key, KnownRun] = {}
        self._parents: dict[str, KnownRun] = {}
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
        views = view_tags(self._about)
        if experiment is None:
            lost = sent
            self._experiment = client.create_experiment(
                self._study,
                artifact_location=self._place.artifacts_of(self._study),
                tags={"mlflow.note.content": self._about.question, **views},
            )
        else:
            self._experiment = experiment.experiment_id
            if experiment.lifecycle_stage == "deleted":  # in the browser; nothing can be written to it as it is
                client.restore_experiment(self._experiment)
            for key, view in views.items():  # a parameter that was added to the space is a column more
                if experiment.tags.get(key) != view:
                    client.set_experiment_tag(self._experiment, key, view)
            lost = self._lacking(client, sent)
            self._look_around(client, unsent | lost)
        self._client, self._images = client, dataset_input(self._about.data)
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
            known = known_run(run)
            if tags.get("kind") == "trial":
                known.num_seeds = int(metrics.get("n", 0))
                self._parents[tags["fingerprint"]] = known
            elif tags.get("kind") == "seed run":
                known.has_finals = "wall_s" in metrics
                known.last_step = last_step_of(client, run)
                self._children[tags["fingerprint"], int(tags["seed"])] = known

    def _search(self, client: Any, query: str, view: int = 1) -> list[Any]:
        return search(client, self._experiment, query, view)

    def stages(self, stages: Sequence[TrainedStage]) -> None:
        """See `Tracker`."""
        send_stages(self._client, self._experiment, self._study, stages)

    # -- while runs go on ---------------------------------------------------------------------------------------------

    def begin(self, trial: TrialRecord, seed: int) -> None:
        """See `Tracker`."""
        self._ensure_child(trial, seed)

    def epochs(self, trial: TrialRecord, seed: int, epochs: Sequence[Epoch]) -> None:
        """See `Tracker`."""
        log_epochs(self._client, self._ensure_child(trial, seed), epochs)

    def _ensure_parent(self, trial: TrialRecord) -> KnownRun:
        run = self._parents.get(trial.fingerprint)
        if run is None:
            # short, since the list has a column for each parameter
            tags = {"kind": "trial", "mlflow.note.content": describe(trial.params)}
            run = self._create(f"trial {trial.number}", trial, tags, None)
            self._parents[trial.fingerprint] = run
        describe_run(self._client, run, params_of(trial.config, None), self._images)
        return run

    def _ensure_child(self, trial: TrialRecord, seed: int, started: str | None = None) -> KnownRun:
        run = self._children.get((trial.fingerprint, seed))
        if run is None:
            tags = _child_tags(seed, self._ensure_parent(trial))
            run = self._create(_child_name(trial, seed), trial, tags, started)
            self._children[trial.fingerprint, seed] = run
        elif run.status not in ("RUNNING", "FINISHED"):
            self._client.update_run(run.run_id, status="RUNNING")
            run.status = "RUNNING"
        describe_run(self._client, run, params_of(trial.config, seed), self._images)
        return run

    def _tags(self, trial: TrialRecord) -> dict[str, str]:
        return {
            "study": self._study,
            "fingerprint": trial.fingerprint,
            "backbone": trial.config.backbone,
            **({"mlflow.source.git.commit": self._commit} if self._commit else {}),
        }

    def _create(self, name: str, trial: TrialRecord, tags: dict[str, str], started: str | None) -> KnownRun:
        run = self._client.create_run(
            self._experiment,
            start_time=milliseconds(started) if started else None,
            tags=tags | self._tags(trial),
            run_name=name,
        )
        return KnownRun(run_id=run.info.run_id, artifact_uri=run.info.artifact_uri, described=False)

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
        stamp = milliseconds(row.finished)
        points = [
            (name, value, stamp, epoch.epoch)
            for epoch in row.history or ()
            for name, value in (epoch.metrics | {"lr": epoch.lr}).items()
        ]
        return FinishedRun(
            run_id=run_id,
            name=_child_name(trial, row.seed),
            status="FINISHED",
            start=milliseconds(row.started),
            end=stamp,
            tags=tags,
            params=params_of(trial.config, row.seed),
            points=points + [(name, value, stamp, 0) for name, value in final_scores(row.metrics, row.wall_s).items()],
        )

    def _finish(self, ended: EndedRun) -> None:
        """The same through the client: for a server, and for runs that it knows already."""
        from mlflow.entities import Metric, RunTag

        trial, row = ended.trial, ended.run
        run = self._ensure_child(trial, row.seed, row.started)
        stamp = milliseconds(row.finished)
        finals = []
        if row.state.is_result and not run.has_finals:
            finals = [Metric(name, value, stamp, 0) for name, value in final_scores(row.metrics, row.wall_s).items()]
        tags = [RunTag(key, value) for key, value in _state_tags(row).items()]
        log_epochs(self._client, run, row.history or (), finals, tags)
        run.has_finals = row.state.is_result
        self._store(run.run_id, run.artifact_uri, ended)
        run.status = "FINISHED" if row.state.is_result else "FAILED"
        self._client.set_terminated(run.run_id, run.status, end_time=stamp)
        if row.state.is_result:
            del self._children[trial.fingerprint, row.seed]  # nothing more will be written to it

    def _store(self, run_id: str, artifact_uri: str, ended: EndedRun) -> None:
        """Puts the files of a seed run where MLflow looks for them."""
        local = local_path(artifact_uri)
        if local is not None:
            local.mkdir(parents=True, exist_ok=True)
        if ended.confusion:
            self._put_text(run_id, artifact_uri, "confusion.json", json.dumps(ended.confusion))
        if ended.network is not None:
            put_checkpoint(self._client, run_id, artifact_uri, ended.network)

    def _put_text(self, run_id: str, artifact_uri: str, name: str, text: str) -> None:
        local = local_path(artifact_uri)
        if local is not None:
            write_text(local / name, text)
        else:
            self._client.log_text(run_id, text, name)

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
            seconds = [row.wall_s for row in rows if row.wall_s is not None]
            if len(seconds) == len(rows):
                metrics.append(Metric(SECONDS, sum(seconds) / len(seconds), stamp, len(rows)))
            metrics.append(Metric("n", len(rows), stamp, len(rows)))
            self._client.log_batch(run.run_id, metrics=metrics)
            run.num_seeds = len(rows)
        self._put_text(run.run_id, run.artifact_uri, "seeds.csv", seed_table(rows))
        spared = all(row.state in (RunState.COMPLETE, RunState.PRUNED) for row in rows)
        run.status = "FINISHED" if spared else "FAILED"
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


def _child_name(trial: TrialRecord, seed: int) -> str:
    return f"trial {trial.number} seed {seed}"


def _child_tags(seed: int, parent: KnownRun) -> dict[str, str]:
    return {"kind": "seed run", "seed": str(seed), "mlflow.parentRunId": parent.run_id}


def _state_tags(row: SeedRun) -> dict[str, str]:
    # every tag is written, so that those of a failure do not outlive it; MLflow cuts longer ones without a word
    return {
        "state": row.state.value,
        "reason": (row.reason or "")[:5000],
        "best_epoch": str(row.best_epoch or ""),
        "reused_from": row.reused_from or "",
    }
