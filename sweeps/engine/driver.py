"""The one process that decides: it asks for trials, hands out seed runs, and writes down what comes back."""

import shutil
import time
import traceback
from collections import deque
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from rich.console import Console

from resnet_tl.data.prepare import verify
from resnet_tl.errors import ConfigError, UserError
from resnet_tl.options import expand
from resnet_tl.result import FitResult
from sweeps.definition.config import Definition
from sweeps.definition.plan import DONE, Trial, describe
from sweeps.engine.best import BestNetwork, Scored
from sweeps.engine.execute import POLL_S, LocalExecutor, WorkerDied, allot, answer
from sweeps.engine.interrupt import Interrupt
from sweeps.engine.progress import Display
from sweeps.engine.record import Done, Recorder, git_commit
from sweeps.engine.session import Session
from sweeps.engine.storage import open_storage
from sweeps.engine.study import ASK_AHEAD, Study
from sweeps.engine.weights import provide
from sweeps.engine.work import Job, read_progress, run_seed
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
    trial: Trial
    seed: int
    device: str
    folder: Path
    started: str
    clock: float
    attempt: int


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
        self.todo: deque[tuple[Trial, int, int]] = deque((trial, seed, 0) for trial, seed in session.plan.todo)
        self.to_ask = session.plan.to_ask
        self.work = session.out / "mlruns" / ".work" / "studies" / self.study.name
        self.ran = 0
        self.shown: dict[Path, int] = {}
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
                self._open()
                self._reuse()
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
            for row in self.ledger.seed_runs(self.study.name, fingerprint=trial.fingerprint, heavy=True):
                if not row.tracked:
                    yield self._done(trial, row)

    def _done(self, trial: Trial, row: SeedRunRow) -> Done:
        rows = self._rows(trial)
        return Done(
            trial=trial,
            row=row,
            folder=None if row.reused_from else self._folder(trial.fingerprint, row.seed),
            whole_trial=tuple(rows) if len(rows) == len(self.study.seeds) else (),
        )

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

    def _reuse(self) -> None:
        """Takes over seed runs that another study of this ledger has done: same fingerprint, same seed."""
        rest: deque[tuple[Trial, int, int]] = deque()
        taken = 0
        for trial, seed, attempt in self.todo:
            row = self.ledger.find(trial.fingerprint, seed)
            if row is None:
                rest.append((trial, seed, attempt))
            else:
                self._take_over(trial, row)
                taken += 1
        self.todo = rest
        if taken:
            self._say(f"{taken} seed runs are taken over from other studies with the same fingerprint.")

    def _take_over(self, trial: Trial, row: SeedRunRow) -> None:
        origin = row.reused_from or row.study
        self._write(trial, replace(row, study=self.study.name, reused_from=origin, tracked=False))

    # -- running ------------------------------------------------------------------------------------------------------

    def _execute(self) -> None:
        session, run = self.session, self.session.definition.run
        verify(session.data)
        devices = allot(run.device, session.environment, run.workers)
        workers = len(devices)
        executor = self._pool(workers)
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
        if self.study.trials is not None and self._row_of_study.description["trials"] < self.study.trials:
            self._say(f"The space has no more than {len(self.trials) + self.to_ask} different trials.")
        if any(config.weights == "none" and session.num_frozen(config) for config in configs):
            self._say("warning: the frozen part of some networks has random weights (trial.weights: none)")
        provide(
            session,
            configs,
            executor=executor,
            display=self.display,
            devices=devices,
            work=self.work,
            interrupt=self.interrupt,
        )
        free = list(reversed(devices))
        running: dict[Future[Any], _Running] = {}
        while True:
            while free and (self.todo or self._ask()):
                if not self.todo:
                    continue  # the proposed trial was taken over whole from another study
                trial, seed, attempt = self.todo.popleft()
                job = self._start(trial, seed, free.pop(), attempt)
                running[self._submit(job)] = job
            self.interrupt.check()
            if not running:
                break
            finished, _ = wait(running, timeout=POLL_S, return_when=FIRST_COMPLETED)
            for future in finished:
                job = running.pop(future)
                free.append(job.device)
                self._collect(job, future)
            for job in running.values():
                self._follow(job)
        self.display.stop()

    def _folder(self, fingerprint: str, seed: int) -> Path:
        return self.work / f"{fingerprint}-{seed}"

    def _start(self, trial: Trial, seed: int, device: str, attempt: int) -> _Running:
        assert self.recorder
        assert self.optuna
        self.optuna.record(trial, None, finished=False)
        self.recorder.started(trial, seed)
        folder = self._folder(trial.fingerprint, seed)
        (folder / "progress.jsonl").unlink(missing_ok=True)
        return _Running(
            trial=trial,
            seed=seed,
            device=device,
            folder=folder,
            started=now(),
            clock=time.monotonic(),
            attempt=attempt,
        )

    def _submit(self, job: _Running) -> "Future[Any]":
        assert self.executor
        return self.executor.submit(
            run_seed,
            Job(
                trial=self.session.start_from(job.trial.config),
                data=self.session.data,
                seed=job.seed,
                environment=self.session.environment,
                device=job.device,
                folder=str(job.folder),
            ),
        )

    def _follow(self, job: _Running) -> None:
        assert self.recorder
        assert self.display
        epochs = read_progress(job.folder)
        if len(epochs) > self.shown.get(job.folder, 0):
            self.shown[job.folder] = len(epochs)
            self.recorder.epochs(job.trial, job.seed, epochs)
        name = f"trial {job.trial.number} seed {job.seed}"
        note = f"{self.study.metric} {epochs[-1].metrics[self.study.metric]:.4f}" if epochs else "starting"
        self.display.running((job.trial.number, job.seed), name, len(epochs), job.trial.config.epochs, note)

    def _collect(self, job: _Running, future: "Future[Any]") -> None:
        """Writes down what a finished job says."""
        self.shown.pop(job.folder, None)
        assert self.display
        try:
            row = self._row(job, answer(future))
        except WorkerDied as error:
            if job.attempt == 0:
                # killed from outside, or memory was short for a moment; it goes on from its last saved epoch
                self._say(f"trial {job.trial.number} seed {job.seed}: {error}; trying once more")
                self.todo.appendleft((job.trial, job.seed, 1))
                return
            row = self._failed(job, str(error))
        except UserError as error:
            row = self._failed(job, str(error))
        except Exception as error:  # whatever a seed run raises fails that seed run, visibly
            row = self._failed(job, "".join(traceback.format_exception(error)).strip())
        self.ran += 1
        self._write(job.trial, row)
        name = f"trial {job.trial.number} seed {job.seed} ({describe(job.trial.params)})"
        if row.state == "complete":
            value = row.metrics[self.study.metric]
            said = f"{self.study.metric} {value:.4f} at epoch {row.best_epoch}, {row.wall_s:.1f} s"
        else:
            said = f"{row.state}: {(row.reason or '').splitlines()[-1]}"
        self.display.finished(
            (job.trial.number, job.seed),
            f"{name}: {said}",
            time.monotonic() - job.clock,
            counts=row.state in DONE,
        )

    def _row(self, job: _Running, result: FitResult) -> SeedRunRow:
        return SeedRunRow(
            study=self.study.name,
            fingerprint=job.trial.fingerprint,
            seed=job.seed,
            state=result.state,
            max_epoch=result.max_epoch,
            best_epoch=result.best_epoch,
            metrics=result.metrics,
            wall_s=result.wall_s,
            reason=result.reason,
            started=job.started,
            finished=now(),
            commit=self.commit,
            checkpoint=str(job.folder / "checkpoint") if result.state == "complete" else None,
            confusion=result.confusion,
            history=[asdict(epoch) for epoch in result.history],
        )

    def _failed(self, job: _Running, reason: str) -> SeedRunRow:
        return SeedRunRow(
            study=self.study.name,
            fingerprint=job.trial.fingerprint,
            seed=job.seed,
            state="failed",
            max_epoch=job.trial.config.epochs,
            best_epoch=None,
            metrics={},
            wall_s=time.monotonic() - job.clock,
            reason=reason,
            started=job.started,
            finished=now(),
            commit=self.commit,
        )

    def _write(self, trial: Trial, row: SeedRunRow) -> None:
        """Ledger first: it is the truth. Then MLflow, which may be late."""
        assert self.recorder
        self.ledger.put(row)
        self.states[row.fingerprint, row.seed] = row.state
        done = self._done(trial, row)
        self.recorder.finished(done)
        if done.whole_trial and self.study.method != "bayes":  # which hears of trials in order; see `_ask`
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
        self.optuna.record(trial, self._mean(self._rows(trial)), finished=True)

    def _settle_all(self) -> None:
        for trial in self.trials:
            if all((trial.fingerprint, seed) in self.states for seed in self.study.seeds):
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
            row = self.ledger.find(trial.fingerprint, seed)
            if row is not None:
                self._take_over(trial, row)
            else:
                self.todo.append((trial, seed, 0))
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
            self.executor = LocalExecutor(workers, self.session.environment.threads)
        return self.executor


def _trial_row(trial: Trial) -> TrialRow:
    return TrialRow(
        number=trial.number,
        fingerprint=trial.fingerprint,
        params=trial.params,
        config=trial.config.model_dump(mode="json"),
    )
