"""What a person sees while a study runs: on a terminal one live screen, in a log the same as calm lines."""

import os
import socket
import time
from collections.abc import Hashable
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TaskID, TextColumn
from rich.text import Text

from sweeps.storage.driver_note import DriverNote, RunningJob
from sweeps.storage.ledger import now

QUIET_S = 60.0
"""Without a terminal, how long nothing is printed while jobs run, and the least time between two lines on how the study
stands: long enough for a log, short enough for a person."""


class _Clock(ProgressColumn):
    """How long something has run, or will run still."""

    def render(self, task: Any) -> Text:
        if left := task.fields.get("left"):
            return Text(left)
        return Text(clock(task.elapsed) if task.fields.get("is_job") and task.elapsed is not None else "")


def clock(seconds: float) -> str:
    """`1:02:03`, or `2:03`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Display:
    """Shows the progress of one study.

    Args:
        total: seed runs of the study, done ones included.
        done: seed runs that were done before.
        may_stop: whether trials may be stopped early, so that what is left is the most there can be.
    """

    def __init__(self, study: str, *, total: int, done: int, console: Console, may_stop: bool = False) -> None:
        self._total, self._done = total, done
        self._most = "at most " if may_stop else ""
        self._console = console
        self._lines: dict[Hashable, TaskID] = {}
        self._jobs: dict[Hashable, RunningJob] = {}
        self._best = self._told_best = ""
        self._left_s: float | None = None
        self._progress: Progress | None = None
        self._live: Live | None = None
        self._began_s = self._said_s = self._stood_s = time.monotonic()
        if console.is_terminal:
            self._progress = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                _Clock(),
                TextColumn("{task.fields[note]}", markup=False),
                console=console,
            )
            self._bar = self._progress.add_task(study, total=total, completed=done, note="")
            self._live = Live(get_renderable=self._screen, console=console, transient=True, refresh_per_second=4)
            self._live.start()

    def _screen(self) -> RenderableType:
        assert self._progress
        return Group(self._progress, Text(self._best)) if self._best else self._progress

    def recount(self, *, total: int, done: int) -> None:
        """The study turned out to have another number of seed runs, or to have more of them done already."""
        self._total, self._done = total, done
        if self._progress:
            self._progress.update(self._bar, total=total, completed=done)

    def running(
        self, key: Hashable, name: str, epoch: float, epochs: int, note: str, *, counted: str = "epoch"
    ) -> None:
        """A job is in progress.

        Args:
            epoch: done, with the part of the one that is under way.
            counted: what `epoch` and `epochs` count.
        """
        self._jobs[key] = RunningJob(name=name, epoch=int(epoch), epochs=epochs, note=note)
        if not self._progress:
            if time.monotonic() - self._said_s > QUIET_S:
                minutes = (time.monotonic() - self._began_s) / 60
                told = [f"[{self._done}/{self._total}] running for {minutes:.0f} min: {name}"]
                told += [f"{counted} {int(epoch)} of {epochs}", note]
                self.say("; ".join(filter(None, [", ".join(filter(None, told)), self._left()])))
            return
        if key not in self._lines:
            self._lines[key] = self._progress.add_task(f"  {name}", total=epochs, note="", is_job=True)
        self._progress.update(self._lines[key], completed=epoch, note=note)

    def finished(self, key: Hashable, line: str, *, counts: bool = True) -> None:
        """A job has ended."""
        self.drop(key)
        self._done += counts
        if self._progress:
            self._progress.update(self._bar, completed=self._done)
        self.say(f"[{self._done}/{self._total}] {line}")

    def drop(self, key: Hashable) -> None:
        """A job has ended, and what it was at is tried again."""
        self._jobs.pop(key, None)
        if self._progress and key in self._lines:
            self._progress.remove_task(self._lines.pop(key))

    def stands(self, *, best: str, num_failed: int, left_s: float | None) -> None:
        """How the study stands; a log is told once a minute at most, and nothing twice.

        Args:
            best: a sentence about the best trial so far; empty before there is one.
            left_s: seconds until all is done, as far as that can be known.
        """
        self._best, self._left_s = best, left_s
        failed = f"{num_failed} failed" if num_failed else ""
        if self._progress:
            self._progress.update(self._bar, left=self._left(), note=failed)
        elif best != self._told_best and time.monotonic() - self._stood_s > QUIET_S:
            self._told_best, self._stood_s = best, time.monotonic()
            self.say("; ".join(filter(None, [f"[{self._done}/{self._total}] {best}", self._left(), failed])))

    def _left(self) -> str:
        return "" if self._left_s is None else f"{self._most}{clock(self._left_s)} left"

    def note(self) -> DriverNote:
        """The same for whoever looks from elsewhere."""
        return DriverNote(
            host=socket.gethostname(),
            pid=os.getpid(),
            told=now(),
            done=self._done,
            total=self._total,
            left_s=self._left_s,
            best=self._best,
            jobs=tuple(self._jobs.values()),
        )

    def say(self, line: str) -> None:
        """Prints a line above the screen."""
        self._said_s = time.monotonic()
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def stop(self) -> None:
        """Takes the screen away."""
        if self._live:
            self._live.stop()
            self._live = self._progress = None
