"""Signs of life of a long computation, for whoever watches it from outside.

Whatever goes through batches, or waits for another process, calls `beat` at each step. Nobody listens unless somebody
asked to; then a step costs a tenth of a microsecond.
"""

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar

_listener: ContextVar[Callable[[], None] | None] = ContextVar("listener", default=None)


def beat() -> None:
    """Says that the computation goes on."""
    listener = _listener.get()
    if listener is not None:
        listener()


@contextlib.contextmanager
def heard(listener: Callable[[], None]) -> Iterator[None]:
    """Has what is computed meanwhile, in this thread, tell a listener of each step."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)
