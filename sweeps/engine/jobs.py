"""Seed runs on their way through the workers: in groups, followed, proven, collected."""

import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from resnet_tl.config import TrialConfig
from resnet_tl.data.views import finite_views
from resnet_tl.errors import UserError
from resnet_tl.features.store import Stored, stored
from resnet_tl.freezing import is_head_only
from resnet_tl.result import FitResult
from resnet_tl.training.member import Member, head_group
from sweeps.definition.plan import DONE, Trial, describe
from sweeps.engine.batch import ALONE, Todo, take
from sweeps.engine.execute import POLL_S, LocalExecutor, WorkerDied, answer
from sweeps.engine.interrupt import Interrupt
from sweeps.engine.progress import Display
from sweeps.engine.record import Recorder
from sweeps.engine.reuse import Reuse
from sweeps.engine.session import Session
from sweeps.engine.study import Study
from sweeps.engine.work import Job, read_progress, run_check, run_job
from sweeps.ledger import SeedRunRow, now

SHOW_AFTER_S = 5.0
"""Seconds after which the epochs of a job are shown in MLflow while it runs; shorter ones are written once, whole."""


def folder_of(work: Path, fingerprint: str, seed: int) -> Path:
    """Where a seed run keeps its training state and its network until MLflow has them."""
    return work / f"{fingerprint}-{seed}"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Running:
    """What a worker is at: one seed run, or heads side by side."""

    runs: tuple[Todo, ...]
    job: Job
    started: str
    clock: float


class Jobs:
    """Hands out seed runs and takes in what they say.

    Args:
        reuse: what is stored of frozen fronts.
        work: folder for what runs keep while they go on.
        todo: seed runs that wait; more may be added while it runs.
        ask: adds seed runs of a newly proposed trial, if there is one; False when there is none, or none yet.
        write: keeps finished seed runs.
    """

    def __init__(
        self,
        session: Session,
        reuse: Reuse,
        *,
        executor: LocalExecutor,
        work: Path,
        commit: str | None,
        todo: deque[Todo],
        ask: Callable[[], bool],
        write: Callable[[Sequence[tuple[Trial, SeedRunRow]]], None],
        optuna: Study,
        recorder: Recorder,
        display: Display,
        interrupt: Interrupt,
    ) -> None:
        self.session, self.study, self.reuse, self.executor = session, session.study, reuse, executor
        self.work, self.commit, self.todo, self.ask, self.write = work, commit, todo, ask, write
        self.optuna, self.recorder, self.display, self.interrupt = optuna, recorder, display, interrupt
        self.shown: dict[Path | None, int] = {}
        self.proven: set[Stored] = set()
        self.groups: deque[list[Todo]] = deque()
        self.ran = 0

    def run(self, devices: list[str]) -> None:
        """Keeps every device busy until nothing is left to do."""
        free = list(reversed(devices))
        running: dict[Future[Any], _Running] = {}
        checks: dict[Future[Any], _Running] = {}
        while True:
            while free and (group := self._next(len(devices), {job.job.features for job in checks.values()})):
                job = self._start(group, free.pop())
                if job.job.features is None or job.job.features in self.proven:
                    running[self._submit(job)] = job
                else:  # nothing is trained on stored features before they are proven
                    self.groups.appendleft(group)
                    checks[self._submit_check(job)] = job
            self.interrupt.check()
            if not running and not checks:
                break
            finished, _ = wait([*running, *checks], timeout=POLL_S, return_when=FIRST_COMPLETED)
            for future in finished:
                if future in running:
                    job = running.pop(future)
                    free.append(job.job.device)
                    self._collect(job, future)
            for future in finished:
                if future in checks:
                    job = checks.pop(future)
                    free.append(job.job.device)
                    self._judge(job, future)
            for job in running.values():
                self._follow(job)

    def _next(self, workers: int, checking: set[Stored | None]) -> list[Todo] | None:
        """The next group that may start; None while there is none."""
        while True:
            for number, group in enumerate(self.groups):
                features = self._features(group[0].trial.config)
                if features is None or features not in checking:
                    del self.groups[number]
                    return group
            if self.todo:
                self.groups.extend(self._take(workers))
            elif not self.ask():  # a proposed trial may be taken over whole from another study
                return None

    def _take(self, workers: int) -> list[list[Todo]]:
        """The next seed runs, in groups that go to a worker together."""
        kind = self.session.environment.device
        return take(self.todo, group_of=self._group_of, device=kind, workers=workers)

    def _start(self, runs: Sequence[Todo], device: str) -> _Running:
        folder = folder_of(self.work, runs[0].trial.fingerprint, runs[0].seed)
        job = Job(
            runs=tuple(
                Member(
                    trial=self.session.start_from(item.trial.config),
                    seed=item.seed,
                    folder=folder_of(self.work, item.trial.fingerprint, item.seed),
                )
                for item in runs
            ),
            data=self.session.data,
            environment=self.session.environment,
            device=device,
            features=self._features(runs[0].trial.config),
            progress=str(folder / "progress.jsonl"),
        )
        return _Running(runs=tuple(runs), job=job, started=now(), clock=time.monotonic())

    def _submit(self, job: _Running) -> "Future[Any]":
        if len(job.runs) == 1:  # heads side by side are done before anybody could look
            self.optuna.begin(job.runs[0].trial)
        Path(job.job.progress).unlink(missing_ok=True)
        return self.executor.submit(run_job, job.job)

    def _follow(self, job: _Running) -> None:
        """Shows how far a job is; in MLflow too, if it takes long enough for somebody to look."""
        met = read_progress(Path(job.job.progress))
        if time.monotonic() - job.clock > SHOW_AFTER_S:
            if len(job.runs) == 1 and job.job.runs[0].folder not in self.shown:
                self.shown[job.job.runs[0].folder] = 0
                self.recorder.started(job.runs[0].trial, job.runs[0].seed)
            for number, epochs in met.items():
                item = job.runs[number]
                key = job.job.runs[number].folder
                if len(epochs) > self.shown.get(key, 0):
                    self.shown[key] = len(epochs)
                    self.recorder.epochs(item.trial, item.seed, epochs)
        done = max((len(epochs) for epochs in met.values()), default=0)
        note = "starting"
        if met and len(job.runs) == 1:
            note = f"{self.study.metric} {met[0][-1].metrics[self.study.metric]:.4f}"
        elif met:
            note = f"{len(job.runs)} heads side by side"
        most = max(item.trial.config.epochs for item in job.runs)
        self.display.running(job.job.progress, _name(job.runs), done, most, note)

    def _collect(self, job: _Running, future: "Future[Any]") -> None:
        """Writes down what a finished job says."""
        for run in job.job.runs:
            self.shown.pop(run.folder, None)
        try:
            results: list[FitResult] = answer(future)
            rows = [self._row(job, item, result) for item, result in zip(job.runs, results, strict=True)]
        except WorkerDied as error:
            attempt = job.runs[0].attempt + 1
            if attempt == 1 or len(job.runs) > 1:
                # killed from outside, or memory was short for a moment; it goes on from its last saved epoch
                self.display.say(f"{_name(job.runs)}: {error}; trying {'once more' if attempt == 1 else 'one by one'}")
                self.todo.extendleft(replace(item, attempt=attempt) for item in reversed(job.runs))
                return
            rows = [self._failed(job, job.runs[0], str(error))]
        except Exception as error:  # whatever a seed run raises fails that seed run, visibly
            if len(job.runs) > 1:
                self.display.say(f"{_name(job.runs)}: {type(error).__name__}: {error}; trying one by one")
                self.todo.extendleft(replace(item, attempt=ALONE) for item in reversed(job.runs))
                return
            reason = str(error) if isinstance(error, UserError) else "".join(traceback.format_exception(error)).strip()
            rows = [self._failed(job, job.runs[0], reason)]
        self.ran += len(rows)
        self.write([(item.trial, row) for item, row in zip(job.runs, rows, strict=True)])
        spent = (time.monotonic() - job.clock) / len(rows)
        for item, row in zip(job.runs, rows, strict=True):
            name = f"trial {item.trial.number} seed {item.seed} ({describe(item.trial.params)})"
            if row.state == "complete":
                value = row.metrics[self.study.metric]
                said = f"{self.study.metric} {value:.4f} at epoch {row.best_epoch}, {_seconds(row.wall_s)}"
            else:
                said = f"{row.state}: {(row.reason or '').splitlines()[-1]}"
            self.display.finished(job.job.progress, f"{name}: {said}", spent, counts=row.state in DONE)

    def _row(self, job: _Running, item: Todo, result: FitResult) -> SeedRunRow:
        folder = folder_of(self.work, item.trial.fingerprint, item.seed)
        return SeedRunRow(
            study=self.study.name,
            fingerprint=item.trial.fingerprint,
            seed=item.seed,
            state=result.state,
            max_epoch=result.max_epoch,
            best_epoch=result.best_epoch,
            metrics=result.metrics,
            wall_s=result.wall_s,
            reason=result.reason,
            started=job.started,
            finished=now(),
            commit=self.commit,
            checkpoint=str(folder / "checkpoint") if result.state == "complete" else None,
            confusion=result.confusion,
            reliability=result.reliability,
            history=[asdict(epoch) for epoch in result.history],
        )

    def _failed(self, job: _Running, item: Todo, reason: str) -> SeedRunRow:
        return SeedRunRow(
            study=self.study.name,
            fingerprint=item.trial.fingerprint,
            seed=item.seed,
            state="failed",
            max_epoch=item.trial.config.epochs,
            best_epoch=None,
            metrics={},
            wall_s=time.monotonic() - job.clock,
            reason=reason,
            started=job.started,
            finished=now(),
            commit=self.commit,
        )

    # -- what is computed once ----------------------------------------------------------------------------------------

    def _features(self, config: TrialConfig) -> Stored | None:
        decision = self.reuse.of(self.session.front(config))
        if decision is None or not decision.reuse:
            return None
        views = finite_views(config.augment)
        if views is None or not set(views) <= set(decision.views):
            return None
        return stored(decision.front, views, self.session.cache)

    def _group_of(self, config: TrialConfig) -> str | None:
        """Heads on the same stored features are trained side by side."""
        if not is_head_only(config, self.session.data.channels) or self._features(config) is None:
            return None
        return head_group(config)

    def _submit_check(self, job: _Running) -> "Future[Any]":
        return self.executor.submit(run_check, job.job)

    def _judge(self, job: _Running, future: "Future[Any]") -> None:
        """Ends the study where stored features do not train the very same weights.

        Raises:
            UserError: they do not.
        """
        features = job.job.features
        assert features is not None
        front = features.prefix
        try:
            difference = answer(future)
        except UserError:
            raise
        except Exception as error:  # memory was short, say: the seed runs are tried without, and fail if they must
            self.display.say(
                f"The check of what is stored of {front.describe()} could not be made "
                f"({type(error).__name__}: {error}); it is computed each time."
            )
            self.reuse = self.reuse.without(front)
            self.todo.extendleft(item for group in reversed(self.groups) for item in reversed(group))
            self.groups.clear()
            return
        if difference is not None:
            raise UserError(
                f"Training on the stored outputs of {front.describe()} must give the same bits as computing them each "
                f"time, but they differ here: {difference}. Nothing was trained on them. Run with run.reuse=off, "
                "which computes them each time, and please report this machine."
            )
        self.proven.add(features)


def _name(runs: Sequence[Todo]) -> str:
    if len(runs) == 1:
        return f"trial {runs[0].trial.number} seed {runs[0].seed}"
    numbers = [item.trial.number for item in runs]
    return f"{len(runs)} seed runs of trials {min(numbers)} to {max(numbers)}"


def _seconds(wall_s: float) -> str:
    return f"{wall_s:.1f} s" if wall_s >= 1 else f"{1000 * wall_s:.0f} ms"
