"""What a machine was sent of files of drivers that it does not see: by content, compared with its hashes before use.

    CACHE/sent/FINGERPRINT/content/…        a file or folder; all workers of the machine and all studies share it
    CACHE/sent/FINGERPRINT/verified-START   it was compared with its hashes for a start of a study
    CACHE/sent/.lock                        held by whoever compares or sends

CACHE is the machine's own cache folder, or the one that `SWEEPS_NODE_CACHE` names there. The least recently used goes
when there is more than `run.cache_gb`, as everywhere in the cache; what a running task uses stays.
"""

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from resnet_tl.data.cache import alone, default_cache, hold, make_room
from resnet_tl.errors import ConfigError, DataError
from resnet_tl.files import discard, is_full, make_folder, remove_leftovers, replacing_folder, write_text
from resnet_tl.heartbeat import beat
from sweeps.execution.depot import Piece
from sweeps.execution.task_files import Damaged, Listed, Listing, Workplace

NODE_CACHE = "SWEEPS_NODE_CACHE"
"""Environment variable of `ray start`: where on its machine to put what is sent."""
TRIES = 2
"""How often something is sent that does not arrive whole."""
VERIFIED_S = 7 * 86_400.0
"""Age after which nobody needs to know any more that something was compared with its hashes."""


class Unsent(ConfigError):
    """A machine cannot have what its tasks need, or cannot give back what they leave."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Note:
    """What is about to be sent for a task."""

    num_bytes: int
    damaged: tuple[str, ...]
    """What was there already and is not what it must be, one sentence each."""


class Source(Protocol):
    """The driver's `depot.Depot`, as it is reached from here.

    Raises:
        Unsent: it cannot be reached, or cannot read what is asked for.
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


class Sent:
    """Copies of files that do not change.

    Args:
        source: the driver's files.
        start: names the start of a study; for each, what is here already is compared with its hashes once.
        limit_gb: see `cache.make_room`.
        note: told what is about to be sent.
    """

    def __init__(
        self, source: Source, *, cache: Path, start: str, limit_gb: float, note: Callable[[Note], None]
    ) -> None:
        self.folder = cache / "sent"
        self._source, self._cache, self._start = source, cache, start
        self._limit_gb, self._note = limit_gb, note

    def bring(self, paths: Sequence[Path], stack: contextlib.ExitStack) -> dict[Path, Path]:
        """Makes sure that files and folders are here, and keeps them here until the stack is closed.

        Returns:
            Where they are, by where the driver has them.

        Raises:
            Unsent: they cannot be had.
        """
        listings: dict[Path, Listing] = {}
        for path in paths:
            listing = self._source.describe(str(path))
            if listing is None:
                raise Unsent(f"{path} must be there to be sent, but is gone, or Ray's processes do not see it.")
            listings[path] = listing
        make_folder(self.folder)
        if not all(self._is_verified(listing) and self._hold(listing, stack) for listing in listings.values()):
            with alone(self.folder / ".lock"):  # nobody else on this machine compares or sends anything
                self._send(listings, stack)
        return {path: self._entry(listing) / "content" / path.name for path, listing in listings.items()}

    def _send(self, listings: Mapping[Path, Listing], stack: contextlib.ExitStack) -> None:
        missing: dict[str, tuple[Path, Listing]] = {}
        damaged: list[str] = []
        for path, listing in listings.items():
            if not (self._is_whole(listing, damaged) and self._hold(listing, stack)):
                missing[listing.fingerprint] = path, listing
        total = sum(listing.num_bytes for _, listing in missing.values())
        self._note(Note(num_bytes=total, damaged=tuple(damaged)))
        remove_leftovers(self.folder, ".*.part", older_than_s=0)  # of killed workers: nobody else writes any now
        make_room(self._cache, self._limit_gb, total)
        for path, listing in missing.values():
            self._send_one(path, listing)
            if not self._hold(listing, stack):
                raise Unsent(f"{self._entry(listing)} must stay while it is needed, but was removed.")

    def _send_one(self, path: Path, listing: Listing) -> None:
        def try_once() -> None:
            with replacing_folder(self._entry(listing)) as making:
                for file in listing.files:
                    fetch(self._source, path.parent / file.name, file, making / "content" / file.name)
                (making / self._mark).write_text("", encoding="utf-8")

        twice(try_once)

    @property
    def _mark(self) -> str:
        return f"verified-{self._start}"

    def _is_verified(self, listing: Listing) -> bool:
        """Whether something is here that was compared with its hashes since the study was started."""
        return (self._entry(listing) / self._mark).exists()

    def _is_whole(self, listing: Listing, damaged: list[str]) -> bool:
        entry = self._entry(listing)
        if self._is_verified(listing):
            return True
        if not entry.exists():
            return False
        try:
            for file in listing.files:
                require(entry / "content" / file.name, file, str(entry / "content" / file.name))
        except (Damaged, OSError) as error:
            damaged.append(str(error))
            discard(entry)
            return False
        remove_leftovers(entry, "verified-*", older_than_s=VERIFIED_S)
        write_text(entry / self._mark, "")
        return True

    def _hold(self, listing: Listing, stack: contextlib.ExitStack) -> bool:
        """Keeps something here; False where it has gone."""
        try:
            stack.enter_context(hold([self._entry(listing)]))
        except DataError:
            return False
        return True

    def _entry(self, listing: Listing) -> Path:
        return self.folder / listing.fingerprint


def fetch(source: Source, path: Path, file: Listed, here: Path) -> None:
    """Copies a file of the driver.

    Raises:
        Damaged: what lies on the disk then is not what it must be.
    """
    here.parent.mkdir(parents=True, exist_ok=True)
    with here.open("wb") as stream:
        for piece in source.read(str(path), file.num_bytes):
            stream.write(piece)
    require(here, file, f"{path}, as it was sent,")


def require(path: Path, file: Listed, named: str) -> None:
    """Compares a file with its hash.

    Raises:
        Damaged: they differ.
    """
    told = hashlib.sha256()
    with path.open("rb") as stream:
        while content := stream.read(1 << 20):
            told.update(content)
            beat()
    if told.hexdigest() != file.sha256:
        raise Damaged(f"{named} must have sha256 {file.sha256[:12]}…, but has {told.hexdigest()[:12]}….")


def twice(send: Callable[[], None]) -> None:
    """Sends something once more if it does not arrive whole.

    Raises:
        Unsent: it does not arrive whole the second time either.
    """
    wrong: Damaged | None = None
    for _ in range(TRIES):
        try:
            send()
            return
        except Damaged as error:
            wrong = error
    raise Unsent(
        f"{wrong} It was sent {TRIES} times: a disk, the memory or the network does not keep what it is given."
    )


@contextlib.contextmanager
def named(folder: Path) -> Iterator[None]:
    """Says where a disk is that cannot be written to."""
    try:
        yield
    except OSError as error:
        why = "is full" if is_full(error) else f"cannot be used: {error}"
        raise Unsent(
            f"{folder} must have room for what its machine is sent, but {why}. Make room there, or name another "
            f"folder with {NODE_CACHE} in the environment of `ray start`."
        ) from None
