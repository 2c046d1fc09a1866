"""Tells a task that stands still from one that takes long: a stopped worker, a dead disk, endless swapping."""

import time
from collections import Counter, deque
from collections.abc import Hashable, Sequence
from statistics import median

from resnet_tl.result import Epoch

STILL_S = 300.0
"""The least seconds without a sign of life after which a task stands still: no step of a fit takes that long."""

STILL_EPOCHS = 20.0
"""As many median epochs, where that is longer: steps of large networks on slow machines."""

MOST_BETWEEN_LOOKS_S = 5.0
"""What counts of the time between two looks. After a pause of the driver itself, stopped by Ctrl-Z say, its workers
have stood still with it."""


class Watch:
    """When running tasks have last shown a sign of life, on a clock that goes only while somebody looks."""

    def __init__(self) -> None:
        self._looked = time.monotonic()
        self._clock_s = 0.0
        self._last: dict[Hashable, tuple[Hashable, float]] = {}
        """The last sign of each task, and when it was new."""
        self._epochs_s: deque[float] = deque(maxlen=1000)

    def look(self) -> None:
        """Tasks are looked at now."""
        now = time.monotonic()
        self._clock_s += min(now - self._looked, MOST_BETWEEN_LOOKS_S)
        self._looked = now

    def forget(self, task: Hashable) -> None:
        """A task has ended; nothing of it is kept, least of all its result."""
        self._last.pop(task, None)

    def stands_still(self, task: Hashable, sign: Hashable, news: Sequence[tuple[int, Epoch]]) -> str | None:
        """Why a task is to be ended; None while it goes on.

        Args:
            sign: see `Executor.sign`.
            news: its epochs since the last look.
        """
        if news:
            # side by side, each of the runs has its share of an epoch's time
            together = max(Counter(run for run, _ in news).values())
            self._epochs_s.append(sum(epoch.wall_s for _, epoch in news) / together)
        last, since_s = self._last.get(task, (None, 0.0))
        if news or last != sign or task not in self._last:
            self._last[task] = sign, self._clock_s
            return None
        limit_s = max(STILL_S, STILL_EPOCHS * median(self._epochs_s) if self._epochs_s else 0.0)
        if self._clock_s - since_s < limit_s:
            return None
        return (
            f"its worker showed no sign of life for {limit_s:.0f} s (stopped, short of memory, or waiting for a dead "
            "disk?) and was ended"
        )
