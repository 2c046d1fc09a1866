"""Tasks on a machine that does not see the driver's files: what they need is sent, what they leave goes back.

    CACHE/sent/FINGERPRINT/content/…   a file or folder that was sent, by its content; shared by all workers and studies
    CACHE/sent/FINGERPRINT/verified    for which start of a study it was last compared with its hashes
    CACHE/sent/.making-…               what one task works in; removed when it has ended

CACHE is the machine's own cache folder, or the one that `SWEEPS_NODE_CACHE` names there. The least recently used goes
when there is more than `run.cache_gb`, as everywhere in the cache; what a running task uses stays.
"""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from filelock import FileLock, Timeout

from resnet_tl.data.cache import clear_unfinished, default_cache, hold, make_room
from resnet_tl.errors import ConfigError, DataError, UserError
from resnet_tl.files import discard, is_full, make_folder, remove_leftovers, replacing_folder, write_text
from resnet_tl.heartbeat import beat
from sweeps.execution.depot import Piece
from sweeps.execution.task_files import Files, Listed, Listing, Workplace, below, moved

NODE_CACHE = "SWEEPS_NODE_CACHE"
"""Environment variable of `ray start`: where on its machine to put what is sent."""
PIECE_BYTES = 8 << 20
"""Of a file that is sent at a time: a second on a slow network, and some of them fit into any memory."""
LOOK_S = 1.0
"""Pause between looks at whether a task has saved its state."""
LEFT_OVER_S = 86_400.0
"""Age after which what was half sent is taken for that of a killed worker."""
TRIES = 2
"""How often something is sent that does not arrive whole."""

Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True, slots=True)
class Note:
    """What is about to be sent for a task, for whoever waits for it."""

    num_bytes: int
    damaged: tuple[str, ...]
    """What was here and is not what it must be, one sentence each."""


class Unsent(ConfigError):
    """A machine cannot have what its tasks need, or cannot give back what they leave."""


class Source(Protocol):
    """The driver's `depot.Depot`, as it is reached from here.

    Raises:
        Unsent: it cannot be reached any more.
    """

    def describe(self, path: str) -> Listing | None:
        """See `Depot`."""

    def read(self, path: str, num_bytes: int) -> Iterator[bytes]:
        """A whole file of so many bytes, piece by piece."""

    def write(self, attempt: str, folder: str, pieces: Iterator[Sequence[Piece]]) -> None:
        """See `Depot`; several calls."""

    def fill(self, attempt: str, path: str, pieces: Iterator[tuple[int, bytes]]) -> None:
        """See `Depot`; several calls."""

    def keep(self, attempt: str, place: Workplace, state: Listed) -> None:
        """See `Depot`."""

    def settle(self, attempt: str, place: Workplace, files: Sequence[Listed]) -> None:
        """See `Depot`."""

    def require_part(self, path: str, first: int, end: int, sha256: str) -> None:
        """See `Depot`."""


def node_cache() -> Path:
    """The cache folder of this machine."""
    given = os.environ.get(NODE_CACHE)
    return (Path(given) if given else default_cache()).absolute()


class Unshared:
    """Runs tasks of one driver in one worker process.

    Args:
        source: the driver's files.
        start: names the start of a study. Once for each, what lies here already is compared with its hashes.
        limit_gb: see `cache.make_room`.
        machine: its name, for messages.
        note: told what is about to be sent for a task.
    """

    def __init__(
        self,
        source: Source,
        *,
        cache: Path,
        start: str,
        limit_gb: float,
        machine: str,
        note: Callable[[Note], None],
    ) -> None:
        self._source, self._cache, self._start = source, cache, start
        self._limit_gb, self._machine, self._note = limit_gb, machine, note
        self._sent = cache / "sent"
        self._damaged: list[str] = []

    def run(self, task: Any, files: Files, attempt: str, call: Callable[[Any], Result]) -> Result:
        """Does a task on copies of its files.

        Args:
            attempt: names this try of the task.
            call: does a task.

        Raises:
            Unsent: its files cannot be had here.
        """
        with contextlib.ExitStack() as stack:
            with _named(self._sent):
                scratch = stack.enter_context(self._scratch())
                places = self._bring(files.reads, scratch, stack)
                rooms = self._make_rooms(files.workplaces, scratch, places)
            back = _back(files, places)
            saver = _Saver(rooms, partial(self._send_state, attempt))
            try:
                with saver:
                    result = call(moved(task, lambda text, _: below(text, places)))
            except UserError as error:
                raise type(error)(*(_told(problem, back) for problem in error.problems)) from error
            for place, room in rooms:
                self._send_back(attempt, place, room, back)

            def told(text: str, is_path: bool) -> str:
                # a text is for people, and a file that could not be stored is one of this machine
                if not is_path and text.startswith(str(scratch)):
                    return f"{text} on {self._machine}"
                return below(text, back)

            return moved(result, told)

    # -- what comes ---------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _scratch(self) -> Iterator[Path]:
        make_folder(self._sent)
        clear_unfinished(self._sent, older_than_s=LEFT_OVER_S)
        folder = Path(tempfile.mkdtemp(dir=self._sent, prefix=".making-"))
        try:
            with hold([folder]):
                yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _bring(self, reads: Mapping[str, Path], scratch: Path, stack: contextlib.ExitStack) -> dict[str, str]:
        """Makes sure that files are here; returns where, by every name that a task may have for them."""
        listings = {}
        for name, path in reads.items():
            listing = self._source.describe(str(path))
            if listing is None:
                raise Unsent(f"{path} must be there to be sent to this machine, but is gone, or Ray does not see it.")
            listings[name] = listing
        if not all(self._is_verified(listing) and self._hold(listing, stack) for listing in listings.values()):
            with self._alone():
                self._send(reads, listings, stack)
        places: dict[str, str] = {}
        for name, path in reads.items():
            here = self._entry(listings[name]) / "content" / path.name
            place = str(_with_bases(here, scratch / f"card-{len(places)}", places))
            places[name] = places[str(path)] = place
        return places

    def _send(self, reads: Mapping[str, Path], listings: Mapping[str, Listing], stack: contextlib.ExitStack) -> None:
        missing = {
            name: listing
            for name, listing in listings.items()
            if not (self._is_whole(listing) and self._hold(listing, stack))
        }
        total = sum(listing.num_bytes for listing in missing.values())
        self._note(Note(num_bytes=total, damaged=tuple(self._damaged)))
        self._damaged.clear()
        make_room(self._cache, self._limit_gb, total)
        for name, listing in missing.items():
            self._send_one(reads[name], listing)
            if not self._hold(listing, stack):
                raise Unsent(f"{self._entry(listing)} was removed as soon as it was there.")

    def _send_one(self, path: Path, listing: Listing) -> None:
        wrong = None
        for _ in range(TRIES):
            remove_leftovers(self._sent, f".{listing.fingerprint}.*.part", older_than_s=0)  # we alone send anything
            try:
                with replacing_folder(self._entry(listing)) as making:
                    for file in listing.files:
                        self._fetch(path.parent / file.name, file, making / "content" / file.name)
                    (making / "verified").write_text(self._start, encoding="utf-8")
                return
            except _Damaged as error:
                wrong = error
        raise Unsent(f"{wrong} It was sent {TRIES} times. The disk, the memory or the network of a machine fails.")

    def _fetch(self, path: Path, file: Listed, here: Path) -> None:
        """A file of the driver, compared with its hash as it lies on the disk."""
        here.parent.mkdir(parents=True, exist_ok=True)
        with here.open("wb") as stream:
            for piece in self._source.read(str(path), file.num_bytes):
                stream.write(piece)
        _require(here, file, f"{path}, as it came to this machine,")

    def _is_verified(self, listing: Listing) -> bool:
        """Whether something is here that was compared with its hashes since the study was started."""
        try:
            return (self._entry(listing) / "verified").read_text(encoding="utf-8") == self._start
        except OSError:
            return False

    def _is_whole(self, listing: Listing) -> bool:
        entry = self._entry(listing)
        if self._is_verified(listing):
            return True
        if not entry.exists():
            return False
        try:
            for file in listing.files:
                _require(entry / "content" / file.name, file, f"{entry / 'content' / file.name}")
        except (_Damaged, OSError) as error:
            self._damaged.append(str(error))
            discard(entry)
            return False
        write_text(entry / "verified", self._start)
        return True

    def _hold(self, listing: Listing, stack: contextlib.ExitStack) -> bool:
        """Keeps something here until the task has ended; False where it has gone."""
        try:
            stack.enter_context(hold([self._entry(listing)]))
        except DataError:
            return False
        return True

    def _entry(self, listing: Listing) -> Path:
        return self._sent / listing.fingerprint

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else sends anything to this machine, or compares what is here."""
        lock = FileLock(self._sent / ".lock")
        while not lock.is_locked:
            beat()
            with contextlib.suppress(Timeout):
                lock.acquire(timeout=1.0)
        try:
            yield
        finally:
            lock.release()

    def _make_rooms(
        self, workplaces: Sequence[Workplace], scratch: Path, places: dict[str, str]
    ) -> list[tuple[Workplace, Path]]:
        """Folders to work in; adds them to the places."""
        rooms = []
        for place in workplaces:
            root = scratch / f"room-{len(places)}"
            places[str(place.root)] = str(root)
            room = root / place.inside
            room.mkdir(parents=True)
            rooms.append((place, room))
            for part in place.parts:
                with (room / part.name).open("wb") as stream:
                    stream.truncate(part.num_bytes)
                    if hasattr(os, "posix_fallocate"):  # a full disk is an error now, and no bus error later
                        os.posix_fallocate(stream.fileno(), part.first, part.end - part.first)
            if place.state is not None:
                self._bring_state(place.folder / place.state, room / place.state)
        return rooms

    def _bring_state(self, path: Path, here: Path) -> None:
        for _ in range(TRIES):
            listing = self._source.describe(str(path))
            if listing is None:
                return
            (file,) = listing.files
            try:
                self._fetch(path, file, here)
                return
            except _Damaged as error:
                wrong = error
        raise Unsent(f"{wrong} It was sent {TRIES} times.")

    # -- what goes back -----------------------------------------------------------------------------------------------

    def _send_state(self, attempt: str, place: Workplace, path: Path) -> None:
        assert place.state is not None
        with path.open("rb") as stream:  # the one that is there now, whatever is put in its place meanwhile
            told = hashlib.sha256()
            num_bytes = 0

            def pieces() -> Iterator[Sequence[Piece]]:
                nonlocal num_bytes
                assert place.state is not None
                while content := stream.read(PIECE_BYTES):
                    told.update(content)
                    yield [(place.state, num_bytes, content)]
                    num_bytes += len(content)

            self._source.write(attempt, str(place.folder), pieces())
        self._source.keep(attempt, place, Listed(name=place.state, num_bytes=num_bytes, sha256=told.hexdigest()))

    def _send_back(self, attempt: str, place: Workplace, room: Path, back: Mapping[str, str]) -> None:
        names = [path for leaf in place.leaves for path in _files_of(room / leaf)]
        files: list[Listed] = []

        def pieces() -> Iterator[Sequence[Piece]]:
            waiting: list[Piece] = []
            for path in names:
                name = path.relative_to(room).as_posix()
                told, first = hashlib.sha256(), 0
                for content in _contents(path, back):
                    told.update(content)
                    waiting.append((name, first, content))
                    first += len(content)
                    if sum(len(each) for _, _, each in waiting) >= PIECE_BYTES:
                        yield waiting
                        waiting = []
                files.append(Listed(name=name, num_bytes=first, sha256=told.hexdigest()))
            if waiting:
                yield waiting

        self._source.write(attempt, str(place.folder), pieces())
        self._source.settle(attempt, place, files)
        for part in place.parts:
            path = str(place.folder / part.name)
            told = hashlib.sha256()

            def of_part(part: Any = part, told: Any = told) -> Iterator[tuple[int, bytes]]:
                with (room / part.name).open("rb") as stream:
                    stream.seek(part.first)
                    for first in range(part.first, part.end, PIECE_BYTES):
                        content = stream.read(min(PIECE_BYTES, part.end - first))
                        told.update(content)
                        yield first, content

            self._source.fill(attempt, path, of_part())
            self._source.require_part(path, part.first, part.end, told.hexdigest())


class _Damaged(DataError):
    """A file is not what it must be."""


class _Saver:
    """Sends the states of a running task to the driver, as often as it saves them."""

    def __init__(self, rooms: Sequence[tuple[Workplace, Path]], send: Callable[[Workplace, Path], None]) -> None:
        self._states = [(place, room / place.state) for place, room in rooms if place.state is not None]
        self._sent = {path: _stamp(path) for _, path in self._states}
        self._send = send
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> None:
        if self._states:
            self._thread.start()

    def __exit__(self, kind: object, *_: object) -> None:
        self._ended.set()
        if self._states:
            self._thread.join()
            if kind is not None:  # it has stopped, or failed, and is to go on from there
                self._look()

    def _watch(self) -> None:
        while not self._ended.wait(LOOK_S):
            self._look()

    def _look(self) -> None:
        for place, path in self._states:
            stamp = _stamp(path)
            if stamp == self._sent[path]:
                continue
            self._sent[path] = stamp
            try:
                self._send(place, path)
            except (UserError, OSError) as error:  # it serves a restart alone; a result still comes
                warnings.warn(f"the training state is not sent to the driver: {error}", stacklevel=2)


def _stamp(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def _with_bases(here: Path, copy: Path, places: Mapping[str, str]) -> Path:
    """A checkpoint whose card names its starting weights as they are found here."""
    card = here / "model.json"
    if not card.exists():
        return here
    content = json.loads(card.read_text(encoding="utf-8"))
    address = str((content.get("base") or {}).get("address"))
    if address not in places:
        return here
    content["base"]["address"] = places[address]
    copy.mkdir()
    for path in here.iterdir():
        if path.name != card.name:
            (copy / path.name).symlink_to(path)
    (copy / card.name).write_text(json.dumps(content, indent=1), encoding="utf-8")
    return copy


def _back(files: Files, places: Mapping[str, str]) -> dict[str, str]:
    """Where on the driver's machine the places here are."""
    there = [*map(str, files.reads.values()), *(str(place.root) for place in files.workplaces)]
    return {places[path]: path for path in there}


def _told(problem: str, back: Mapping[str, str]) -> str:
    """A sentence about the driver's files, not about their copies."""
    for here, there in back.items():
        problem = problem.replace(here, there)
    return problem


def _files_of(place: Path) -> list[Path]:
    return sorted(path for path in place.rglob("*") if path.is_file()) if place.is_dir() else [place][: place.exists()]


def _contents(path: Path, back: Mapping[str, str]) -> Iterator[bytes]:
    """A file piece by piece; the card of a network names its starting weights as the driver knows them."""
    if path.name == "model.json":
        card = json.loads(path.read_text(encoding="utf-8"))
        card["trial"]["weights"] = below(card["trial"]["weights"], back)
        if card["base"]:
            card["base"]["address"] = below(card["base"]["address"], back)
        yield json.dumps(card, indent=1).encode()
        return
    with path.open("rb") as stream:
        yield stream.read(PIECE_BYTES)  # of an empty file too
        while content := stream.read(PIECE_BYTES):
            yield content


def _require(path: Path, file: Listed, named: str) -> None:
    told = hashlib.sha256()
    with path.open("rb") as stream:
        while content := stream.read(1 << 20):
            told.update(content)
            beat()
    if told.hexdigest() != file.sha256:
        raise _Damaged(f"{named} must have sha256 {file.sha256[:12]}…, but has {told.hexdigest()[:12]}….")


@contextlib.contextmanager
def _named(folder: Path) -> Iterator[None]:
    """Says of a disk that cannot be written to where it is."""
    try:
        yield
    except OSError as error:
        why = "is full" if is_full(error) else f"cannot be used: {error}"
        raise Unsent(
            f"{folder} must have room for what this machine is sent, but {why}. Make room there, or name another "
            f"folder with {NODE_CACHE} in the environment of `ray start`."
        ) from error
