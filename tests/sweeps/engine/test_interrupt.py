"""Signals are answered between two steps."""

import os
import signal
from collections.abc import Callable, Iterator

import pytest

from sweeps.engine.interrupt import Interrupt

ALL = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.fixture(autouse=True)
def as_started_from_a_shell() -> Iterator[None]:
    before = {kind: signal.signal(kind, signal.SIG_DFL) for kind in ALL}
    yield
    for kind, handler in before.items():
        signal.signal(kind, handler)


def send(kind: signal.Signals) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), kind)


@pytest.mark.parametrize("kind", ALL)
def test_a_signal_waits_for_the_next_look(kind: signal.Signals) -> None:
    with Interrupt() as interrupt:
        send(kind)()
        with pytest.raises(KeyboardInterrupt):
            interrupt.check()
    assert signal.getsignal(kind) == signal.SIG_DFL


def test_a_second_ctrl_c_interrupts_at_once_but_the_end_of_a_terminal_may_be_said_twice() -> None:
    with Interrupt():
        send(signal.SIGHUP)()
        send(signal.SIGHUP)()
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)()


def test_what_is_ignored_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as `nohup` has it
    with Interrupt() as interrupt:
        send(signal.SIGHUP)()
        interrupt.check()
