"""Ctrl-C, SIGTERM and the end of the terminal, answered between two steps and never in the middle of one.

Raised wherever the program happens to be, KeyboardInterrupt would leave a database transaction open, on whose lock
the closing of the study then waits for a minute.
"""

import os
import signal
import sys
from types import FrameType, TracebackType
from typing import Any

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")


class Interrupt:
    """While entered, the first signal is noted for `check`; a second Ctrl-C or SIGTERM interrupts at once."""

    def __init__(self) -> None:
        self._asked = False
        self.is_pressing = False
        """Whether whoever asked will not wait: another program, or a terminal that has gone."""
        self._before: dict[int, Any] = {}
        self._terminals: list[int] = []

    def __enter__(self) -> "Interrupt":
        self._terminals = [stream.fileno() for stream in (sys.__stdout__, sys.__stderr__) if stream and _is_tty(stream)]
        for name in _NAMES:
            kind = getattr(signal, name, None)  # Windows has no SIGHUP
            # a shell's background job is not meant to hear Ctrl-C, nor one under `nohup` of the end of the terminal
            if kind is not None and signal.getsignal(kind) != signal.SIG_IGN:
                self._before[kind] = signal.signal(kind, self._hang_up if name == "SIGHUP" else self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for signal_kind, before in self._before.items():
            signal.signal(signal_kind, before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked, self.is_pressing = True, number != signal.SIGINT

    def _hang_up(self, number: int, frame: FrameType | None) -> None:
        """A shell and the terminal may both send it, so that a second one says nothing new."""
        self._asked = self.is_pressing = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for descriptor in self._terminals:  # writing to a terminal that is gone is an error
            os.dup2(nowhere, descriptor)
        os.close(nowhere)

    def check(self) -> None:
        """Raises KeyboardInterrupt when a signal has come."""
        if self._asked:
            raise KeyboardInterrupt


def _is_tty(stream: Any) -> bool:
    try:
        return bool(stream.isatty())
    except (OSError, ValueError):  # closed
        return False
