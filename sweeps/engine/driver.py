"""The one process that decides: it asks for trials, hands out seed runs, and writes down what comes back."""

import contextlib
import shutil
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from resnet_tl.cli import describe_data
from resnet_tl.config import TrialConfig
from resnet_tl.data import cache
from resnet_tl.data.prepare import verify
from resnet_tl.errors import UserError
from resnet_tl.features.key import FrozenPrefix
from resnet_tl.files import is_full
from resnet_tl.freezing import phases
from resnet_tl.option_text import expand
from sweeps.definition.config import Definition
from sweeps.definition.space import describe
from sweeps.engine.budget import Budget, BudgetSpent
from sweeps.engine.code_version import git_commit
from sweeps.engine.disk_room import DiskFull, DiskRoom, disk_full
from sweeps.engine.display import Display
from sweeps.engine.feature_jobs import folders, provide_features
from sweeps.engine.generators import provide_generated
from sweeps.engine.interrupt import Interrupt
from sweeps.engine.kept_networks import KeptNetworks
from sweeps.engine.leftovers import clear_leftovers
from sweeps.engine.prepared_study import PreparedStudy, prepare_study, why_enough
from sweeps.engine.pretraining import provide_weights
from sweeps.engine.scheduler import Scheduler, folder_of, is_stored
from sweeps.execution.ahead import load_ahead
from sweeps.execution.devices import hardware
from sweeps.execution.executor import Executor, run_all
from sweeps.execution.executors import make_executor
from sweeps.execution.tasks import WarmUp
from sweeps.planning.feature_reuse import Reuse, kept_bytes
from sweeps.planning.grouping import Todo
from sweeps.planning.pace import Pace, epoch_cost, shape_of
from sweeps.planning.sampler import Proposal, Sampler
from sweeps.planning.study_state import Outcome, ends_early, leader_told, waiting_bytes
from sweeps.records import RunState, SeedRun, TrialRecord, count, mean_curve
from sweeps.statistics.pruning import cut_at
from sweeps.storage.database import Database, database_of
from sweeps.storage.driver_note import TOLD_EVERY_S, place_of, remove_note, write_note
from sweeps.storage.ledger import Ledger
from sweeps.storage.network_store import NetworkStore
from sweeps.storage.optuna_study import OptunaStudy
from sweeps.storage.schema import LedgerError
from sweeps.storage.work_folder import WorkFolder
from sweeps.tracking.mlflow_client import MlflowTracker
from sweeps.tracking.mlflow_database import Place
from sweeps.tracking.outbox import Ended, Outbox


def drive(definition: Definition, *, command: str, console: Console) -> Outcome:
    """Runs what a study lacks.

    Args:
        command: as the user gave it, for the report.

    Returns:
        How far it came, and what ended it if it did not come to its end.

    Raises:
        UserError: the request cannot be carried out; nothing was begun.
    """
    out = expand(definition.run.out, "run.out").resolve()
    database = database_of(out, definition.run.storage)
    with database.lock(definition.study.name):
        database.take_in(definition.study.name)
        # the definition is checked against what there is before anything is created or changed
        before = database.read() if database.exists() else None
        try:
            study = prepare_study(definition, before)
        finally:
            if before is not None:
                before.close()
        ledger = database.open()
        try:
            return _run(_Driver(study, database, ledger, command, console), study.out)
        finally:
            ledger.close()


def _run(driver: "_Driver", out: Path) -> Outcome:
    """Whatever ends a study comes back with its outcome, so that what is done can be reported before it is raised."""
    try:
        return driver.run()
    except (Exception, KeyboardInterrupt) as error:
        if is_full(error) and not isinstance(error, UserError):
            return driver.outcome(ended_by=disk_full(error, out))
        return driver.outcome(ended_by=error)


class _Driver:
    def __init__(
        self, study: PreparedStudy, database: Database, ledger: Ledger, command: str, console: Console
    ) -> None:
        self._prepared, self._database, self._ledger, self._console = study, database, ledger, console
        self._study = study.study
        self._command = command
        self._state = study.state()
        lacking = [Todo(trial=trial, seed=seed) for trial, seed in study.plan.todo]
        self._todo = deque(self._state.next_round() if self._study.pruner else lacking)
        self._work = WorkFolder(study.out).of_study(self._study.name)
        self._networks = NetworkStore(study.out, self._study.name)
        self._kept = KeptNetworks(study, self._state, ledger, self._networks)
        self._room = DiskRoom(study.out, self._study.name, study.data, study.definition.keep)
        self._commit = git_commit()
        self._others = ledger.has_others(self._study.name)
        self._reuse = Reuse(decisions=())
        self._unforeseen: set[FrozenPrefix] = set()
        self._interrupt = Interrupt()
        self._pace = Pace()
        self._shapes: dict[str, str] = {}
        """By the fingerprint of a trial."""
        self._budget = Budget(study.definition.run, study.out, self._study.name, self._interrupt.check)
        self._note, self._noted_s = place_of(study.out, self._study.name), float("-inf")
        self._in_order = bool(self._study.pruner) and self._study.method == "bayes"
        """Whether trials are judged one by one, as soon as they are at a rung."""
        self._handed = {(item.trial.fingerprint, item.seed, item.until) for item in self._todo}
        """Seed runs that were asked for at this start, and up to which epoch; where trials are judged one by one."""
        self._said_stopped = {trial.number for trial in self._state.stopped()}
        self._begun: set[int] = set()
        """Trials that are worked on at this start."""
        self._ending: KeyboardInterrupt | BudgetSpent | None = None
        """Why the study is about to end, once workers were asked to stop."""
        self._held_back = False
        """Whether `run.max_trials` has left others undone."""
        self._ran = 0
        self._sampler = Sampler(self._study, study.definition.space)
        self._optuna: OptunaStudy | None = None
        self._outbox: Outbox | None = None
        self._executor: Executor | None = None
        self._display: Display | None = None

    # -- the course of a run ------------------------------------------------------------------------------------------

    def run(self) -> Outcome:
        """Does what is to do, and completes what is derived from the ledger."""
        before = self._ledger.study(self._study.name)
        if self._todo or self._state.to_ask:
            self._prepared.slots()  # the device is here, and the cluster answers
        self._record()
        place = self._prepared.tracked()
        clear_leftovers(
            self._prepared.out,
            self._study.name,
            work=self._work,
            networks=self._networks,
            runs=[run for run in self._prepared.runs if not self._state.is_wanted(run)],
            since=before.created if before else None,
        )
        self._room.release()
        remove_note(self._note)  # of a driver that was killed
        self._look_at(place)
        unsent = bool(self._ledger.untracked(self._study.name)) or self._lacks_stages(place)
        to_do = bool(self._todo or self._state.to_ask or self._state.to_confirm() or self._state.to_end())
        stored = self._prepared.stored
        recorded = stored is None or stored.aims == self._study.aims  # else Optuna's record is to be made anew
        is_quiet = not to_do and not unsent and recorded
        if is_quiet and place.is_ours and self._kept.is_settled():  # others are asked by the outbox
            try:
                place.relocate()  # after a move, also of a study that has nothing else to do
            except OSError as error:
                self._say(f"MLflow may look for files where they were before a move: {error}")
            return self.outcome()
        interrupted = True
        with self._interrupt:
            try:
                if to_do and self._prepared.definition.run.executor != "ray":  # which loads for itself
                    load_ahead()
                self._open()
                assert self._outbox
                self._outbox.stages(self._prepared.trained_stages())
                if to_do:
                    self._drop_early()
                self._end_paused()  # of a start that ended before it had written down who is stopped
                self._take_over_known()
                self._hold_back()
                if to_do:
                    self._execute()
                self._outbox.flush()
                if self._outbox.failed:
                    self._outbox.finished(list(self._untracked()))
                dropped = self._kept.settle(lambda: self._workers(1), self._say, self._check)
                if not to_do:
                    self._say_dropped(dropped)
                self._outbox.drop_networks(dropped)
                self._outbox.flush()
                interrupted = False
            finally:
                self._close(interrupted)
        self._look_at(place)
        spent = self._budget.trials_spent() if self._held_back else None
        untracked = self._ledger.untracked(self._study.name)
        return replace(self.outcome(spent), sent=self._outbox.sent, unsent=len(untracked))

    def _hold_back(self) -> None:
        """Leaves to a later start what `run.max_trials` does not admit."""
        every = list(self._todo)
        self._todo.clear()
        for item in every:
            if self._budget.admits(item.trial.number, self._begun):
                self._begun.add(item.trial.number)
                self._todo.append(item)
            else:
                self._held_back = True

    def _drop_early(self) -> None:
        """Makes room before anything is trained, also where the tracker has links to the same files."""
        assert self._outbox
        dropped = self._kept.drop_early()
        if dropped:
            self._say_dropped(dropped)
            self._outbox.drop_networks(dropped)
            self._outbox.flush()

    def _say_dropped(self, dropped: Sequence[tuple[str, int]]) -> None:
        if dropped:
            keep, many = self._prepared.definition.run.keep, len(dropped)
            what = "1 network was" if many == 1 else f"{many} networks were"
            self._say(f"{what} removed, as run.keep={keep} says; results stay.")

    def _look_at(self, place: Place) -> None:
        """Notes which seed runs our own tracking database has lost; it may have been removed at any time."""
        if place.is_ours:
            name = self._study.name
            lost = place.lacking(name, self._ledger.tracked(name))
            self._ledger.mark_untracked(name, lost)
            if lost and not self._outbox:
                self._say(f"MLflow has lost {len(lost)} seed runs; they are sent again from the ledger.")

    def _lacks_stages(self, place: Place) -> bool:
        """Whether our own tracking database lacks a pretrain stage that has been trained."""
        trained = {stage.fingerprint for stage in self._prepared.trained_stages()}
        return place.is_ours and bool(place.lacking_stages(self._study.name, trained))

    def _record(self) -> None:
        """Writes down the study and its trials as they are asked for."""
        plan, name = self._prepared.plan, self._study.name
        if not self._prepared.known.trials:
            self._ledger.forget(name)  # trials of a start that came to no result
        elif not self._study.is_listed:
            self._ledger.drop_trials(name, max(trial.number for trial in self._prepared.known.trials))
        self._about = self._prepared.record(self._command)
        self._ledger.put_study(self._about)
        self._ledger.put_trials(name, plan.new)
        self._ledger.describe(name, plan.renamed)

    def _open(self) -> None:
        definition, prepared = self._prepared.definition, self._prepared
        self._networks.describe_images(prepared.data)
        self._optuna = OptunaStudy(self._database.optuna(), self._study, definition.space, self._curve_of)
        self._optuna.match(self._state.results())
        place = prepared.tracked()
        self._outbox = Outbox(
            MlflowTracker(place, about=self._about, commit=self._commit, say=self._say),
            self._ledger,
            self._study.name,
            name=f"MLflow at {place.shown}",
            seeds=self._study.seeds,
            network_of=self._kept.to_show,
            confusion_of=self._networks.confusion_of,
            warn=self._say,
        )

    def _check(self) -> None:
        """Between two steps: says how far it is; raises where it is to end."""
        if self._display and time.monotonic() - self._noted_s >= TOLD_EVERY_S / 2:
            self._noted_s = time.monotonic()
            self._show_standing(self._display)
            write_note(self._note, self._display.note())
        self._budget.check()

    def _show_standing(self, display: Display) -> None:
        """Says which trial leads, and how long it will take."""
        waiting: Counter[str | None] = Counter()
        configs = [trial.config for trial in self._state.trials] or self._prepared.probes()
        mean_epochs = sum(config.num_epochs for config in configs) / max(1, len(configs))
        num_runs = 0
        for trial, many in self._state.lacking():
            num_runs += many
            if trial is None:
                waiting[None] += round(many * mean_epochs)
                continue
            if trial.fingerprint not in self._shapes:
                self._shapes[trial.fingerprint] = shape = shape_of(trial.config)
                stored = is_stored(self._prepared, self._reuse, trial.config)
                self._pace.expect(shape, epoch_cost(trial.config, self._prepared.data.channels, is_stored=stored))
            waiting[self._shapes[trial.fingerprint]] += many * trial.config.num_epochs
        leader = self._state.leader()
        display.stands(
            best="" if leader is None else leader_told(*leader, metric=self._study.metric),
            num_failed=sum(state == RunState.FAILED for state in self._state.states.values()),
            left_s=self._pace.left_s(waiting, len(self._workers().slots), num_runs=num_runs),
        )

    def _check_training(self, executor: Executor) -> None:
        """The same while workers train: what ends the study lets them finish their epochs, so that none is lost."""
        try:
            self._check()
        except (KeyboardInterrupt, BudgetSpent) as error:
            is_asked_by_user = isinstance(error, KeyboardInterrupt)
            # folds save nothing between, and what sends SIGTERM kills a little later
            if self._study.folds or (is_asked_by_user and self._interrupt.is_pressing):
                raise
            if isinstance(self._ending, BudgetSpent) and is_asked_by_user:
                raise
            if self._ending is None:
                self._ending = error
                executor.ask_to_stop()
                self._say("Stopping after the epochs that are running; Ctrl-C again leaves at once.")

    def _close(self, interrupted: bool) -> None:
        if self._display:
            self._display.stop()
        if self._executor:
            self._executor.close()
        if self._outbox:
            # those that wait at a rung are not through, and the next start looks for such as were killed
            self._outbox.close(self._untracked(), interrupted=interrupted or bool(self._state.paused))
        if self._optuna:
            self._optuna.close()
        self._room.release()
        remove_note(self._note)

    def _say(self, line: str) -> None:
        if self._display:
            self._display.say(line)
        else:
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def outcome(self, ended_by: BaseException | None = None) -> Outcome:
        """How far the study has come."""
        best = None if ended_by else self._kept.best_folder()
        return replace(self._state.outcome(ran=self._ran, best=best), ended_by=ended_by)

    # -- what the tracker is told --------------------------------------------------------------------------------------

    def _untracked(self) -> Iterator[Ended]:
        for trial in self._state.trials:
            rows = self._ledger.seed_runs(self._study.name, fingerprint=trial.fingerprint)
            for row in rows:
                if not row.tracked and row.state != RunState.PAUSED:
                    yield Ended(trial=trial, seed=row.seed, completes=self._state.is_whole(trial))

    # -- results that exist already ------------------------------------------------------------------------------------

    def _take_over_known(self) -> None:
        """Takes over seed runs that another study of this ledger has done: same fingerprint, same seed."""
        if not self._others:
            return
        items = list(self._todo)
        self._todo.clear()  # what is taken over may ask for more
        if taken := sum(self._add(item) for item in items):
            self._say(f"{taken} seed runs are taken over from other studies with the same fingerprint.")

    def _known_elsewhere(self, item: Todo) -> SeedRun | None:
        """The same seed run of another study, if it says what this one asks; up to the epoch that is asked for.

        What it came to later is not looked at, so that a trial is stopped at a rung whether others know it or not.
        """
        row = self._ledger.find(item.trial.fingerprint, item.seed) if self._others else None
        if row is None or (row.state == RunState.COMPLETE and not set(self._study.scores) <= set(row.metrics)):
            return None
        is_longer = item.until is not None and len(row.history or ()) > item.until
        return cut_at(row, item.trial.config, item.until) if item.until is not None and is_longer else row

    def _take_over(self, trial: TrialRecord, row: SeedRun) -> None:
        origin = row.reused_from or row.study
        network = None if row.state == RunState.PAUSED else self._networks.take_over(row)
        own = replace(row, study=self._study.name, reused_from=origin, tracked=False, network=network)
        self._write([(trial, own)])

    # -- running ------------------------------------------------------------------------------------------------------

    def _execute(self) -> None:
        self._room.hold()
        with cache.hold(self._prepared.in_use()):
            self._execute_with_images()

    def _execute_with_images(self) -> None:
        prepared = self._prepared
        executor = self._workers()
        for slot in executor.slots:
            executor.submit(WarmUp(), slot)  # loading torch takes seconds, in which there is other work to do
        for data in prepared.shown():
            if data.is_made:
                verify(data)
        self._say(describe_data(prepared.data))
        first, threads = executor.slots[0], prepared.environment.threads
        where = f"on {first.device}" if len({slot.device for slot in executor.slots}) == 1 else "on several devices"
        self._say(f"{count(len(executor.slots), 'worker')} {where}, {count(threads, 'thread')} each")
        so_far = self._state.outcome(ran=0, best=None)
        self._display = Display(
            self._study.name,
            total=so_far.total,
            done=so_far.done,
            console=self._console,
            may_stop=ends_early(self._study, [trial.config for trial in self._state.trials]),
        )
        if so_far.done:
            self._say(f"{so_far.done} of {so_far.total} seed runs are done already; going on with the others.")
        configs = [trial.config for trial in self._state.trials]
        if self._state.to_ask:
            configs += prepared.probes()
        provide_generated(prepared, configs, executor=executor, display=self._display, check=self._check)
        provide_weights(prepared, configs, executor=executor, display=self._display, check=self._check)
        assert self._outbox
        self._outbox.stages(prepared.trained_stages())
        self._note_start()
        self._warn(configs)
        runs = [item.trial.config for item in self._todo]
        if self._state.to_ask:
            smallest = min(prepared.probes(), key=lambda config: kept_bytes(config, prepared.data))
            runs += [smallest] * (self._state.to_ask * len(self._study.seeds))
        self._room.require(runs, whole_study=True, waiting=waiting_bytes(self._study, configs, prepared.data))
        is_plain = self._study.method == "random" and not self._study.stop
        if is_plain and (self._study.pruner or any(prepared.prefix(phase) for c in configs for phase in phases(c))):
            while self._ask():  # it hears of no result, so that all that is to be shared can be known now
                self._check()
        if self._study.pruner and not self._in_order:
            self._todo.clear()
            while self._begin_round():
                self._train(executor)
        elif self._todo or self._state.to_ask:
            self._train(executor)
        self._begin_confirmation()
        if self._todo:
            self._train(executor)
        self._display.stop()

    def _train(self, executor: Executor) -> None:
        """Does what waits, and what the sampler still proposes."""
        assert self._optuna
        assert self._outbox
        assert self._display
        prepared = self._prepared
        decided = prepared.decide_reuse(self._todo_counts(), self._state.to_ask)
        with contextlib.ExitStack() as held:
            held.enter_context(cache.hold(prepared.in_use()))  # what was pretrained just now, too
            held.enter_context(cache.hold(prepared.present([d.prefix for d in decided.decisions if d.reuse])))
            self._reuse = provide_features(prepared, decided, executor=executor, check=self._check, say=self._say)
            self._shapes.clear()  # what an epoch is expected to cost hangs on what is stored
            held.enter_context(cache.hold(folders(prepared, self._reuse)))
            scheduler = Scheduler(
                prepared,
                self._reuse,
                num_slots=len(executor.slots),
                work=self._work,
                networks=self._networks,
                room=self._room,
                commit=self._commit,
                todo=self._todo,
                ask=self._ask,
                write=self._write,
                outbox=self._outbox,
                display=self._display,
                pace=self._pace,
                is_ending=lambda: self._ending is not None,
            )
            try:
                run_all(executor, scheduler, lambda: self._check_training(executor))
            finally:
                self._ran += scheduler.ran
            if self._ending is not None:
                raise self._ending

    def _warn(self, configs: Sequence[TrialConfig]) -> None:
        for sentence in self._prepared.warnings():
            self._say(sentence)
        for left_out, kept in self._prepared.plan.coinciding:
            self._say(f"{describe(left_out)} means the same network as {describe(kept)} and is not run twice.")
        if self._study.trials is not None and self._about.num_trials < self._study.trials:
            self._say(f"The space has no more than {len(self._state.trials) + self._state.to_ask} different trials.")
        if any(config.weights == "none" and self._prepared.num_frozen(phases(config)[0]) for config in configs):
            self._say("warning: the frozen part of some networks has random weights (trial.weights: none)")

    def _todo_counts(self) -> list[tuple[TrialConfig, int]]:
        """Trials with their number of seed runs still to do; in a race as many as it may come to."""
        counts = Counter(item.trial.number for item in self._todo)
        if self._study.pruner:
            counts = Counter({number: max(own, len(self._study.seeds) - 1) for number, own in counts.items()})
        return [(trial.config, counts[trial.number]) for trial in self._state.trials if counts[trial.number]]

    def _write(self, pairs: Sequence[tuple[TrialRecord, SeedRun]]) -> None:
        """Ledger first: it is the truth. Then the tracker, which may be late."""
        assert self._outbox
        rows = [row for _, row in pairs]
        stop: DiskFull | None = None
        try:
            self._ledger.put(rows)
        except LedgerError as error:
            if not is_full(error):
                raise
            self._room.release()
            self._ledger.put(rows)
            stop = disk_full(error, self._prepared.out)
        for _, row in pairs:
            self._state.know(row)
            if row.state.is_result:
                shutil.rmtree(folder_of(self._work, row.fingerprint, row.seed), ignore_errors=True)
        if stop is not None:
            raise stop
        pairs = [(trial, row) for trial, row in pairs if row.state != RunState.PAUSED]  # nobody is told of these
        if self._in_order:
            self._state.look_at_pruning()
        # of each trial the last row may be the one that completes it
        last = {trial.number: (trial, row) for trial, row in pairs}
        whole = {number: trial for number, (trial, _) in last.items() if self._state.is_whole(trial)}
        ends = {(number, last[number][1].seed) for number in whole}
        self._outbox.finished(
            Ended(trial=trial, seed=row.seed, completes=(trial.number, row.seed) in ends) for trial, row in pairs
        )
        if whole:
            self._kept.drop_losers(trial for trial in whole.values() if self._state.has_results(trial))
        assert self._optuna
        self._optuna.add(self._state.results(whole.values()))
        if self._in_order:
            self._say_stopped(self._state.stopped())
            self._end_paused()
            if self._display:
                self._recount()
            self._hand_out()

    def _workers(self, slots: int | None = None) -> Executor:
        if self._executor is None:
            prepared, run = self._prepared, self._prepared.definition.run
            self._executor = make_executor(
                run.executor,
                prepared.slots()[:slots],
                self._work,
                address=run.address,
                shared=[prepared.cache],
                cache_gb=run.cache_gb,
                say=self._say,
            )
        return self._executor

    # -- trials that are spared ---------------------------------------------------------------------------------------

    def _begin_round(self) -> bool:
        """Stops trials that can hardly win, and gives the others their next epochs or seeds; False at the end."""
        assert self._display
        assert self._optuna
        while True:
            waiting = self._state.next_round()
            stopped = self._state.stopped()
            self._say_stopped(stopped)
            self._end_paused()
            self._optuna.add(self._state.results())  # stopped ones too, and those that left for want of a number
            self._kept.drop_losers(stopped)
            self._recount()
            self._todo.extend(waiting)
            self._take_over_known()
            self._hold_back()
            if self._todo:
                return True
            if not waiting or self._held_back:
                return False

    def _say_stopped(self, stopped: Sequence[TrialRecord]) -> None:
        """Names the trials that were stopped since this was last called."""
        by_reason: dict[str, list[int]] = {}
        for trial in stopped:
            if trial.number not in self._said_stopped:
                by_reason.setdefault(self._state.why_stopped(trial), []).append(trial.number)
        for reason, numbers in by_reason.items():
            self._said_stopped.update(numbers)
            many = f"{len(numbers)} of {len(self._state.trials)} trials {'is' if len(numbers) == 1 else 'are'} stopped"
            self._say(f"{many}, since {reason}: {', '.join(map(str, sorted(numbers)))}.")

    def _hand_out(self) -> None:
        """Where trials are judged one by one: gives them their next epochs or seeds."""
        for item in self._state.next_round():
            key = item.trial.fingerprint, item.seed, item.until
            if key in self._handed:
                continue
            if not self._budget.admits(item.trial.number, self._begun):
                self._held_back = True
                continue
            self._begun.add(item.trial.number)
            self._handed.add(key)
            self._add(item)

    def _add(self, item: Todo) -> bool:
        """Takes a seed run over from another study, or puts it on the list; returns whether it was taken over."""
        row = self._known_elsewhere(item)
        if row is None:
            self._todo.append(item)
            return False
        self._take_over(item.trial, row)
        return True

    def _end_paused(self) -> None:
        """Writes down of seed runs at a rung that they will never go on; their training states go."""
        ended = []
        for trial, row in self._state.to_end():
            reason, had = self._state.why_stopped(trial), len(row.history or ())
            # the ledger adds what it has counted as repeated
            ended.append((trial, replace(row, state=RunState.PRUNED, reason=reason, max_epoch=had, repeated_s=0.0)))
        if ended:
            self._write(ended)

    # -- confirmation ------------------------------------------------------------------------------------------------

    def _begin_confirmation(self) -> None:
        confirm = self._study.confirm
        if confirm is None:
            return
        assert self._display
        if self._state.has_failed():
            self._say("Nothing is confirmed before every seed run has a result; starting again tries the failed ones.")
            return
        waiting = self._state.to_confirm()
        if waiting:
            numbers = ", ".join(str(number) for number in dict.fromkeys(item.trial.number for item in waiting))
            self._say(f"Confirming trials {numbers} on {len(confirm.seeds)} fresh seeds.")
            self._recount()
            self._todo.extend(waiting)
            self._take_over_known()
            self._hold_back()

    def _recount(self) -> None:
        assert self._display
        counts = self._state.outcome(ran=0, best=None)
        self._display.recount(total=counts.total, done=counts.done)

    # -- asking and telling -------------------------------------------------------------------------------------------

    def _curve_of(self, trial: TrialRecord) -> dict[int, float]:
        rows = self._ledger.seed_runs(self._study.name, fingerprint=trial.fingerprint, heavy=True)
        return mean_curve([row for row in rows if row.seed in self._study.seeds], self._study.metric)

    def _ask(self) -> bool:
        """Gets one more trial from the sampler; False when there is none, or none yet."""
        assert self._display
        if not self._state.to_ask:
            return False
        number = self._state.next_number
        if not self._budget.admits(number, self._begun):
            self._held_back = True
            return False
        heard = self._state.heard() if self._study.method == "bayes" or self._study.stop else []
        if heard is None:
            return False
        if self._state.is_enough():
            self._end_search(why := why_enough(self._study, len(self._state.trials)), ended=why)
            return False
        taken = {trial.fingerprint: trial.number for trial in self._state.trials}
        definition = self._prepared.definition

        def name_of(params: dict[str, Any]) -> str:
            return self._prepared.name_of(definition.trial(params))

        results = self._state.results(heard) if self._study.method == "bayes" else []  # others hear of none
        proposal = self._sampler.propose(number, results, taken, name_of)
        if proposal.num_invalid:
            self._note_invalid(number, proposal)
        params = proposal.params
        if params is None:
            count = len(self._state.trials)
            invalid = (
                f" ({proposal.num_invalid} points in a row break a rule: {proposal.broken})" if proposal.broken else ""
            )
            self._end_search(f"No other trial was found{invalid}; the study ends with {count}.")
            return False
        config = definition.trial(params)
        fingerprint = self._prepared.name_of(config)
        trial = TrialRecord(number=number, params=params, config=config, fingerprint=fingerprint)
        self._ledger.put_trials(self._study.name, [trial])
        self._state.trials.append(trial)
        self._begun.add(number)
        self._state.to_ask -= 1
        for prefix in map(self._prepared.prefix, phases(config)):
            foreseen = prefix is None or not self._reuse.decisions or self._reuse.of(prefix) is not None
            if prefix is not None and not foreseen and prefix not in self._unforeseen:
                self._unforeseen.add(prefix)
                self._say(f"{prefix.describe()} is computed each time: no planned trial was known to need it.")
        if self._in_order:
            self._hand_out()
        else:
            for seed in self._study.seeds:
                self._add(Todo(trial=trial, seed=seed))
        return True

    def _note_invalid(self, number: int, proposal: Proposal) -> None:
        """Points that break a rule between parameters are passed over and counted; the rule is said once."""
        if not self._about.invalid:
            self._say(f"A proposed point is no valid trial and is passed over, as all such are: {proposal.broken}")
        self._about = replace(self._about, invalid={**self._about.invalid, number: proposal.num_invalid})
        self._ledger.put_study(self._about)

    def _note_start(self) -> None:
        """What pretrain stages came to, and on what seed runs run, stands in reports."""
        machines = dict.fromkeys([*self._about.hardware, hardware(self._prepared.environment.device)])
        about = replace(self._about, pretrain=self._prepared.stage_records(), hardware=tuple(machines))
        if about != self._about:
            self._about = about
            self._ledger.put_study(about)

    def _end_search(self, why: str, *, ended: str = "") -> None:
        """No other trial is asked for: the space holds none, or it would hardly change the answer.

        Args:
            ended: for the report, where the space holds others.
        """
        assert self._display
        self._say(why)
        self._state.to_ask = 0
        self._about = replace(self._about, num_trials=len(self._state.trials), ended=ended)
        self._ledger.put_study(self._about)
        self._recount()
