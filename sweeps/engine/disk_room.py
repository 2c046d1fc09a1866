"""Room on the disk: what a study needs at least is asked for before training, and a little is kept back for its end.

A study stops at the first "no space", since every further seed run would be trained whole only to fail at saving.
"""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from resnet_tl.config import TrialConfig
from resnet_tl.data.prepare import Prepared
from resnet_tl.errors import UserError
from resnet_tl.files import is_full
from sweeps.planning.feature_reuse import kept_bytes, predictions_bytes, size_text
from sweeps.records import folder_of_study

RESERVE_BYTES = 8_000_000
"""Kept back for what remains to be written when a disk has become full: the scores of runs that have ended, the
report."""


class DiskFull(UserError):
    """A disk has no room for what a study needs."""


def disk_full(error: BaseException, out: Path) -> DiskFull:
    """What to say of an error that came of a full disk."""
    place = error.filename if isinstance(error, OSError) and error.filename else out
    fewer = " (run.keep=best keeps one network instead of all)" if Path(place).is_relative_to(out) else ""
    return DiskFull(
        f"The disk must have room for {place}, but it is full, so that the study stops here. What was finished is in "
        f"the ledger; make room{fewer}, and the same command goes on."
    )


class DiskRoom:
    """The room that a study has under `run.out`.

    Args:
        out: `run.out`.
        study: its name; while it runs, a file of its own takes room.
        keep: `run.keep`.
    """

    def __init__(self, out: Path, study: str, data: Prepared, keep: str) -> None:
        self._out, self._data, self._keep = out, data, keep
        self._reserve = out / "mlruns" / ".work" / f"reserve-{folder_of_study(study)}"

    def hold(self) -> None:
        """Keeps the reserve back, where the file system lets a file take room ahead.

        Raises:
            DiskFull: there is no room even for that.
        """
        try:
            self._reserve.parent.mkdir(parents=True, exist_ok=True)
            with self._reserve.open("wb") as stream:
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(stream.fileno(), 0, RESERVE_BYTES)
                else:
                    stream.write(bytes(RESERVE_BYTES))
        except OSError as error:
            self.release()
            if is_full(error):
                raise self._short(RESERVE_BYTES, "the last results of the study") from None

    def release(self) -> None:
        """Gives the reserve to whoever writes next."""
        self._reserve.unlink(missing_ok=True)

    def require(self, configs: Iterable[TrialConfig], *, whole_study: bool = False, waiting: int = 0) -> None:
        """Checks that there is room for the networks and predictions of seed runs.

        Args:
            configs: one for each seed run.
            whole_study: the best network is stored besides, as one that needs no other file.
            waiting: bytes of training states that wait at rungs.

        Raises:
            DiskFull: there is none.
        """
        sizes = [kept_bytes(config, self._data) for config in configs]
        needed = sum(sizes) if self._keep == "all" else max(sizes, default=0)
        if whole_study and sizes and self._keep != "none":
            needed += min(kept_bytes(config, self._data, whole=True) for config in configs)
        needed += len(sizes) * predictions_bytes(self._data) + waiting
        if shutil.disk_usage(self._out).free < needed:
            raise self._short(needed, "networks and predictions that are still to be stored")

    def _short(self, needed: int, what: str) -> DiskFull:
        free = shutil.disk_usage(self._out).free
        has = f"has {size_text(free)}" if free < needed else "a quota leaves less"
        fewer = {"all": ", or keep one network instead of all with run.keep=best", "best": ", or run.keep=none"}
        return DiskFull(
            f"The disk of {self._out} must have room for {size_text(needed)} of {what}, but {has}. Make "
            f"room{fewer.get(self._keep, '')}; the same command goes on from what is in the ledger."
        )
