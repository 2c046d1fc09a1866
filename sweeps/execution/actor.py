"""What runs in a worker process that Ray starts; `sweeps.execution.ray` makes actors of it."""

import contextlib
import hashlib
import os
import pickle
import signal
import threading
import traceback
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from resnet_tl.device import gives_back
from resnet_tl.errors import DataError
from resnet_tl.heartbeat import beat, heard
from resnet_tl.parts import installed
from resnet_tl.result import Epoch
from sweeps.execution.depot import Piece
from sweeps.execution.executor import Task
from sweeps.execution.sent import Note, Unsent, node_cache
from sweeps.execution.task_files import Files, Listed, Listing, Workplace
from sweeps.execution.unshared import PIECE_BYTES, Unshared

AT_A_TIME = 4
"""Pieces of a file that are under way at a time, so that the network need not wait for the disk."""
BEAT_S = 1.0
"""Between two signs of life of a task whose files are under way."""


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
    cache: str
    """Folder of its machine for what it is sent, should there be any unseen."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sending:
    """By what a worker that does not see the driver's files has a task's."""

    files: Files
    attempt: str
    """Names this try of the task."""
    depot: Any
    """Ray's handle of the driver's `Depot`."""
    start: str
    limit_gb: float
    """See `Unshared`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class News:
    """How far a worker is with a task, since it was asked last."""

    sign: int
    """Changes with each sign of life."""
    epochs: list[tuple[int, Epoch]]
    share: float
    """How much of the epoch that is under way is done."""
    notes: list[Note]
    """What is sent to its machine."""


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
        self._notes: deque[Note] = deque()
        self._signs = 0
        self._share = 0.0
        self._is_to_stop = False
        self._unshared: Unshared | None = None

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
            cache=str(node_cache()),
        )

    def live(self) -> None:
        """Never returns, so that its caller hears of the end of this process at once."""
        threading.Event().wait()

    def run(self, number: int, task: Task, device: str, sending: Sending | None) -> bytes:
        """Does a task.

        Args:
            sending: None where the driver's files are seen, or there are none.

        Returns:
            Whether it came to its end, and its result or else the error, pickled: Ray would hand out arrays that
            cannot be written to, and wrap errors.
        """
        self._epochs, self._signs, self._share, self._number = deque(), 1, 0.0, number
        try:
            with heard(self._beat, lambda: self._is_to_stop), gives_back(device):
                if sending is None:
                    return pickle.dumps((True, task(device, self._report)))
                unshared = self._with_files_of(sending)
                result = unshared.run(task, sending.files, sending.attempt, lambda own: own(device, self._report))
                return pickle.dumps((True, result))
        except Exception as error:  # whatever it raises is the caller's to judge
            return _pickled(error)

    def _with_files_of(self, sending: Sending) -> Unshared:
        if self._unshared is None:
            import ray

            self._unshared = Unshared(
                _Depot(sending.depot),
                cache=node_cache(),
                start=sending.start,
                limit_gb=sending.limit_gb,
                machine=ray.util.get_node_ip_address(),
                note=self._notes.append,
            )
        return self._unshared

    def news(self, number: int) -> News:
        """Returns what there is since the last call."""
        notes = list(_taken(self._notes))
        if number != self._number:  # it has ended, and its result tells all
            return News(sign=-1, epochs=[], share=0.0, notes=notes)
        return News(sign=self._signs, epochs=list(_taken(self._epochs)), share=self._share, notes=notes)

    def ask_to_stop(self) -> None:
        """The driver ends: a training stops after the epoch that it is at."""
        self._is_to_stop = True

    def _beat(self, share: float | None = None) -> None:
        self._signs += 1
        self._share = self._share if share is None else share

    def _report(self, run: int, epoch: Epoch) -> None:
        self._signs += 1
        self._share = 0.0
        self._epochs.append((run, epoch))


def _taken(waiting: "deque[Any]") -> Iterator[Any]:
    while waiting:
        yield waiting.popleft()


class _Depot:
    """The driver's depot, reached through Ray; see `unshared.Source`."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    def describe(self, path: str) -> Listing | None:
        listing: Listing | None = self._read(self._handle.describe.remote(path))
        return listing

    def read(self, path: str, num_bytes: int) -> Iterator[bytes]:
        under_way: deque[Any] = deque()
        for first in range(0, num_bytes, PIECE_BYTES):
            under_way.append(self._handle.read.remote(path, first, PIECE_BYTES))
            if len(under_way) >= AT_A_TIME:
                yield self._read(under_way.popleft())
        while under_way:
            yield self._read(under_way.popleft())

    def write(self, attempt: str, folder: str, pieces: Iterator[Sequence[Piece]]) -> None:
        self._all(self._handle.write.remote(attempt, folder, piece) for piece in pieces)

    def fill(self, attempt: str, path: str, pieces: Iterator[tuple[int, bytes]]) -> None:
        self._all(self._handle.fill.remote(attempt, path, first, content) for first, content in pieces)

    def keep(self, attempt: str, place: Workplace, state: Listed) -> None:
        self._get(self._handle.keep.remote(attempt, place, state))

    def settle(self, attempt: str, place: Workplace, files: Sequence[Listed]) -> None:
        self._get(self._handle.settle.remote(attempt, place, files))

    def require_part(self, path: str, first: int, end: int, sha256: str) -> None:
        self._get(self._handle.require_part.remote(path, first, end, sha256))

    def _all(self, asked: Iterator[Any]) -> None:
        under_way: deque[Any] = deque()
        for each in asked:
            under_way.append(each)
            if len(under_way) >= AT_A_TIME:
                self._get(under_way.popleft())
        while under_way:
            self._get(under_way.popleft())

    def _read(self, asked: Any) -> Any:
        """The same; what the driver's machine cannot read stands in the way of every task."""
        try:
            return self._get(asked)
        except (DataError, OSError) as error:
            raise Unsent(str(error)) from None

    def _get(self, asked: Any) -> Any:
        """An answer; the task goes on while it waits for one."""
        import ray
        from ray import exceptions

        while not ray.wait([asked], timeout=BEAT_S)[0]:
            beat()
        beat()
        try:
            return ray.get(asked)
        except exceptions.RayTaskError as error:  # what the depot itself has raised
            raise error.cause from None
        except exceptions.RayError as error:
            raise Unsent(f"The process that hands out the driver's files has ended: {error}") from None


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
    return {"resnet-sweeps": f"{_version('resnet-sweeps')}, code {_code()}", **found, **installed()}


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
