"""The one process that decides: it asks for trials, hands out seed runs, and writes down what comes back."""

import shutil
import time
import traceback
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from rich.console import Console

from resnet_tl import cache
from resnet_tl.config import TrialConfig
from resnet_tl.data.prepare import verify
from resnet_tl.data.views import finite_views
from resnet_tl.errors import ConfigError, UserError
from resnet_tl.front import Front, head_group, is_head_only
from resnet_tl.options import expand
from resnet_tl.result import FitResult
from resnet_tl.store import Stored, stored
from sweeps.definition.config import Definition
from sweeps.definition.plan import DONE, Trial, describe
from sweeps.engine.batch import ALONE, MOST_HEADS, Todo, take
from sweeps.engine.best import BestNetwork, Scored
from sweeps.engine.execute import POLL_S, LocalExecutor, WorkerDied, allot, answer, load_ahead
from sweeps.engine.features import folders, provide_features
from sweeps.engine.interrupt import Interrupt
from sweeps.engine.progress import Display
from sweeps.engine.record import Done, Recorder, git_commit
from sweeps.engine.reuse import Reuse, decide, planned
from sweeps.engine.session import Session
from sweeps.engine.storage import open_storage
from sweeps.engine.study import ASK_AHEAD, Study
from sweeps.engine.weights import provide
from sweeps.engine.work import CheckJob, Job, SeedRun, read_progress, run_check, run_job, warm_up
from sweeps.ledger import Ledger, SeedRunRow, TrialRow, now


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What a run of the driver came to."""

    done: int
    """Seed runs of the study with a result, diverged ones included."""
    total: int
    failed: int
    ran: int
    """Seed runs trained by this very run."""
    best: Path | None
    """Folder of the best network."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Running:
    """What a worker is at: one seed run, or heads side by side."""

    runs: tuple[Todo, ...]
    job: Job
    started: str
    clock: float

    @property
    def front(self) -> Front | None:
        """Whose stored outputs it uses."""
        return self.job.features.front if self.job.features else None


@contextmanager
def study_lock(out: Path, name: str) -> Iterator[None]:
    """One driver per study; the lock dies with its holder.

    Raises:
        ConfigError: another driver runs this study.
    """
    folder = out / "mlruns" / ".work" / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"study-{name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ConfigError(
            f"The study {name} is being run by another process in {out}; wait for it, or stop it."
        ) from None
    try:
        yield
    finally:
        lock.release()


def drive(definition: Definition, *, command: str, console: Console) -> Outcome:
    """Runs what a study lacks.

    Args:
        command: as the user gave it, for the report.

    Raises:
        UserError: the request cannot be carried out; nothing was trained.
        KeyboardInterrupt: the user stopped it; what was finished is in the ledger.
    """
    out = expand(definition.run.out, "run.out").absolute()
    with study_lock(out, definition.study.name):
        # the definition is checked against what there is before anything is created
        path = out / "studies.db"
        ledger = Ledger(path) if path.exists() else None
        try:
            session = Session(definition, ledger)
            ledger = ledger or open_storage(out)
            return _Driver(session, ledger, command, console).run()
        finally:
            if ledger is not None:
                ledger.close()


class _Driver:
    def __init__(self, session: Session, ledger: Ledger, command: str, console: Console) -> None:
        self.session, self.ledger, self.console = session, ledger, console
        self.study = session.study
        self.trials: list[Trial] = list(session.plan.trials)
        # a failed seed run is tried again, so it counts as not there until then
        self.states = {key: state for key, state in session.known.states.items() if state in DONE}
        self.todo = deque(Todo(trial=trial, seed=seed) for trial, seed in session.plan.todo)
        self.to_ask = session.plan.to_ask
        self.work = session.out / "mlruns" / ".work" / "studies" / self.study.name
        self.ran = 0
        self.others = ledger.has_others(self.study.name)
        self.shown: dict[str, int] = {}
        self.reuse = Reuse(decisions=())
        self.proven: set[Front] = set()
        self.commit = git_commit()
        if not session.known.trials:
            ledger.forget(self.study.name)  # trials of a start that came to no result
        self._row_of_study = session.study_row(command, now())
        ledger.put_study(self._row_of_study)
        ledger.put_trials(self.study.name, [_trial_row(trial) for trial in session.plan.new])
        ledger.set_params(self.study.name, {trial.number: trial.params for trial in session.plan.renamed})
        self._best = BestNetwork(session.out / "mlruns" / "best" / self.study.name, self.study)
        self.interrupt = Interrupt()
        self.optuna: Study | None = None
        self.recorder: Recorder | None = None
        self.executor: LocalExecutor | None = None
        self.display: Display | None = None

    # -- the course of a run ------------------------------------------------------------------------------------------

    def run(self) -> Outcome:
        untracked = any(not row.tracked for row in self.ledger.seed_runs(self.study.name))
        if not self.todo and not self.to_ask and not untracked and self._best.is_stored(self._scored()):
            return self._outcome()
        interrupted = True
        with self.interrupt:
            try:
                if self.todo or self.to_ask:
                    load_ahead()
                self._open()
                self._take_over_known()
                if self.todo or self.to_ask:
                    self._execute()
                self._settle_all()
                assert self.recorder
                self.recorder.flush()  # which moves checkpoints to where the ledger then says
                self._best.store(self._scored(), self._network_of, self._pool(1), self.session.data, self._say)
                interrupted = False
            finally:
                self._close(interrupted)
        return self._outcome()

    def _open(self) -> None:
        definition, session = self.session.definition, self.session
        fresh = not session.known.trials
        self.optuna = Study(session.out / "studies.db", self.study, definition.space, fresh=fresh)
        self.optuna.drop_unknown({trial.number for trial in self.trials})
        self.recorder = Recorder(
            out=session.out,
            cache=session.cache,
            tracking_uri=definition.run.tracking_uri,
            study=self.study.name,
            question=self.study.question,
            ledger=self.ledger,
            commit=self.commit,
            warn=self._say,
        )

    def _close(self, interrupted: bool) -> None:
        if self.display:
            self.display.stop()
        if self.executor:
            self.executor.stop()
        if self.recorder:
            self.recorder.close(self._untracked(), interrupted=interrupted)
        if self.optuna:
            self.optuna.close()
        self._clear_work()

    def _clear_work(self) -> None:
        """Removes work folders whose content is stored; a kill may have left some behind."""
        for row in self.ledger.seed_runs(self.study.name):
            folder = self._folder(row.fingerprint, row.seed)
            if row.tracked and row.state in DONE and folder.exists():
                shutil.rmtree(folder, ignore_errors=True)

    def _say(self, line: str) -> None:
        if self.display:
            self.display.say(line)
        else:
            self.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _untracked(self) -> Iterator[Done]:
        for trial in self.trials:
            for row in self.ledger.seed_runs(self.study.name, fingerprint=trial.fingerprint):
                if not row.tracked:
                    yield self._done(trial, row)

    def _done(self, trial: Trial, row: SeedRunRow) -> Done:
        return Done(
            trial=trial,
            seed=row.seed,
            folder=None if row.reused_from else self._folder(trial.fingerprint, row.seed),
            seeds=self.study.seeds if self._is_whole(trial) else (),
        )

    def _is_whole(self, trial: Trial) -> bool:
        return all((trial.fingerprint, seed) in self.states for seed in self.study.seeds)

    def _outcome(self) -> Outcome:
        wanted = {(trial.fingerprint, seed) for trial in self.trials for seed in self.study.seeds}
        states = [self.states.get(key) for key in wanted]
        return Outcome(
            done=sum(state in DONE for state in states),
            total=len(wanted),
            failed=sum(state == "failed" for state in states),
            ran=self.ran,
            best=self._best.stored(),
        )

    # -- results that exist already ------------------------------------------------------------------------------------

    def _take_over_known(self) -> None:
        """Takes over seed runs that another study of this ledger has done: same fingerprint, same seed."""
        if not self.others:
            return
        rest: deque[Todo] = deque()
        for item in self.todo:
            row = self.ledger.find(item.trial.fingerprint, item.seed)
            if row is None:
                rest.append(item)
            else:
                self._take_over(item.trial, row)
        taken = len(self.todo) - len(rest)
        self.todo = rest
        if taken:
            self._say(f"{taken} seed runs are taken over from other studies with the same fingerprint.")

    def _take_over(self, trial: Trial, row: SeedRunRow) -> None:
        origin = row.reused_from or row.study
        self._write([(trial, replace(row, study=self.study.name, reused_from=origin, tracked=False))])

    # -- running ------------------------------------------------------------------------------------------------------

    def _execute(self) -> None:
        with cache.hold([Path(self.session.data.folder)]):
            self._execute_with_images()

    def _execute_with_images(self) -> None:
        session, run = self.session, self.session.definition.run
        devices = allot(run.device, session.environment, run.workers)
        workers = len(devices)
        executor = self._pool(workers)
        for _ in devices:
            executor.submit(warm_up)  # loading torch takes seconds, in which there is other work to do
        verify(session.data)
        seeds = len(self.study.seeds)
        self.display = Display(
            self.study.name,
            total=(len(self.trials) + self.to_ask) * seeds,
            done=self._outcome().done,
            workers=workers,
            console=self.console,
        )
        configs = [trial.config for trial in self.trials]
        if self.to_ask:
            configs += [session.definition.trial(params) for params in session.definition.space.probes()]
        provide(
            session,
            configs,
            executor=executor,
            display=self.display,
            devices=devices,
            work=self.work,
            interrupt=self.interrupt,
        )
        self._say_shared(configs)
        with cache.hold(self._provide_features(executor, devices)):
            self._run_all(devices)
        self.display.stop()

    def _run_all(self, devices: list[str]) -> None:
        """Keeps every device busy until nothing is left to do."""
        free = list(reversed(devices))
        running: dict[Future[Any], _Running] = {}
        checks: dict[Future[Any], tuple[Front, str]] = {}
        met: set[Front] = set()
        groups: deque[list[Todo]] = deque()
        while True:
            while free and (groups or self.todo or self._ask()):
                if not groups and not self.todo:
                    continue  # the proposed trial was taken over whole from another study
                if not groups:
                    groups.extend(self._take(len(devices)))
                device = free.pop()
                job = self._start(groups[0], device)
                if job.front is not None and job.front not in met:
                    met.add(job.front)
                    checks[self._submit_check(job, device)] = (job.front, device)
                else:
                    groups.popleft()
                    running[self._submit(job)] = job
            self.interrupt.check()
            if not running and not checks:
                break
            # results on stored features are not written before those are proven
            proven = [future for future, job in running.items() if job.front is None or job.front in self.proven]
            finished, _ = wait([*proven, *checks], timeout=POLL_S, return_when=FIRST_COMPLETED)
            for future in finished:
                if future in checks:
                    front, device = checks.pop(future)
                    free.append(device)
                    self._judge(front, future)
                else:
                    job = running.pop(future)
                    free.append(job.job.device)
                    self._collect(job, future)
            for job in running.values():
                self._follow(job)

    def _say_shared(self, configs: Sequence[TrialConfig]) -> None:
        if self.study.trials is not None and self._row_of_study.description["trials"] < self.study.trials:
            self._say(f"The space has no more than {len(self.trials) + self.to_ask} different trials.")
        if any(config.weights == "none" and self.session.num_frozen(config) for config in configs):
            self._say("warning: the frozen part of some networks has random weights (trial.weights: none)")

    # -- what is computed once ----------------------------------------------------------------------------------------

    def _provide_features(self, executor: LocalExecutor, devices: list[str]) -> list[Path]:
        """Computes what seed runs share; returns what must stay in the cache."""
        decided = decide(self.session, planned(self.session, self.todo_counts(), self.to_ask))
        self.reuse = provide_features(
            self.session, decided, executor=executor, devices=devices, interrupt=self.interrupt, say=self._say
        )
        return folders(self.session, self.reuse)

    def todo_counts(self) -> list[tuple[TrialConfig, int]]:
        """Trials with their number of seed runs still to do."""
        counts = Counter(item.trial.number for item in self.todo)
        return [(trial.config, counts[trial.number]) for trial in self.trials if counts[trial.number]]

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

    def _submit_check(self, job: _Running, device: str) -> "Future[Any]":
        assert self.executor
        assert job.job.features
        return self.executor.submit(
            run_check,
            CheckJob(
                run=job.job.runs[0],
                data=self.session.data,
                environment=self.session.environment,
                device=device,
                features=job.job.features,
            ),
        )

    def _judge(self, front: Front, future: "Future[Any]") -> None:
        """Ends the study where stored features do not train the very same weights.

        Raises:
            UserError: they do not, or it could not be found out.
        """
        try:
            difference = answer(future)
        except WorkerDied as error:
            raise UserError(f"The check of stored features could not be made: {error}. Start again.") from None
        if difference is not None:
            raise UserError(
                f"Training on the stored outputs of {front.describe()} must give the same bits as computing them each "
                f"time, but they differ here: {difference}. No result that used them was kept. Run with "
                "run.reuse=off, which computes them each time, and please report this machine."
            )
        self.proven.add(front)

    def _folder(self, fingerprint: str, seed: int) -> Path:
        return self.work / f"{fingerprint}-{seed}"

    def _take(self, workers: int) -> list[list[Todo]]:
        """The next seed runs, in groups that go to a worker together."""
        if self.study.method == "random":  # which hears of no result, so that trials can be proposed ahead
            enough = workers * MOST_HEADS[self.session.environment.device]
            while len(self.todo) < enough and self._ask():
                pass
        kind = self.session.environment.device
        return take(self.todo, group_of=self._group_of, device=kind, workers=workers)

    def _start(self, runs: Sequence[Todo], device: str) -> _Running:
        folder = self._folder(runs[0].trial.fingerprint, runs[0].seed)
        job = Job(
            runs=tuple(
                SeedRun(
                    trial=self.session.start_from(item.trial.config),
                    seed=item.seed,
                    folder=str(self._folder(item.trial.fingerprint, item.seed)),
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
        assert self.executor
        assert self.optuna
        if len(job.runs) == 1:  # heads side by side are done before anybody could look
            self.optuna.begin(job.runs[0].trial)
        Path(job.job.progress).unlink(missing_ok=True)
        return self.executor.submit(run_job, job.job)

    def _follow(self, job: _Running) -> None:
        """Shows how far a job is; in MLflow too, if it takes long enough for somebody to look."""
        assert self.recorder
        assert self.display
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
        assert self.display
        for run in job.job.runs:
            self.shown.pop(run.folder, None)
        try:
            results: list[FitResult] = answer(future)
            rows = [self._row(job, item, result) for item, result in zip(job.runs, results, strict=True)]
        except WorkerDied as error:
            attempt = job.runs[0].attempt + 1
            if attempt == 1 or len(job.runs) > 1:
                # killed from outside, or memory was short for a moment; it goes on from its last saved epoch
                self._say(f"{_name(job.runs)}: {error}; trying {'once more' if attempt == 1 else 'one by one'}")
                self.todo.extendleft(replace(item, attempt=attempt) for item in reversed(job.runs))
                return
            rows = [self._failed(job, job.runs[0], str(error))]
        except Exception as error:  # whatever a seed run raises fails that seed run, visibly
            if len(job.runs) > 1:
                self._say(f"{_name(job.runs)}: {type(error).__name__}: {error}; trying one by one")
                self.todo.extendleft(replace(item, attempt=ALONE) for item in reversed(job.runs))
                return
            reason = str(error) if isinstance(error, UserError) else "".join(traceback.format_exception(error)).strip()
            rows = [self._failed(job, job.runs[0], reason)]
        self.ran += len(rows)
        self._write([(item.trial, row) for item, row in zip(job.runs, rows, strict=True)])
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
        folder = self._folder(item.trial.fingerprint, item.seed)
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

    def _write(self, pairs: Sequence[tuple[Trial, SeedRunRow]]) -> None:
        """Ledger first: it is the truth. Then MLflow, which may be late."""
        assert self.recorder
        self.ledger.put([row for _, row in pairs])
        self.states |= {(row.fingerprint, row.seed): row.state for _, row in pairs}
        # of each trial the last row may be the one that completes it
        last = {trial.number: (trial, row) for trial, row in pairs}
        whole = {number: trial for number, (trial, _) in last.items() if self._is_whole(trial)}
        several = [self._done(trial, row) for trial, row in pairs]
        ends = {(trial.number, row.seed) for trial, row in last.values()}
        self.recorder.finished(
            [done if (done.trial.number, done.seed) in ends else replace(done, seeds=()) for done in several]
        )
        if self.study.method != "bayes":  # which hears of trials in order; see `_ask`
            for trial in whole.values():
                self._settle(trial)

    # -- asking and telling -------------------------------------------------------------------------------------------

    def _rows(self, trial: Trial) -> list[SeedRunRow]:
        rows = self.ledger.seed_runs(self.study.name, fingerprint=trial.fingerprint)
        return [row for row in rows if row.seed in self.study.seeds]

    def _mean(self, rows: list[SeedRunRow]) -> float | None:
        """Mean over all seeds, or None when one of them is no number: never a mean of what is left."""
        if len(rows) < len(self.study.seeds) or any(row.state != "complete" for row in rows):
            return None
        return sum(row.metrics[self.study.metric] for row in rows) / len(rows)

    def _scored(self) -> list[Scored]:
        """Trials that have a value, with their seed runs."""
        found = []
        for trial in self.trials:
            rows = self._rows(trial)
            value = self._mean(rows)
            if value is not None:
                found.append(Scored(number=trial.number, value=value, rows=tuple(rows)))
        return found

    def _settle(self, trial: Trial) -> None:
        assert self.optuna
        self.optuna.settle(trial, self._mean(self._rows(trial)))

    def _settle_all(self) -> None:
        for trial in self.trials:
            if self._is_whole(trial):
                self._settle(trial)

    def _ask(self) -> bool:
        """Gets one more trial from the sampler; False when there is none, or none yet."""
        assert self.optuna
        assert self.display
        if not self.to_ask:
            return False
        number = 1 + max((trial.number for trial in self.trials), default=-1)
        if self.study.method == "bayes":
            heard = [trial for trial in self.trials if trial.number <= number - ASK_AHEAD]
            if not all((t.fingerprint, s) in self.states for t in heard for s in self.study.seeds):
                return False
            for trial in heard:
                self._settle(trial)
        taken = {trial.fingerprint: trial.number for trial in self.trials}
        definition = self.session.definition

        def name_of(params: dict[str, Any]) -> str:
            return self.session.name_of(definition.trial(params))

        params = self.optuna.propose(number, taken, name_of)
        if params is None:
            self._say(f"No other trial was found; the study ends with {len(self.trials)}.")
            self.to_ask = 0
            about = self._row_of_study
            self._row_of_study = replace(about, description=about.description | {"trials": len(self.trials)})
            self.ledger.put_study(self._row_of_study)
            self.display.grow(len(self.trials) * len(self.study.seeds))
            return False
        config = definition.trial(params)
        trial = Trial(number=number, params=params, config=config, fingerprint=self.session.name_of(config))
        self.ledger.put_trials(self.study.name, [_trial_row(trial)])
        self.trials.append(trial)
        self.to_ask -= 1
        for seed in self.study.seeds:
            row = self.ledger.find(trial.fingerprint, seed) if self.others else None
            if row is not None:
                self._take_over(trial, row)
            else:
                self.todo.append(Todo(trial=trial, seed=seed))
        return True

    def _network_of(self, row: SeedRunRow) -> Path | None:
        """Where the network of a seed run is on this machine.

        Raises:
            UserError: the tracker that has it does not give it.
        """
        if row.reused_from:  # it moves with the run that it belongs to
            own = self.ledger.seed_runs(row.reused_from, fingerprint=row.fingerprint)
            row = next((other for other in own if other.seed == row.seed), row)
        if row.checkpoint is None:
            return None
        if row.checkpoint.startswith("runs:/"):
            return self.session.mlflow_checkpoint(row.checkpoint)
        return Path(row.checkpoint) if (Path(row.checkpoint) / "model.json").exists() else None

    def _pool(self, workers: int) -> LocalExecutor:
        if self.executor is None:
            self.executor = LocalExecutor(workers)
        return self.executor


SHOW_AFTER_S = 5.0
"""Seconds after which the epochs of a job are shown in MLflow while it runs; shorter ones are written once, whole."""


def _name(runs: Sequence[Todo]) -> str:
    if len(runs) == 1:
        return f"trial {runs[0].trial.number} seed {runs[0].seed}"
    numbers = [item.trial.number for item in runs]
    return f"{len(runs)} seed runs of trials {min(numbers)} to {max(numbers)}"


def _seconds(wall_s: float) -> str:
    return f"{wall_s:.1f} s" if wall_s >= 1 else f"{1000 * wall_s:.0f} ms"


def _trial_row(trial: Trial) -> TrialRow:
    return TrialRow(
        number=trial.number,
        fingerprint=trial.fingerprint,
        params=trial.params,
        config=trial.config.model_dump(mode="json"),
    )
