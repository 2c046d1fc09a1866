"""What drivers keep under `run.out` while they work: their locks, and seed runs that could not be written."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from resnet_tl.errors import ConfigError
from sweeps.records import folder_of_study


class WorkFolder:
    """`mlruns/.work` of a folder.

    Args:
        out: the folder.
    """

    def __init__(self, out: Path) -> None:
        self._out = out
        self.path = out / "mlruns" / ".work"
        self.locks = self.path / "locks"
        self.unwritten = self.path / "unwritten"

    def of_study(self, study: str) -> Path:
        """Where the seed runs of a study keep their training state, and its driver its note."""
        return self.path / "studies" / folder_of_study(study)

    def has_unwritten(self) -> bool:
        """Whether seed runs of any study could not be written, and are kept here."""
        return any(self.unwritten.glob("*.json"))

    @contextmanager
    def lock(self, study: str) -> Iterator[None]:
        """Held by the one driver of a study that works in this folder; dies with its holder.

        Raises:
            ConfigError: another driver holds it.
        """
        self.locks.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.locks / f"study-{folder_of_study(study)}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise ConfigError(
                f"The study {study} is being run by another process in {self._out}; wait for it, or stop it."
            ) from None
        try:
            yield
        finally:
            lock.release()
