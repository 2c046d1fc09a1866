"""A line on a terminal that says how far a long pass over images is."""

import sys
import time

EVERY_S = 0.2


class Progress:
    """Told how many images are done, and of how many; a terminal behind stderr shows it, else nothing is written.

    Used as a context, which removes the line at its end.
    """

    def __init__(self) -> None:
        self._shows = sys.stderr.isatty()
        self._started = self._told = time.monotonic()

    def __enter__(self) -> "Progress":
        return self

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if self._shows and now - self._told >= EVERY_S:
            self._told = now
            speed = done / (now - self._started)
            print(f"\r{done:,} of {total:,} images, {speed:,.0f}/s\x1b[K", end="", file=sys.stderr, flush=True)

    def __exit__(self, *_: object) -> None:
        if self._shows:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
