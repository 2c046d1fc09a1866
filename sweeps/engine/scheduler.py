"""Seed runs on their way through the workers: in groups, followed, proven, collected."""

import math
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from errno import ENOSPC
from pathlib import Path
from typing import Any

from resnet_tl.config import TrialConfig
from resnet_tl.data.views import finite_views
from resnet_tl.errors import UserError
from resnet_tl.features.store import Stored, stored
from resnet_tl.files import is_full
from resnet_tl.freezing import head_phase, is_head_only, phases
from resnet_tl.heartbeat import Stopped
from resnet_tl.result import Epoch, FitResult
from resnet_tl.training.member import Member, common_beginning, head_group
from sweeps.definition.space import describe
from sweeps.engine.disk_room import DiskRoom, disk_full
from sweeps.engine.display import Display
from sweeps.engine.failures import cause_of
from sweeps.engine.prepared_study import PreparedStudy
from sweeps.execution.executor import Job, Running, WorkerDied
from sweeps.execution.tasks import Check, Train
from sweeps.planning.feature_reuse import Reuse
from sweeps.planning.grouping import ALONE, Company, Todo, take
from sweeps.planning.pace import Pace, shape_of
from sweeps.records import Cause, RunState, SeedRun, TrialRecord, cause_told
from sweeps.storage.ledger import now
from sweeps.storage.network_store import NetworkStore
from sweeps.tracking.outbox import Outbox

SHOW_AFTER_S = 5.0
"""Seconds after which the epochs of a job are shown by the tracker while it runs; shorter ones are sent once, whole."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """What a worker is at: one seed run, or heads side by side; or the check that must precede them."""

    runs: tuple[Todo, ...]
    train: Train
    is_check: bool
    started: str

    @property
    def key(self) -> Path:
        """Tells it apart from all that runs beside it."""
        folder = self.train.runs[0].folder
        assert folder is not None
        return folder / "check" if self.is_check else folder


class Scheduler:
    """Hands out seed runs and takes in what they say; `Callbacks` of `run_all`.

    Args:
        reuse: what is stored of frozen prefixes.
        num_slots: workers.
        work: folder for what runs keep while they go on.
        room: asked before anything is trained.
        todo: seed runs that wait; more may be added while it runs.
        ask: adds seed runs of a newly proposed trial, if there is one; False when there is none, or none yet.
        write: keeps seed runs that have ended.
        pace: told how long everything takes.
        is_ending: whether nothing more is to begin.
    """

    def __init__(
        self,
        study: PreparedStudy,
        reuse: Reuse,
        *,
        num_slots: int,
        work: Path,
        networks: NetworkStore,
        room: DiskRoom,
        commit: str | None,
        todo: deque[Todo],
        ask: Callable[[], bool],
        write: Callable[[Sequence[tuple[TrialRecord, SeedRun]]], None],
        outbox: Outbox,
        display: Display,
        pace: Pace,
        is_ending: Callable[[], bool],
    ) -> None:
        self._study, self._reuse, self._num_slots = study, reuse, num_slots
        self._metric = study.study.metric
        self._work, self._networks, self._room, self._commit = work, networks, room, commit
        self._todo, self._ask, self._write = todo, ask, write
        self._outbox, self._display, self._pace, self._is_ending = outbox, display, pace, is_ending
        self._groups: deque[list[Todo]] = deque()
        self._proven: set[Stored] = set()
        self._checking: set[Stored] = set()
        self._met: dict[Path, dict[int, list[Epoch]]] = {}
        """Epochs that running jobs have reported, by the number of the run within the job."""
        self._shown: set[Path] = set()
        self._running, self._most_running = 0, num_slots
        """Jobs, and how many may run at a time: fewer once memory was short."""
        self.ran = 0
        """Seed runs that ended, in whichever state."""

    # -- handing out --------------------------------------------------------------------------------------------------

    def next_job(self) -> Job[Work] | None:
        """See `Callbacks`."""
        if self._is_ending() or self._running >= self._most_running:
            return None
        group = self._next_group()
        if group is None:
            return None
        self._running += 1
        self._room.require(item.trial.config for item in group)
        train = self._train(group)
        for part in train.phases():
            if part.features is not None and part.features not in self._proven:
                # nothing is trained on stored features before they are proven
                self._groups.appendleft(group)
                self._checking.add(part.features)
                check = Work(runs=tuple(group), train=part, is_check=True, started=now())
                return Job(item=check, task=Check(train=part))
        return Job(item=Work(runs=tuple(group), train=train, is_check=False, started=now()), task=train)

    def _next_group(self) -> list[Todo] | None:
        """The next group that may start; None while there is none."""
        while True:
            for number, group in enumerate(self._groups):
                if self._checking.isdisjoint(map(self._features, phases(group[0].trial.config))):
                    del self._groups[number]
                    return group
            if self._todo:
                device = self._study.environment.device
                self._groups.extend(
                    take(self._todo, company_of=self._company_of, device=device, workers=self._num_slots)
                )
            elif not self._ask():  # a proposed trial may be taken over whole from another study
                return None

    def _train(self, group: Sequence[Todo]) -> Train:
        config = group[0].trial.config
        first = head_phase(config)
        return Train(
            runs=tuple(
                Member(
                    trial=self._study.start_from(item.trial.config),
                    seed=item.seed,
                    folder=folder_of(self._work, item.trial.fingerprint, item.seed),
                    until=item.until,
                )
                for item in group
            ),
            data=self._study.data_of(config),
            environment=self._study.environment,
            features=self._features(config),
            head_features=None if first is None else self._features(first),
        )

    def _features(self, config: TrialConfig) -> Stored | None:
        if not is_stored(self._study, self._reuse, config):
            return None
        prefix, views = self._study.prefix(config), finite_views(config.augment)
        assert prefix is not None
        assert views is not None
        return stored(prefix, views, self._study.cache)

    def _company_of(self, config: TrialConfig) -> Company | None:
        return company_of(self._study, self._reuse, config)

    # -- taking in ----------------------------------------------------------------------------------------------------

    def follow(self, running: Running[Work], news: Sequence[tuple[int, Epoch]], share: float) -> None:
        """Shows how far a job is; on the tracker too, if it takes long enough for somebody to look."""
        work = running.job.item
        if work.is_check:
            return
        met = self._met.setdefault(work.key, {})
        for number, epoch in news:
            met.setdefault(number, []).append(epoch)
        if running.spent_s > SHOW_AFTER_S and (news or work.key not in self._shown):
            self._shown.add(work.key)
            for number in range(1) if len(work.runs) == 1 else sorted({number for number, _ in news}):
                item = work.runs[number]
                self._outbox.epochs(item.trial, item.seed, tuple(met.get(number, ())))
        config = work.runs[0].trial.config
        every = [epoch for epochs in met.values() for epoch in epochs]
        if len(every) > config.head_epochs:  # the head alone takes no time
            seconds = math.fsum(epoch.wall_s for epoch in every)
            self._pace.follow(work.key, shape_of(config), epochs=len(every), seconds=seconds)
        alone = len(work.runs) == 1 and not self._study.data.folds  # else it is not known whose epoch it is
        done = max((len(epochs) for epochs in met.values()), default=0) + (share if alone else 0)
        note = (
            f"{self._study.data.folds} fits" if self._study.data.folds else "starting"
        )  # whose epochs come at the end
        if met and len(work.runs) == 1:
            note = f"{self._metric} {met[0][-1].metrics[self._metric]:.4f}"
        elif met:
            is_head = is_head_only(work.runs[0].trial.config, self._study.data.channels)
            note = f"{len(work.runs)} heads side by side" if is_head else f"{len(work.runs)} ends of one training"
        ends = [(item.trial.config.num_epochs, item.until) for item in work.runs]
        most = max(min(end, until or end) for end, until in ends)
        self._display.running(work.key, _name(work.runs), min(done, most), most, note)

    def done(self, running: Running[Work], result: Any) -> None:
        """Writes down what a job says."""
        self._running -= 1
        work = running.job.item
        if work.is_check:
            self._judge(work, result)
            return
        results: list[FitResult] = result
        left = [(folder_of(self._work, i.trial.fingerprint, i.seed), i.trial.fingerprint, i.seed) for i in work.runs]
        networks = self._networks.adopt(left)
        rows = [self._row(work, *each) for each in zip(work.runs, results, networks, strict=True)]
        self._end(running, rows)
        for told in results:
            if told.unsaved:
                raise disk_full(OSError(ENOSPC, "", told.unsaved), self._study.out)

    def lost(self, running: Running[Work], error: WorkerDied) -> None:
        """Tries again: once more, then the members of a group one by one."""
        self._running -= 1
        work = running.job.item
        if work.is_check:
            self._without_proof(work, error)
            return
        attempt = work.runs[0].attempt + 1
        if attempt == 1 or len(work.runs) > 1:
            # killed from outside, or memory was short for a moment; it goes on from its last saved epoch
            self._forget(work)
            fewer = self._fewer() if cause_of(error) == Cause.OUT_OF_MEMORY else ""
            how = "once more" if attempt == 1 else "one by one"
            self._display.say(f"{_name(work.runs)}: {error}; trying {how}{fewer}")
            self._todo.extendleft(replace(item, attempt=attempt) for item in reversed(work.runs))
            return
        self._end(running, [self._failed(running, work.runs[0], str(error), cause_of(error))])

    def _fewer(self) -> str:
        """From now on half as many jobs run at a time as when memory was short; after one that ran alone, as many."""
        if self._running == 0:
            return ""
        self._most_running = max(1, min(self._most_running, self._running + 1) // 2)
        return f", from now on with {self._most_running} at a time"

    def failed(self, running: Running[Work], error: Exception) -> None:
        """Whatever a seed run raises fails that seed run, visibly; memory may only have been short for a moment."""
        self._running -= 1
        work, cause = running.job.item, cause_of(error)
        if isinstance(error, Stopped):  # it goes on from there at the next start
            self._forget(work)
            return
        if is_full(error):
            raise disk_full(error, self._study.out) from error
        if work.is_check:
            if isinstance(error, UserError):
                raise error
            self._without_proof(work, error)
            return
        if len(work.runs) > 1:
            self._forget(work)
            fewer = self._fewer() if cause == Cause.OUT_OF_MEMORY else ""
            self._display.say(f"{_name(work.runs)}: {type(error).__name__}: {error}; trying one by one{fewer}")
            self._todo.extendleft(replace(item, attempt=ALONE) for item in reversed(work.runs))
            return
        item = work.runs[0]
        if cause == Cause.OUT_OF_MEMORY and not item.was_short:
            self._forget(work)
            self._display.say(f"{_name(work.runs)}: out of memory; trying once more{self._fewer()}")
            self._todo.appendleft(replace(item, was_short=True))
            return
        reason = str(error) if isinstance(error, UserError) else "".join(traceback.format_exception(error)).strip()
        if cause == Cause.OUT_OF_MEMORY and self._running == 0:
            self._most_running = (
                self._num_slots
            )  # it never fits, whatever runs beside it: others are not to wait for it
        self._end(running, [self._failed(running, item, reason, cause)])

    def _forget(self, work: Work) -> None:
        self._pace.forget(work.key)
        self._display.drop(work.key)
        self._met.pop(work.key, None)
        self._shown.discard(work.key)

    def _end(self, running: Running[Work], rows: Sequence[SeedRun]) -> None:
        work = running.job.item
        self._forget(work)
        self.ran += len(rows)
        self._write([(item.trial, row) for item, row in zip(work.runs, rows, strict=True)])
        for item, row in zip(work.runs, rows, strict=True):
            name = f"trial {item.trial.number} seed {item.seed} ({describe(item.trial.params)})"
            if row.state == RunState.COMPLETE:
                value = row.metrics[self._metric]
                said = f"{self._metric} {value:.4f} at epoch {row.best_epoch}, {_seconds(row.wall_s)}"
            elif row.state == RunState.PAUSED:
                done, value = len(row.history or ()), row.metrics[self._metric]
                said = f"{self._metric} {value:.4f} after epoch {done} of {row.max_epoch}"
            else:
                said = f"{row.state}{cause_told(row)}: {(row.reason or '').splitlines()[-1]}"
            self._display.finished(work.key, f"{name}: {said}", counts=row.state.is_result)
            if row.state.is_result:
                self._pace.learn(shape_of(item.trial.config), epochs=len(row.history or ()), seconds=row.wall_s)

    def _row(self, work: Work, item: Todo, result: FitResult, network: str | None) -> SeedRun:
        return SeedRun(
            study=self._study.study.name,
            fingerprint=item.trial.fingerprint,
            seed=item.seed,
            state=RunState(result.state),
            max_epoch=result.max_epoch,
            best_epoch=result.best_epoch,
            metrics=result.metrics,
            wall_s=result.wall_s,
            reason=result.reason,
            started=work.started,
            finished=now(),
            commit=self._commit,
            network=network if result.state == "complete" else None,
            compact=result.compact or None,
            history=tuple(result.history),
        )

    def _failed(self, running: Running[Work], item: Todo, reason: str, cause: Cause) -> SeedRun:
        return SeedRun(
            study=self._study.study.name,
            fingerprint=item.trial.fingerprint,
            seed=item.seed,
            state=RunState.FAILED,
            max_epoch=item.trial.config.num_epochs,
            best_epoch=None,
            metrics={},
            wall_s=running.spent_s,
            reason=reason,
            cause=cause,
            started=running.job.item.started,
            finished=now(),
            commit=self._commit,
        )

    # -- what is computed once ----------------------------------------------------------------------------------------

    def _judge(self, check: Work, difference: str | None) -> None:
        """Ends the study where stored features do not train the very same weights.

        Raises:
            UserError: they do not.
        """
        features = check.train.features
        assert features is not None
        self._checking.discard(features)
        if difference is not None:
            raise UserError(
                f"Training on the stored outputs of {features.prefix.describe()} must give the same bits as computing "
                f"them each time, but they differ here: {difference}. Nothing was trained on them. Run with "
                "run.reuse=off, which computes them each time, and please report this machine."
            )
        self._proven.add(features)

    def _without_proof(self, check: Work, error: Exception) -> None:
        """Memory was short, say: the seed runs are tried without stored features, and fail if they must."""
        features = check.train.features
        assert features is not None
        self._checking.discard(features)
        self._display.say(
            f"The check of what is stored of {features.prefix.describe()} could not be made "
            f"({type(error).__name__}: {error}); it is computed each time."
        )
        self._reuse = self._reuse.without(features.prefix)
        self._todo.extendleft(item for group in reversed(self._groups) for item in reversed(group))
        self._groups.clear()


def is_stored(study: PreparedStudy, reuse: Reuse, config: TrialConfig) -> bool:
    """Whether a trial is trained on stored outputs of its frozen prefix."""
    decision, views = reuse.of(study.prefix(config)), finite_views(config.augment)
    return decision is not None and decision.reuse and views is not None and set(views) <= set(decision.views)


def company_of(study: PreparedStudy, reuse: Reuse, config: TrialConfig) -> Company | None:
    """Heads on the same stored features are trained side by side, networks with a common beginning in turn."""
    if not is_head_only(config, study.data.channels):
        # folds save nothing between
        beginning = None if study.data.folds else common_beginning(config)
        return None if beginning is None else Company(name=beginning, in_turn=True)
    if not is_stored(study, reuse, config):
        return None
    # they share batches too, which the balance of the classes decides
    return Company(name=f"{study.data_of(config).fingerprint}/{head_group(config)}")


def folder_of(work: Path, fingerprint: str, seed: int) -> Path:
    """Where a seed run keeps its training state, and what it leaves for the driver to take over."""
    return work / f"{fingerprint}-{seed}"


def _name(runs: Sequence[Todo]) -> str:
    if len(runs) == 1:
        return f"trial {runs[0].trial.number} seed {runs[0].seed}"
    numbers = [item.trial.number for item in runs]
    return f"{len(runs)} seed runs of trials {min(numbers)} to {max(numbers)}"


def _seconds(wall_s: float) -> str:
    return f"{wall_s:.1f} s" if wall_s >= 1 else f"{1000 * wall_s:.0f} ms"
