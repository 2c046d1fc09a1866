"""Signs of life of a download, which a library makes in one call: it goes on for as long as files grow."""

import contextlib
import contextvars
import threading
from collections.abc import Iterator
from pathlib import Path

from resnet_tl.heartbeat import beat

LOOK_S = 1.0
"""Pause between looks at the files."""


@contextlib.contextmanager
def while_growing(folder: Path) -> Iterator[None]:
    """Gives a sign of life whenever the files of a folder have changed in size."""
    ended = threading.Event()

    def watch() -> None:
        before = -1
        while not ended.wait(LOOK_S):
            size = _size_of(folder)
            if size != before:
                beat()
            before = size

    thread = threading.Thread(target=contextvars.copy_context().run, args=(watch,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _size_of(folder: Path) -> int:
    total = 0
    for path in folder.glob("*"):
        with contextlib.suppress(OSError):  # renamed since
            total += path.stat().st_size
    return total
