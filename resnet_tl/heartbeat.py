"""Signs of life of a long computation, for whoever watches it from outside; and whether that one asks for its end.

Whatever goes through batches, or waits for another process, calls `beat` at each step. Nobody listens unless somebody
asked to; then a step costs a tenth of a microsecond.
"""

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar

_listener: ContextVar[Callable[[float | None], None] | None] = ContextVar("listener", default=None)
_asked: ContextVar[Callable[[], bool] | None] = ContextVar("asked", default=None)


class Stopped(Exception):
    """A computation has ended where it was asked to, and can go on from there."""


def beat(share: float | None = None) -> None:
    """Says that the computation goes on.

    Args:
        share: how much of the epoch of training that is under way is done, from 0 to 1; None outside of one.
    """
    listener = _listener.get()
    if listener is not None:
        listener(share)


def stop_asked() -> bool:
    """Whether the computation is to save what it has and to raise `Stopped`, as soon as that loses nothing."""
    asked = _asked.get()
    return asked is not None and asked()


@contextlib.contextmanager
def heard(listener: Callable[[float | None], None], asked: Callable[[], bool] | None = None) -> Iterator[None]:
    """Has what is computed meanwhile, in this thread, tell a listener of each step.

    Args:
        asked: whether it is to end early; see `stop_asked`.
    """
    token, other = _listener.set(listener), _asked.set(asked)
    try:
        yield
    finally:
        _listener.reset(token)
        _asked.reset(other)
