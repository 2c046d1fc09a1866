"""Ctrl-C and SIGTERM, answered between two steps and never in the middle of one.

Raised wherever the program happens to be, KeyboardInterrupt would leave a database transaction open, on whose lock
the closing of the study then waits for a minute.
"""

import signal
from types import FrameType, TracebackType
from typing import Any


class Interrupt:
    """While entered, the first signal is noted for `check`; a second one interrupts at once."""

    def __init__(self) -> None:
        self._asked = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Interrupt":
        for kind in (signal.SIGINT, signal.SIGTERM):
            before = signal.getsignal(kind)
            if before != signal.SIG_IGN:  # a shell's background job is not meant to hear Ctrl-C
                self._before[kind] = signal.signal(kind, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for signal_kind, before in self._before.items():
            signal.signal(signal_kind, before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True

    def check(self) -> None:
        """Raises KeyboardInterrupt when a signal has come."""
        if self._asked:
            raise KeyboardInterrupt
