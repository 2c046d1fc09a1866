"""What a person sees while a study runs: a bar and a line per running seed run, or plain lines without a terminal."""

import os
import socket
import time
from collections.abc import Hashable
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TaskID, TextColumn
from rich.text import Text

from sweeps.storage.driver_note import DriverNote, RunningJob
from sweeps.storage.ledger import now

QUIET_S = 60.0
"""Without a terminal, how long nothing is printed while jobs run: long enough for a log, short enough for a person."""


class _TimeLeft(ProgressColumn):
    """Time left, from the mean duration of the seed runs so far."""

    def render(self, task: Any) -> Text:
        left = task.fields.get("left")
        if left is None:
            return Text("")
        minutes, seconds = divmod(round(left), 60)
        hours, minutes = divmod(minutes, 60)
        return Text(f"{hours}:{minutes:02}:{seconds:02} left" if hours else f"{minutes}:{seconds:02} left")


class Display:
    """Shows the progress of one study.

    Args:
        total: seed runs of the study, done ones included.
        done: seed runs that were done before.
        workers: seed runs at a time.
    """

    def __init__(self, study: str, *, total: int, done: int, workers: int, console: Console) -> None:
        self._study, self._total, self._done, self._workers = study, total, done, workers
        self._console = console
        self._before = done
        self._spent_s = 0.0
        self._lines: dict[Hashable, TaskID] = {}
        self._jobs: dict[Hashable, RunningJob] = {}
        self._progress: Progress | None = None
        self._began_s = self._said_s = time.monotonic()
        if console.is_terminal:
            self._progress = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                _TimeLeft(),
                TextColumn("{task.fields[note]}"),
                console=console,
                transient=True,
            )
            self._progress.start()
            self._bar = self._progress.add_task(f"[bold]{study}", total=total, completed=done, left=None, note="")

    def recount(self, *, total: int, done: int) -> None:
        """The study turned out to have another number of seed runs, or to have more of them done already."""
        self._before += done - self._done  # which took no time now
        self._total, self._done = total, done
        if self._progress:
            self._progress.update(self._bar, total=total, completed=done)

    def running(self, key: Hashable, name: str, epoch: int, epochs: int, note: str, *, counted: str = "epoch") -> None:
        """A job is in progress; `counted` says what `epoch` and `epochs` count."""
        self._jobs[key] = RunningJob(name=name, epoch=epoch, epochs=epochs, note=note)
        if not self._progress:
            if time.monotonic() - self._said_s > QUIET_S:
                minutes = (time.monotonic() - self._began_s) / 60
                self.say(
                    f"[{self._done}/{self._total}] running for {minutes:.0f} min: {name}, {counted} {epoch} of {epochs}"
                    + (f", {note}" if note else "")
                )
            return
        if key not in self._lines:
            self._lines[key] = self._progress.add_task(f"  {name}", total=epochs, left=None, note="")
        self._progress.update(self._lines[key], completed=epoch, note=note)

    def finished(self, key: Hashable, line: str, wall_s: float, *, counts: bool = True) -> None:
        """A job has ended."""
        self._jobs.pop(key, None)
        if counts:
            self._done += 1
            self._spent_s += wall_s
        if self._progress:
            if key in self._lines:
                self._progress.remove_task(self._lines.pop(key))
            self._progress.update(self._bar, completed=self._done, left=self._left_s())
        self.say(f"[{self._done}/{self._total}] {line}")

    def _left_s(self) -> float | None:
        new = self._done - self._before
        return self._spent_s / new * (self._total - self._done) / self._workers if new else None

    def note(self) -> DriverNote:
        """The same for whoever looks from elsewhere."""
        return DriverNote(
            host=socket.gethostname(),
            pid=os.getpid(),
            told=now(),
            done=self._done,
            total=self._total,
            left_s=self._left_s(),
            jobs=tuple(self._jobs.values()),
        )

    def say(self, line: str) -> None:
        """Prints a line above the bars."""
        self._said_s = time.monotonic()
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def stop(self) -> None:
        """Takes the bars away."""
        if self._progress:
            self._progress.stop()
            self._progress = None
