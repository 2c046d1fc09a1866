"""Sends what the ledger holds to a tracker, off the training path.

A thread of the driver sends; what could not be sent is in the ledger, marked as not tracked, and goes out when the
study ends or starts again. So a tracker that is slow or down costs no training time and no result.
"""

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnet_tl.result import Epoch
from sweeps.records import RunState, SeedRun, TrialRecord
from sweeps.storage.ledger import Ledger
from sweeps.storage.schema import LedgerError
from sweeps.tracking.credentials import one_line
from sweeps.tracking.tracker import EndedRun, EndedTrial, Key, Tracker, TrainedStage

RETRY_S = 30.0
"""Pause after the tracker failed, before it is tried again."""

SENT_TOGETHER = 50
"""Seed runs that are sent, and marked in the ledger, at a time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """A seed run that is in the ledger, from where the rest is read when its turn comes."""

    trial: TrialRecord
    seed: int
    completes: bool = False
    """Whether it is the last of its trial's seed runs."""


class Outbox:
    """The unsent seed runs of one study, and the thread that sends them.

    Args:
        name: of the tracker, in messages.
        seeds: of the search; a trial's means are over these.
        network_of: the folder of a seed run's network that is to be sent, or None.
        confusion_of: a seed run's confusion matrices, or None.
        warn: told once when the tracker fails.
    """

    def __init__(
        self,
        tracker: Tracker,
        ledger: Ledger,
        study: str,
        *,
        name: str,
        seeds: Sequence[int],
        network_of: Callable[[SeedRun], Path | None],
        confusion_of: Callable[[SeedRun], Mapping[str, Any] | None],
        warn: Callable[[str], None],
    ) -> None:
        self._tracker, self._ledger, self._study = tracker, ledger, study
        self._name, self._seeds, self._warn = name, seeds, warn
        self._network_of, self._confusion_of = network_of, confusion_of
        self._events: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._waiting: deque[Ended] = deque()
        self._shown: dict[Key, tuple[TrialRecord, Sequence[Epoch]]] = {}
        """What is to be shown of running seed runs; of each there is an event that takes it."""
        self._shown_lock = threading.Lock()
        self._stages: tuple[TrainedStage, ...] = ()
        """Sent at every connecting, since no ledger knows which of them arrived."""
        self._always: set[Callable[[], object]] = set()
        self._connected = False
        self._down_until = 0.0
        self._warned = self._warned_of_stages = self._stages_missed = False
        self.sent = False
        """Whether the tracker was sent a seed run that has ended."""
        self.failed = False
        """Whether the tracker has failed at some time, and so may lack something."""
        self._thread = threading.Thread(target=self._work, name="outbox", daemon=True)
        self._thread.start()
        self._events.put(lambda: None)  # connecting takes seconds, which need not wait for the first result

    # -- called by the driver; none but `flush` and `close` waits ------------------------------------------------------

    def stages(self, stages: Sequence[TrainedStage]) -> None:
        """These pretrain stages of the study, all that there are so far, have been trained."""
        self._stages = tuple({stage.fingerprint: stage for stage in stages}.values())
        self._events.put(self._try_stages)

    def epochs(self, trial: TrialRecord, seed: int, epochs: Sequence[Epoch]) -> None:
        """A running seed run has finished these epochs so far; none yet says that it has begun."""

        key = trial.fingerprint, seed
        with self._shown_lock:
            waiting = key in self._shown
            self._shown[key] = trial, tuple(epochs)  # the newest say all that the older ones said
        if not waiting:
            self._events.put(lambda: self._show(key))

    def drop_networks(self, runs: Iterable[Key]) -> None:
        """Networks do not outlive the study."""
        gone = set(runs)
        if gone:
            self._events.put(lambda: self._tracker.drop_networks(gone))

    def finished(self, ended: Iterable[Ended]) -> None:
        """Seed runs are in the ledger."""
        several = list(ended)
        with self._shown_lock:
            for each in several:
                # they may be sent before their turn, with others; shown after that, they would begin anew
                self._shown.pop((each.trial.fingerprint, each.seed), None)
        self._waiting.extend(several)
        self._events.put(self._send_waiting)

    def flush(self) -> None:
        """Waits until all that was said so far is sent, or has failed."""
        reached = threading.Event()
        self._always.add(reached.set)
        self._events.put(reached.set)
        reached.wait()

    def close(self, missing: Iterable[Ended], *, interrupted: bool) -> None:
        """Sends what is left, ends all runs, and waits for it.

        Args:
            missing: the seed runs that the ledger holds and the tracker may lack; looked at when the queue is empty.
            interrupted: runs that were going on are marked as killed; the next start takes them up again.
        """

        def catch_up() -> None:
            if self._stages_missed:
                self._try_stages()
            self._send(list(missing))
            self._tracker.end_open(killed=interrupted)

        self._down_until = 0.0
        if interrupted:
            self._show_nothing()  # the next start shows them again
        self._events.put(catch_up)
        self._events.put(None)
        self._thread.join()
        self._tracker.close()

    # -- the thread ---------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        while (event := self._events.get()) is not None:
            if event in self._always:
                event()
                continue
            if time.monotonic() < self._down_until:
                self._show_nothing()  # its event may be this one; what comes after gets a new one
                continue  # the ledger has it
            try:
                if not self._connected:
                    unsent, sent = self._ledger.untracked(self._study), self._ledger.tracked(self._study)
                    self._ledger.mark_untracked(self._study, self._tracker.connect(unsent, sent))
                    self._connected = True
                    self._try_stages()
                event()
            except Exception as error:  # whatever a tracker raises, training goes on
                self._down_until = time.monotonic() + RETRY_S
                # what arrived before the failure is not known: look again before sending more
                self._connected = False
                self._tracker.close()
                self.failed = True
                if not self._warned and not isinstance(error, LedgerError):  # which the driver meets, too
                    self._warned = True
                    self._warn(
                        f"{self._name} fails ({type(error).__name__}: {one_line(error)}); results are kept in the "
                        "ledger and sent later."
                    )

    def _try_stages(self) -> None:
        """Stages on their own: what keeps one of them from being sent keeps no seed run from it."""
        try:
            if self._stages:
                self._tracker.stages(self._stages)
            self._stages_missed = False
        except Exception as error:  # whatever a tracker raises
            self.failed = self._stages_missed = True
            if not self._warned_of_stages:
                self._warned_of_stages = True
                self._warn(
                    f"{self._name} lacks a pretrain stage ({type(error).__name__}: {one_line(error)}); it is sent "
                    "again at the end, and at the next start."
                )

    def _show_nothing(self) -> None:
        with self._shown_lock:
            self._shown.clear()

    def _show(self, key: Key) -> None:
        with self._shown_lock:
            trial, epochs = self._shown.pop(key, (None, ()))
        if trial is not None:
            self._tracker.begin(trial, key[1])
            if epochs:
                self._tracker.epochs(trial, key[1], epochs)

    def _send_waiting(self) -> None:
        """All that has come up to now: together they take less time than one by one."""
        several = []
        while self._waiting:
            several.append(self._waiting.popleft())
        self._send(several)

    def _send(self, several: Sequence[Ended]) -> None:
        # a seed run may have been named twice, and sent since
        unsent = self._ledger.untracked(self._study)
        once = {(ended.trial.fingerprint, ended.seed): ended for ended in several}
        completed = {ended.trial.number for ended in several if ended.completes}
        left = [ended for key, ended in once.items() if key in unsent or ended.trial.number in completed]
        for first in range(0, len(left), SENT_TOGETHER):
            part = left[first : first + SENT_TOGETHER]
            runs = [self._ended_run(ended) for ended in part if (ended.trial.fingerprint, ended.seed) in unsent]
            last = {ended.trial.number: ended.trial for ended in part if ended.trial.number in completed}
            later = {ended.trial.number for ended in left[first + SENT_TOGETHER :]}
            trials = [self._ended_trial(trial) for number, trial in last.items() if number not in later]
            self._tracker.finish(runs, trials)
            self.sent = True
            # whatever a kill leaves unmarked is sent again
            self._ledger.mark_tracked(self._study, [(ended.run.fingerprint, ended.run.seed) for ended in runs])

    def _ended_run(self, ended: Ended) -> EndedRun:
        run = self._ledger.seed_run(self._study, ended.trial.fingerprint, ended.seed)
        return EndedRun(trial=ended.trial, run=run, network=self._network_of(run), confusion=self._confusion_of(run))

    def _ended_trial(self, trial: TrialRecord) -> EndedTrial:
        runs = self._ledger.seed_runs(self._study, fingerprint=trial.fingerprint)
        ended = (run for run in runs if run.seed in self._seeds and run.state != RunState.PAUSED)
        return EndedTrial(trial=trial, runs=tuple(ended))
