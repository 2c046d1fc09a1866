"""What runs in a worker process that Ray starts; `sweeps.execution.ray` makes actors of it."""

import contextlib
import hashlib
import os
import pickle
import signal
import threading
import traceback
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from resnet_tl.device import gives_back
from resnet_tl.heartbeat import heard
from resnet_tl.result import Epoch
from sweeps.execution.executor import Task


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """What a worker says of itself before it gets any task."""

    pid: int
    node: str
    """Ray's name of its machine."""
    address: str
    """Of its machine."""
    versions: dict[str, str]
    """Of what decides results, by name."""
    unseen: tuple[str, ...]
    """Folders of the driver that are not there, or other ones of the same name."""


class Actor:
    """Runs one task at a time, and answers meanwhile, in another thread, how far it is.

    Args:
        folder: the driver's working folder, for paths that begin in it.
    """

    def __init__(self, folder: str) -> None:
        # the end of the terminal, like Ctrl-C, is the driver's to answer
        for name in ("SIGINT", "SIGHUP"):
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), signal.SIG_IGN)
        with contextlib.suppress(OSError):  # on another machine, where all that counts has a whole path
            os.chdir(folder)
        self._number = -1
        self._epochs: deque[tuple[int, Epoch]] = deque()
        self._signs = 0
        self._is_to_stop = False

    def hello(self, marks: Mapping[str, str]) -> Facts:
        """Returns what the driver checks.

        Args:
            marks: files that the driver has written, with their content.
        """
        import ray  # is there, since it has started this process

        unseen = tuple(str(Path(path).parent) for path, content in marks.items() if _read(path) != content)
        return Facts(
            pid=os.getpid(),
            node=ray.get_runtime_context().get_node_id(),
            address=ray.util.get_node_ip_address(),
            versions=versions(),
            unseen=unseen,
        )

    def live(self) -> None:
        """Never returns, so that its caller hears of the end of this process at once."""
        threading.Event().wait()

    def run(self, number: int, task: Task, device: str) -> bytes:
        """Does a task.

        Returns:
            Whether it came to its end, and its result or else the error, pickled: Ray would hand out arrays that
            cannot be written to, and wrap errors.
        """
        self._epochs, self._signs, self._number = deque(), 1, number
        try:
            with heard(self._beat, lambda: self._is_to_stop), gives_back(device):
                return pickle.dumps((True, task(device, self._report)))
        except Exception as error:  # whatever it raises is the caller's to judge
            return _pickled(error)

    def news(self, number: int) -> tuple[int, list[tuple[int, Epoch]]]:
        """Returns a number that changes with each sign of life of a task, and its epochs since the last call."""
        if number != self._number:  # it has ended, and its result tells all
            return -1, []
        found = []
        while self._epochs:
            found.append(self._epochs.popleft())
        return self._signs, found

    def ask_to_stop(self) -> None:
        """The driver ends: a training stops after the epoch that it is at."""
        self._is_to_stop = True

    def _beat(self) -> None:
        self._signs += 1

    def _report(self, run: int, epoch: Epoch) -> None:
        self._signs += 1
        self._epochs.append((run, epoch))


def _pickled(error: Exception) -> bytes:
    error.add_note("".join(traceback.format_exception(error)).strip())
    try:
        said = pickle.dumps((False, error))
        pickle.loads(said)
    except Exception:  # an error that cannot travel
        return pickle.dumps((False, RuntimeError("".join(traceback.format_exception(error)).strip())))
    return said


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:
        return None


@cache
def versions() -> dict[str, str]:
    """What of the software decides results, in this process."""
    found = {name: _version(name).split("+")[0] for name in ("torch", "torchvision", "numpy")}
    return {"resnet-sweeps": f"{_version('resnet-sweeps')}, code {_code()}", **found}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _code() -> str:
    """A short name of the source of both packages."""
    root = Path(__file__).resolve().parents[2]
    told = hashlib.sha256()
    for path in sorted(path for package in ("resnet_tl", "sweeps") for path in (root / package).rglob("*.py")):
        told.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return told.hexdigest()[:10]
