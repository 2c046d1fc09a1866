"""Tasks on a machine that does not see the driver's files: on copies, which are sent; what they leave goes back.

    CACHE/sent/.making-…   what one task works in; removed when it has ended

Every path in a task becomes that of the copy, here and nowhere else, and those in what it says and leaves become the
driver's again. For what is sent see `sent`.
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
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from resnet_tl.data.cache import clear_unfinished, hold
from resnet_tl.errors import UserError
from resnet_tl.files import make_folder
from resnet_tl.heartbeat import beat
from sweeps.execution.depot import Piece
from sweeps.execution.sent import Note, Sent, Source, fetch, named, twice
from sweeps.execution.task_files import Files, Listed, Part, Workplace, below, moved

PIECE_BYTES = 8 << 20
"""Of a file that is under way at a time: a second on a slow network, and some of them fit into any memory."""
LOOK_S = 1.0
"""Pause between looks at whether a task has saved its state."""
LEFT_OVER_S = 86_400.0
"""Age after which what a task works in is taken for that of a killed worker."""

Result = TypeVar("Result")
Rooms = Sequence[tuple[Workplace, Path]]
"""Where a task works, there and here."""


class Unshared:
    """Runs tasks of one driver in one worker process.

    Args:
        source, cache, start, limit_gb, note: see `Sent`.
        machine: its name, for messages.
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
        self._source, self._machine = source, machine
        self._sent = Sent(source, cache=cache, start=start, limit_gb=limit_gb, note=note)

    def run(self, task: Any, files: Files, attempt: str, call: Callable[[Any], Result]) -> Result:
        """Does a task on copies of its files.

        Args:
            attempt: names this try of the task.
            call: does a task.

        Raises:
            Unsent: its files cannot be had here, or what it leaves does not arrive.
        """
        with contextlib.ExitStack() as stack:
            with named(self._sent.folder):
                scratch = stack.enter_context(self._scratch())
                places = self._bring(files.reads, scratch, stack)
                rooms = self._make_rooms(files.workplaces, scratch, places)
            there = [*map(str, files.reads.values()), *(str(place.root) for place in files.workplaces)]
            back = {places[path]: path for path in there}
            try:
                with _Saver(rooms, partial(self._send_state, attempt)):
                    result = call(moved(task, lambda text, _: below(text, places)))
            except UserError as error:
                raise type(error)(*(_told(problem, back) for problem in error.problems)) from error
            for place, room in rooms:
                twice(partial(self._send_back, attempt, place, room, back))
                for part in place.parts:
                    twice(partial(self._send_part, attempt, place, room, part))

            def told(text: str, is_path: bool) -> str:
                if not is_path and text.startswith(str(scratch)):  # a file that could not be stored, for people to read
                    return f"{text} on {self._machine}"
                return below(text, back)

            return moved(result, told)

    # -- what comes ---------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _scratch(self) -> Iterator[Path]:
        make_folder(self._sent.folder)
        clear_unfinished(self._sent.folder, older_than_s=LEFT_OVER_S)
        folder = Path(tempfile.mkdtemp(dir=self._sent.folder, prefix=".making-"))
        try:
            with hold([folder]):
                yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _bring(self, reads: Mapping[str, Path], scratch: Path, stack: contextlib.ExitStack) -> dict[str, str]:
        """Makes sure that files are here; returns where, by every name that a task may have for them."""
        copies = self._sent.bring(list(reads.values()), stack)
        places: dict[str, str] = {}
        for name, path in reads.items():
            place = str(_with_base(copies[path], scratch / f"card-{len(places)}", places))
            places[name] = places[str(path)] = place
        return places

    def _make_rooms(self, workplaces: Sequence[Workplace], scratch: Path, places: dict[str, str]) -> Rooms:
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
                twice(partial(self._bring_state, place.folder / place.state, room / place.state))
        return rooms

    def _bring_state(self, path: Path, here: Path) -> None:
        listing = self._source.describe(str(path))
        if listing is not None:
            (file,) = listing.files
            fetch(self._source, path, file, here)

    # -- what goes back -----------------------------------------------------------------------------------------------

    def _send_state(self, attempt: str, place: Workplace, path: Path) -> None:
        assert place.state is not None
        state = self._send_files(attempt, place, [(place.state, path)], {})
        self._source.keep(attempt, place, state[0])

    def _send_back(self, attempt: str, place: Workplace, room: Path, back: Mapping[str, str]) -> None:
        paths = [path for leaf in place.leaves for path in _files_of(room / leaf)]
        left = [(path.relative_to(room).as_posix(), path) for path in paths]
        self._source.settle(attempt, place, self._send_files(attempt, place, left, back))

    def _send_files(
        self, attempt: str, place: Workplace, left: Sequence[tuple[str, Path]], back: Mapping[str, str]
    ) -> list[Listed]:
        """Has files, each with its name there, laid aside at the driver's; small ones go together."""
        files: list[Listed] = []

        def pieces() -> Iterator[Sequence[Piece]]:
            waiting: list[Piece] = []
            for name, path in left:
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
        return files

    def _send_part(self, attempt: str, place: Workplace, room: Path, part: Part) -> None:
        told = hashlib.sha256()

        def pieces() -> Iterator[tuple[int, bytes]]:
            with (room / part.name).open("rb") as stream:
                stream.seek(part.first)
                for first in range(part.first, part.end, PIECE_BYTES):
                    content = stream.read(min(PIECE_BYTES, part.end - first))
                    told.update(content)
                    yield first, content

        path = str(place.folder / part.name)
        self._source.fill(attempt, path, pieces())
        self._source.require_part(path, part.first, part.end, told.hexdigest())


class _Saver:
    """Sends the states of a running task to the driver, as often as it saves them."""

    def __init__(self, rooms: Rooms, send: Callable[[Workplace, Path], None]) -> None:
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
            while self._thread.is_alive():
                self._thread.join(LOOK_S)
                beat()  # a state is on its way
            self._look(only_paused=kind is None)  # of what has stopped, failed or paused, and is to go on from there

    def _watch(self) -> None:
        while not self._ended.wait(LOOK_S):
            self._look()

    def _look(self, *, only_paused: bool = False) -> None:
        for place, path in self._states:
            if only_paused and not place.pauses:
                continue
            stamp = _stamp(path)
            if stamp in (None, self._sent[path]):
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


def _with_base(here: Path, copy: Path, places: Mapping[str, str]) -> Path:
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
