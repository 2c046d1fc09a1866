"""What a start of a study may take: hours, trials, room on the disk. At a limit it stops as after Ctrl-C, resumable."""

import os
import time
from collections.abc import Callable, Collection
from pathlib import Path

from resnet_tl.errors import UserError
from sweeps.definition.config import RunConfig
from sweeps.records import folder_of_study

LOOK_AT_DISK_S = 20.0
"""Pause between two looks at how much there is: a folder of 20,000 seed runs takes half a second to look through."""


class BudgetSpent(UserError):
    """A study stops at a limit that the user gave."""

    status = 3


class Budget:
    """The limits of one start.

    Args:
        interrupted: called at every check too; may raise.
    """

    def __init__(self, run: RunConfig, out: Path, study: str, interrupted: Callable[[], None]) -> None:
        self._run, self._interrupted = run, interrupted
        self._places = (out / "studies.db", out / "mlruns" / "networks" / folder_of_study(study))
        self._began_s = time.monotonic()
        self._looked_s = float("-inf")

    def check(self) -> None:
        """To be called between steps.

        Raises:
            BudgetSpent: a limit of hours or of the disk is reached.
            KeyboardInterrupt: whoever runs the study has asked for its end.
        """
        self._interrupted()
        now_s, hours, most_gb = time.monotonic(), self._run.max_hours, self._run.max_disk_gb
        if hours is not None and now_s - self._began_s >= 3600 * hours:
            raise BudgetSpent(f"The study stops here, since run.max_hours={hours:g} is over.")
        if most_gb is not None and now_s - self._looked_s >= LOOK_AT_DISK_S:
            taken_gb = sum(map(_num_bytes, self._places)) / 1e9
            self._looked_s = time.monotonic()
            if taken_gb >= most_gb:
                raise BudgetSpent(
                    f"The study stops here, since its ledger and its networks and predictions take {taken_gb:.3g} GB, "
                    f"and run.max_disk_gb={most_gb:g}."
                )

    def admits(self, trial: int, begun: Collection[int]) -> bool:
        """Whether a trial may be worked on at this start.

        Args:
            trial: its number.
            begun: those that are worked on already, or were.
        """
        most = self._run.max_trials
        return most is None or trial in begun or len(begun) < most

    def trials_spent(self) -> BudgetSpent:
        """What to raise where `admits` has left something undone."""
        return BudgetSpent(f"The study stops here, since run.max_trials={self._run.max_trials} were worked on.")


def _num_bytes(place: Path) -> int:
    """Of a file, or of all files in a folder; what goes meanwhile counts for nothing."""
    try:
        if not place.is_dir():
            return place.stat().st_size
        with os.scandir(place) as entries:
            return sum(
                _num_bytes(Path(entry.path))
                if entry.is_dir(follow_symlinks=False)
                else entry.stat(follow_symlinks=False).st_size
                for entry in entries
            )
    except FileNotFoundError:
        return 0
