"""Shows every run in MLflow, off the training path.

A thread of the driver writes; what it could not write is in the ledger, marked as not tracked, and is sent when the
study ends or starts again. So a tracker that is slow or down costs no training time and no result.

experiment = study, parent run = trial, child run = seed run.
"""

import datetime
import json
import logging
import queue
import shutil
import threading
import time
import urllib.parse
import urllib.request
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnet_tl.result import Epoch
from sweeps.definition.plan import Trial, describe
from sweeps.engine.bulk import BulkWriter, FinishedRun, run_id_of
from sweeps.engine.tracker import default_uri, make_database
from sweeps.ledger import Ledger, SeedRunRow
from sweeps.statistics.stats import summarise

RETRY_S = 30.0
"""Pause after the tracker failed, before it is tried again."""
MOST_METRICS = 1000
"""MLflow takes no more in one batch."""
MARK_EVERY = 50
"""Seed runs whose arrival in MLflow is written to the ledger in one transaction."""

Key = tuple[str, int]


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Done:
    """A seed run that is in the ledger, from where the rest is read when its turn comes."""

    trial: Trial
    seed: int
    folder: Path | None
    """Of its work, removed once its network is stored; None for one taken over from another study."""
    seeds: tuple[int, ...] = ()
    """All seeds of the trial, when this was the last of them."""


class Recorder:
    """Writes one study to MLflow.

    Args:
        warn: told once when the tracker fails.
    """

    def __init__(
        self,
        *,
        out: Path,
        cache: Path,
        tracking_uri: str | None,
        study: str,
        question: str,
        ledger: Ledger,
        commit: str | None,
        warn: Callable[[str], None],
    ) -> None:
        self._out, self._uri = out, tracking_uri or default_uri(out)
        self._cache = cache
        self._local = tracking_uri is None
        self._study, self._question, self._ledger, self._commit, self._warn = (
            study,
            question,
            ledger,
            commit,
            warn,
        )
        self._events: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._client: Any = None
        self._experiment = ""
        self._children: dict[Key, _Run] = {}
        self._parents: dict[str, _Run] = {}
        self._arrived: dict[Key, tuple[str | None, Path | None]] = {}
        self._bulk: BulkWriter | None = None
        self._waiting: deque[Done] = deque()
        self._always: set[Callable[[], object]] = set()
        self._down_until = 0.0
        self._warned = False
        self.failed = False
        """Whether the tracker has failed at some time, and so may lack something."""
        self._thread = threading.Thread(target=self._work, name="mlflow", daemon=True)
        self._thread.start()
        self._events.put(lambda: None)  # connecting takes seconds, which need not wait for the first result

    # -- called by the driver; none of these waits --------------------------------------------------------------------

    def started(self, trial: Trial, seed: int) -> None:
        """A seed run has begun."""
        self._events.put(lambda: self._ensure_child(trial, seed))

    def epochs(self, trial: Trial, seed: int, epochs: Sequence[Epoch]) -> None:
        """A running seed run has finished epochs."""
        self._events.put(lambda: self._log_epochs(self._ensure_child(trial, seed), epochs))

    def finished(self, done: Sequence[Done]) -> None:
        """Seed runs are in the ledger."""
        self._waiting.extend(done)
        self._events.put(self._finish_waiting)

    def flush(self) -> None:
        """Waits until all that was said so far is written, or has failed."""
        reached = threading.Event()
        self._always.add(reached.set)
        self._events.put(reached.set)
        reached.wait()

    def close(self, missing: Iterable[Done], *, interrupted: bool) -> None:
        """Sends what is left, ends all runs, and waits for it.

        Args:
            missing: gives the seed runs that the ledger holds and MLflow may lack; looked at when the queue is empty.
            interrupted: runs that were going on are marked as killed; the next start takes them up again.
        """

        def catch_up() -> None:
            self._finish_all(list(missing))
            self._end_running("KILLED" if interrupted else "FINISHED")

        self._down_until = 0.0
        self._events.put(catch_up)
        self._events.put(None)
        self._thread.join()
        if self._bulk:
            self._bulk.close()

    # -- the thread ---------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        while (event := self._events.get()) is not None:
            if event in self._always:
                event()
                continue
            if time.monotonic() < self._down_until:
                continue  # the ledger has it
            try:
                if self._client is None:
                    self._connect()
                event()
            except Exception as error:  # whatever a tracker raises, training goes on
                self._down_until = time.monotonic() + RETRY_S
                # what was written before the failure is not known: look again before writing more
                if self._bulk:
                    self._bulk.close()
                self._client = self._bulk = None
                self.failed = True
                self._arrived.clear()
                if not self._warned:
                    self._warned = True
                    self._warn(
                        f"MLflow at {self._uri} fails ({type(error).__name__}: {str(error).splitlines()[:1]}); "
                        "results are kept in the ledger and sent later."
                    )

    def _connect(self) -> None:
        if self._local:
            make_database(self._out, self._cache)
        logging.getLogger("mlflow").setLevel(logging.WARNING)
        logging.getLogger("alembic").setLevel(logging.WARNING)
        from mlflow.tracking import MlflowClient

        client = MlflowClient(self._uri)
        experiment = client.get_experiment_by_name(self._study)
        if experiment is None:
            here = self._uri.startswith("sqlite:")
            place = (self._out / "mlruns" / "artifacts" / self._study).absolute().as_uri() if here else None
            self._experiment = client.create_experiment(
                self._study,
                artifact_location=place,
                tags={"mlflow.note.content": self._question},
            )
        else:
            self._experiment = experiment.experiment_id
            self._look_around(client)
        self._client = client

    def _look_around(self, client: Any) -> None:
        """Finds what an earlier start left, and what it may have left half done."""
        self._parents, self._children = {}, {}
        unsure = {(row.fingerprint, row.seed) for row in self._ledger.seed_runs(self._study) if not row.tracked}
        found = self._search(client, "tags.kind = 'trial'")
        found += self._search(client, "tags.kind = 'seed run' and attributes.status != 'FINISHED'")
        for fingerprint, seed in unsure:
            found += self._search(client, f"tags.fingerprint = '{fingerprint}' and tags.seed = '{seed}'")
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

    def _search(self, client: Any, query: str) -> list[Any]:
        runs, token = [], None
        while True:
            page = client.search_runs([self._experiment], query, max_results=1000, page_token=token)
            runs += list(page)
            token = page.token
            if not token:
                return runs

    def _ensure_parent(self, trial: Trial) -> _Run:
        run = self._parents.get(trial.fingerprint)
        if run is None:
            run = self._create(f"trial {trial.number}: {describe(trial.params)}", trial, {"kind": "trial"}, None)
            self._parents[trial.fingerprint] = run
        self._describe(run, trial, None)
        return run

    def _ensure_child(self, trial: Trial, seed: int, started: str | None = None) -> _Run:
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

    def _describe(self, run: _Run, trial: Trial, seed: int | None) -> None:
        if not run.described:
            from mlflow.entities import Param

            params = [Param(key, value) for key, value in _params(trial, seed).items()]
            self._client.log_batch(run.run_id, params=params)
            run.described = True

    def _tags(self, trial: Trial) -> dict[str, str]:
        return {
            "study": self._study,
            "fingerprint": trial.fingerprint,
            "backbone": trial.config.backbone,
            **({"mlflow.source.git.commit": self._commit} if self._commit else {}),
        }

    def _create(self, name: str, trial: Trial, tags: dict[str, str], started: str | None) -> _Run:
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

    def _finish_waiting(self) -> None:
        """All that has come up to now: together they take less time than one by one."""
        several = []
        while self._waiting:
            several.append(self._waiting.popleft())
        self._finish_all(several)

    def _finish_all(self, several: Sequence[Done]) -> None:
        for first in range(0, len(several), MARK_EVERY):
            quick: list[FinishedRun] = []
            part = several[first : first + MARK_EVERY]
            for done in part:
                row = self._ledger.seed_run(self._study, done.trial.fingerprint, done.seed)
                if self._local and row.state != "failed" and (row.fingerprint, row.seed) not in self._children:
                    quick.append(self._prepare(done.trial, row, done.folder))
                else:
                    self._finish(done.trial, row, done.folder)
            if quick:
                self._bulk_for(part[0].trial).write(quick)
            for done in part:
                if done.seeds:
                    self._finish_trial(done.trial, done.seeds)
            self._mark()

    def _bulk_for(self, trial: Trial) -> BulkWriter:
        if self._bulk is None:
            self._bulk = BulkWriter(self._out / "mlruns" / "mlflow.db", self._ensure_parent(trial).run_id)
        return self._bulk

    def _prepare(self, trial: Trial, row: SeedRunRow, folder: Path | None) -> FinishedRun:
        """A run that MLflow does not know yet, with its files where they belong."""
        parent = self._ensure_parent(trial)
        run_id = run_id_of(self._experiment, trial.fingerprint, row.seed)
        uri = self._bulk_for(trial).artifact_uri(run_id)
        checkpoint = self._store(run_id, uri, row, folder)
        self._arrived[trial.fingerprint, row.seed] = checkpoint, folder
        tags = _state_tags(row) | _child_tags(row.seed, parent) | self._tags(trial)
        stamp = _milliseconds(row.finished)
        points = [
            (name, value, stamp, epoch["epoch"])
            for epoch in row.history or []
            for name, value in (epoch["metrics"] | {"lr": epoch["lr"]}).items()
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

    def _finish(self, trial: Trial, row: SeedRunRow, folder: Path | None) -> None:
        """The same through the client: for a server, and for runs that it knows already."""
        from mlflow.entities import Metric, RunTag

        run = self._ensure_child(trial, row.seed, row.started)
        stamp = _milliseconds(row.finished)
        finals = []
        if row.state != "failed" and not run.has_finals:
            finals = [Metric(name, value, stamp, 0) for name, value in _finals(row).items()]
        tags = [RunTag(key, value) for key, value in _state_tags(row).items()]
        self._log_epochs(run, [Epoch(**epoch) for epoch in row.history or []], finals, tags)
        run.has_finals = row.state != "failed"
        checkpoint = self._store(run.run_id, run.artifact_uri, row, folder)
        run.status = "FAILED" if row.state == "failed" else "FINISHED"
        self._client.set_terminated(run.run_id, run.status, end_time=stamp)
        if row.state != "failed":
            del self._children[trial.fingerprint, row.seed]  # nothing more will be written to it
        self._arrived[trial.fingerprint, row.seed] = checkpoint, folder if row.state != "failed" else None

    def _store(self, run_id: str, artifact_uri: str, row: SeedRunRow, folder: Path | None) -> str | None:
        """Puts the files of a seed run where MLflow looks for them; returns where its network is then."""
        made = folder / "checkpoint" if folder is not None else None
        local = _local_path(artifact_uri)
        if local is None:
            if row.confusion:
                self._client.log_dict(run_id, row.confusion, "confusion.json")
            if made is not None and made.exists():
                self._client.log_artifacts(run_id, str(made), "checkpoint")
                return f"runs:/{run_id}"
            return row.checkpoint
        local.mkdir(parents=True, exist_ok=True)
        if row.confusion:
            (local / "confusion.json").write_text(json.dumps(row.confusion), encoding="utf-8")
        if made is not None and made.exists():
            shutil.rmtree(local / "checkpoint", ignore_errors=True)
            shutil.move(made, local / "checkpoint")
        return str(local / "checkpoint") if made is not None and (local / "checkpoint").exists() else row.checkpoint

    def _mark(self) -> None:
        """Tells the ledger what has arrived; whatever a kill leaves undone before here is done again."""
        self._ledger.mark_tracked(self._study, {key: checkpoint for key, (checkpoint, _) in self._arrived.items()})
        for _, folder in self._arrived.values():
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)
        self._arrived.clear()

    def _finish_trial(self, trial: Trial, seeds: Sequence[int]) -> None:
        from mlflow.entities import Metric

        run = self._ensure_parent(trial)
        stored = self._ledger.seed_runs(self._study, fingerprint=trial.fingerprint)
        rows = [row for row in stored if row.seed in seeds]
        ok = all(row.state == "complete" for row in rows)
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

    def _end_running(self, status: str) -> None:
        for run in self._search(self._client, "attributes.status = 'RUNNING'"):
            self._client.set_terminated(run.info.run_id, status)


def _milliseconds(stamp: str) -> int:
    return int(datetime.datetime.fromisoformat(stamp).timestamp() * 1000)


def _child_name(trial: Trial, seed: int) -> str:
    return f"trial {trial.number} seed {seed}"


def _child_tags(seed: int, parent: _Run) -> dict[str, str]:
    return {"kind": "seed run", "seed": str(seed), "mlflow.parentRunId": parent.run_id}


def _state_tags(row: SeedRunRow) -> dict[str, str]:
    # every tag is written, so that those of a failure do not outlive it; MLflow cuts longer ones without a word
    return {
        "state": row.state,
        "reason": (row.reason or "")[:5000],
        "best_epoch": str(row.best_epoch or ""),
        "reused_from": row.reused_from or "",
    }


def _finals(row: SeedRunRow) -> dict[str, float]:
    """The scores of the selected network, logged at step 0: the UI draws a single value as a bar."""
    return {
        (f"best/{name}" if name.startswith(("train/", "val/")) else name): value
        for name, value in (row.metrics | {"wall_s": row.wall_s}).items()
    }


def _params(trial: Trial, seed: int | None) -> dict[str, str]:
    params = {key: str(value) for key, value in trial.config.model_dump(mode="json").items()}
    return params | ({"seed": str(seed)} if seed is not None else {})


def _local_path(uri: str) -> Path | None:
    """Where artifacts are, if that is a folder of this machine."""
    parsed = urllib.parse.urlparse(uri)
    if parsed.scheme not in ("file", ""):
        return None
    return Path(urllib.request.url2pathname(parsed.path))
