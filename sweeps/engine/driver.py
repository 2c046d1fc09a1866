"""The one process that decides: it asks for trials, hands out seed runs, and writes down what comes back."""

import contextlib
import shutil
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from rich.console import Console

from resnet_tl import cache
from resnet_tl.config import TrialConfig
from resnet_tl.data.prepare import verify
from resnet_tl.errors import ConfigError
from resnet_tl.features.key import FrozenPrefix
from resnet_tl.options import expand
from sweeps.definition.config import Definition
from sweeps.definition.plan import DONE, Trial
from sweeps.engine.ahead import load_ahead
from sweeps.engine.batch import Todo
from sweeps.engine.best import BestNetwork
from sweeps.engine.commit import git_commit
from sweeps.engine.execute import LocalExecutor, allot
from sweeps.engine.features import folders, provide_features
from sweeps.engine.interrupt import Interrupt
from sweeps.engine.jobs import Jobs, folder_of
from sweeps.engine.progress import Display
from sweeps.engine.record import Done, Recorder
from sweeps.engine.reuse import Reuse, decide, planned, present
from sweeps.engine.session import Session
from sweeps.engine.standing import Outcome, Standing
from sweeps.engine.storage import open_storage
from sweeps.engine.study import ASK_AHEAD, Study
from sweeps.engine.weights import provide
from sweeps.engine.work import warm_up
from sweeps.ledger import Ledger, SeedRunRow, TrialRow, now


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
            ledger.upgrade()
            return _Driver(session, ledger, command, console).run()
        finally:
            if ledger is not None:
                ledger.close()


class _Driver:
    def __init__(self, session: Session, ledger: Ledger, command: str, console: Console) -> None:
        self.session, self.ledger, self.console = session, ledger, console
        self.study = session.study
        self.standing = Standing(
            session.study,
            ledger,
            trials=list(session.plan.trials),
            states=session.known.states,
            to_ask=session.plan.to_ask,
        )
        self.todo = deque(Todo(trial=trial, seed=seed) for trial, seed in session.plan.todo)
        self.work = session.out / "mlruns" / ".work" / "studies" / self.study.name
        self.ran = 0
        self.others = ledger.has_others(self.study.name)
        self.reuse = Reuse(decisions=())
        self.unforeseen: set[FrozenPrefix] = set()
        self.commit = git_commit()
        if not session.known.trials:
            ledger.forget(self.study.name)  # trials of a start that came to no result
        elif not self.study.is_listed:
            ledger.drop_trials(self.study.name, max(trial.number for trial in session.known.trials))
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
        to_do = bool(self.todo or self.standing.to_ask or self.standing.to_confirm())
        if not to_do and not untracked and self._best.is_stored(self.standing.scored()):
            return self._outcome()
        interrupted = True
        with self.interrupt:
            try:
                if to_do:
                    load_ahead()
                self._open()
                self._take_over_known()
                if to_do:
                    self._execute()
                self._settle_all()
                assert self.recorder
                if self.recorder.failed:
                    self.recorder.finished(list(self._untracked()))
                self.recorder.flush()  # which moves checkpoints to where the ledger then says
                self._best.store(self.standing.scored(), self._network_of, self._pool(1), self.session.data, self._say)
                interrupted = False
            finally:
                self._close(interrupted)
        return self._outcome()

    def _open(self) -> None:
        definition, session = self.session.definition, self.session
        fresh = not session.known.trials
        self.optuna = Study(session.out / "studies.db", self.study, definition.space, fresh=fresh)
        self.optuna.drop_unknown({trial.number for trial in self.standing.trials})
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
            folder = folder_of(self.work, row.fingerprint, row.seed)
            if row.tracked and row.state in DONE and folder.exists():
                shutil.rmtree(folder, ignore_errors=True)

    def _say(self, line: str) -> None:
        if self.display:
            self.display.say(line)
        else:
            self.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _untracked(self) -> Iterator[Done]:
        for trial in self.standing.trials:
            for row in self.ledger.seed_runs(self.study.name, fingerprint=trial.fingerprint):
                if not row.tracked:
                    yield self._done(trial, row)

    def _done(self, trial: Trial, row: SeedRunRow) -> Done:
        return Done(
            trial=trial,
            seed=row.seed,
            folder=None if row.reused_from else folder_of(self.work, trial.fingerprint, row.seed),
            seeds=self.study.seeds if self.standing.is_whole(trial) else (),
        )

    def _outcome(self) -> Outcome:
        return self.standing.outcome(ran=self.ran, best=self._best.stored())

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
        with cache.hold(self.session.in_use()):
            self._execute_with_images()

    def _execute_with_images(self) -> None:
        assert self.optuna
        assert self.recorder
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
            total=(len(self.standing.trials) + self.standing.to_ask) * seeds,
            done=self._outcome().done,
            workers=workers,
            console=self.console,
        )
        configs = [trial.config for trial in self.standing.trials]
        if self.standing.to_ask:
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
        self._warn(configs)
        if self.study.method == "random" and any(session.front(config) for config in configs):
            while self._ask():  # it hears of no result, so that all that is to be shared can be known now
                self.interrupt.check()
        if self.todo or self.standing.to_ask:
            self._train(devices, executor)
        self._begin_confirmation()
        if self.todo:
            self._train(devices, executor)
        self.display.stop()

    def _train(self, devices: list[str], executor: LocalExecutor) -> None:
        """Does what waits, and what the sampler still proposes."""
        assert self.optuna
        assert self.recorder
        assert self.display
        session = self.session
        decided = decide(session, planned(session, self._todo_counts(), self.standing.to_ask))
        with contextlib.ExitStack() as held:
            held.enter_context(cache.hold(session.in_use()))  # what was pretrained just now, too
            held.enter_context(cache.hold(present(session, [d.front for d in decided.decisions if d.reuse])))
            self.reuse = provide_features(
                session, decided, executor=executor, devices=devices, interrupt=self.interrupt, say=self._say
            )
            held.enter_context(cache.hold(folders(session, self.reuse)))
            jobs = Jobs(
                session,
                self.reuse,
                executor=executor,
                work=self.work,
                commit=self.commit,
                todo=self.todo,
                ask=self._ask,
                write=self._write,
                optuna=self.optuna,
                recorder=self.recorder,
                display=self.display,
                interrupt=self.interrupt,
            )
            try:
                jobs.run(devices)
            finally:
                self.ran += jobs.ran

    def _warn(self, configs: Sequence[TrialConfig]) -> None:
        if self.study.trials is not None and self._row_of_study.description["trials"] < self.study.trials:
            self._say(
                f"The space has no more than {len(self.standing.trials) + self.standing.to_ask} different trials."
            )
        if any(config.weights == "none" and self.session.num_frozen(config) for config in configs):
            self._say("warning: the frozen part of some networks has random weights (trial.weights: none)")

    def _todo_counts(self) -> list[tuple[TrialConfig, int]]:
        """Trials with their number of seed runs still to do."""
        counts = Counter(item.trial.number for item in self.todo)
        return [(trial.config, counts[trial.number]) for trial in self.standing.trials if counts[trial.number]]

    def _write(self, pairs: Sequence[tuple[Trial, SeedRunRow]]) -> None:
        """Ledger first: it is the truth. Then MLflow, which may be late."""
        assert self.recorder
        self.ledger.put([row for _, row in pairs])
        for _, row in pairs:
            self.standing.know(row)
        # of each trial the last row may be the one that completes it
        last = {trial.number: (trial, row) for trial, row in pairs}
        whole = {number: trial for number, (trial, _) in last.items() if self.standing.is_whole(trial)}
        several = [self._done(trial, row) for trial, row in pairs]
        ends = {(trial.number, row.seed) for trial, row in last.values()}
        self.recorder.finished(
            [done if (done.trial.number, done.seed) in ends else replace(done, seeds=()) for done in several]
        )
        if self.study.method != "bayes":  # which hears of trials in order; see `_ask`
            for trial in whole.values():
                self._settle(trial)

    # -- confirmation ------------------------------------------------------------------------------------------------

    def _begin_confirmation(self) -> None:
        confirm = self.study.confirm
        if confirm is None:
            return
        assert self.display
        if self.standing.has_failed():
            self._say("Nothing is confirmed before every seed run has a result; starting again tries the failed ones.")
            return
        waiting = self.standing.to_confirm()
        if waiting:
            numbers = ", ".join(str(number) for number in dict.fromkeys(item.trial.number for item in waiting))
            self._say(f"Confirming trials {numbers} on {len(confirm.seeds)} fresh seeds.")
            self.display.grow(self._outcome().total)
            self.todo.extend(waiting)
            self._take_over_known()

    # -- asking and telling -------------------------------------------------------------------------------------------

    def _settle(self, trial: Trial) -> None:
        assert self.optuna
        self.optuna.settle(trial, self.standing.mean(trial))

    def _settle_all(self) -> None:
        for trial in self.standing.trials:
            if self.standing.is_whole(trial):
                self._settle(trial)

    def _ask(self) -> bool:
        """Gets one more trial from the sampler; False when there is none, or none yet."""
        assert self.optuna
        assert self.display
        if not self.standing.to_ask:
            return False
        number = 1 + max((trial.number for trial in self.standing.trials), default=-1)
        if self.study.method == "bayes":
            heard = [trial for trial in self.standing.trials if trial.number <= number - ASK_AHEAD]
            if not all(self.standing.is_whole(trial) for trial in heard):
                return False
            for trial in heard:
                self._settle(trial)
        taken = {trial.fingerprint: trial.number for trial in self.standing.trials}
        definition = self.session.definition

        def name_of(params: dict[str, Any]) -> str:
            return self.session.name_of(definition.trial(params))

        params = self.optuna.propose(number, taken, name_of)
        if params is None:
            self._say(f"No other trial was found; the study ends with {len(self.standing.trials)}.")
            self.standing.to_ask = 0
            about = self._row_of_study
            self._row_of_study = replace(about, description=about.description | {"trials": len(self.standing.trials)})
            self.ledger.put_study(self._row_of_study)
            self.display.grow(len(self.standing.trials) * len(self.study.seeds))
            return False
        config = definition.trial(params)
        trial = Trial(number=number, params=params, config=config, fingerprint=self.session.name_of(config))
        self.ledger.put_trials(self.study.name, [_trial_row(trial)])
        self.standing.trials.append(trial)
        self.standing.to_ask -= 1
        front = self.session.front(config)
        if front is not None and self.reuse.decisions and self.reuse.of(front) is None and front not in self.unforeseen:
            self.unforeseen.add(front)
            self._say(f"{front.describe()} is computed each time: no planned trial was known to need it.")
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


def _trial_row(trial: Trial) -> TrialRow:
    return TrialRow(
        number=trial.number,
        fingerprint=trial.fingerprint,
        params=trial.params,
        config=trial.config.model_dump(mode="json"),
    )
