"""Images by address: an archive is downloaded once, checked by its hash, unpacked once, and then read as a folder.

    CACHE/archives/SHA256/files/      what is in the archive of that hash
    CACHE/archives/SHA256/archive     the archive itself, until it is unpacked
    CACHE/archives/part-NAME/         what an unfinished download has brought so far

An archive is named by its content, so it does not matter where it came from, and what came from another address needs
no download. Locks die with their holders; each step ends in a rename.
"""

import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from resnet_tl.address import Address, parse
from resnet_tl.config import DataConfig
from resnet_tl.data.archive import extract
from resnet_tl.data.cache import hold
from resnet_tl.data.download import download
from resnet_tl.data.finder import is_ignored
from resnet_tl.data.sources import source_of
from resnet_tl.errors import DataError
from resnet_tl.files import discard, make_folder, move, remove_leftovers, replacing_folder, sha256_of, sync, write_text
from resnet_tl.identity import digest
from resnet_tl.option_text import few

GOOGLE_DRIVE = re.compile(r"https://(?:drive|docs)\.google\.com/.*?(?:/d/|[?&]id=)([\w-]{20,})")
"""Its pages ask questions before a large file comes; the package gdown knows how to answer."""


@contextmanager
def local(config: DataConfig, cache: Path) -> Iterator[tuple[DataConfig, tuple[str, ...]]]:
    """The same request with a folder in place of an address, which stays until the end; and what is to be said of it.

    Raises:
        DataError: the archive cannot be had, is another one than stated, or holds what must not be unpacked.
    """
    if config.url is None:
        yield config, ()
        return
    source_of(config)  # refuses sources that read no folder, before anything is downloaded
    entry = _entry(parse(config.url, "data.url"), config.sha256, cache.absolute())
    root, said = _root(entry / "files", config.root)
    with hold([entry]):
        yield config.model_copy(update={"url": None, "sha256": None, "root": str(root)}), said


def _entry(address: Address, sha256: str | None, cache: Path) -> Path:
    """Where the archive lies unpacked."""
    archives = cache / "archives"
    make_folder(archives)
    if sha256 is None:
        found = _known_as(address, archives) or _fetched(address, archives)
        raise DataError(
            f"`data.sha256` must be given with `data.url`, so that everybody gets the same images. What "
            f"{address.shown} gave has data.sha256={found}; it is kept, so state that if it is what you expect."
        )
    entry = archives / sha256
    if (entry / "files").is_dir():
        return entry
    with _locked(archives / f".{sha256}.lock"):
        if (entry / "files").is_dir():
            return entry
        if not (entry / "archive").exists():
            found = _fetched(address, archives, expected=sha256)
            assert found == sha256
        remove_leftovers(entry, ".files.*.part", older_than_s=0)  # nobody else unpacks here while we hold the lock
        with hold([entry]), replacing_folder(entry / "files") as making:
            extract(entry / "archive", making, address.shown)
        (entry / "archive").unlink()
    return entry


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keeps other processes from the same download; the lock dies with its holder."""
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print("Another process is fetching the same archive; waiting for it.", file=sys.stderr, flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _known_as(address: Address, archives: Path) -> str | None:
    """The hash of what an address gave before."""
    for about in archives.glob(f"{'[0-9a-f]' * 64}/about.json"):
        if json.loads(about.read_text(encoding="utf-8"))["address"] == _name(address):
            return about.parent.name
    return None


def _name(address: Address) -> str:
    """Names an address without holding what nobody may see of it."""
    return digest(address.bare)  # not of a login too: a short password could be guessed from it


def _fetched(address: Address, archives: Path, *, expected: str | None = None) -> str:
    """Downloads an archive into the cache; returns its hash.

    Raises:
        DataError: it cannot be had, or is another one than expected.
    """
    name = _name(address)
    with _locked(archives / f".{name}.lock"):
        part = archives / f"part-{name}"
        part.mkdir(exist_ok=True)
        with hold([part]):
            body = part / "archive"
            drive = GOOGLE_DRIVE.match(address.bare)
            if drive is None:
                download(address, body)
            else:
                _from_google_drive(drive.group(1), body)
            found = sha256_of(body)
            if expected is not None and found != expected:
                discard(part)
                raise DataError(
                    f"What {address.shown} gives must have sha256 {expected}, but has {found}: it was changed there or "
                    "damaged on the way, or the hash is of another file. It was not unpacked, and is removed."
                )
            sync(body)
            write_text(part / "about.json", json.dumps({"address": name}))
        (part / "archive.about.json").unlink(missing_ok=True)
        entry = archives / found
        if (entry / "files").is_dir() or (entry / "archive").exists():
            discard(part)  # it is there already, from another address
        else:
            move(part, entry)
        return found


def _from_google_drive(file: str, path: Path) -> None:
    try:
        import gdown
    except ImportError:
        raise DataError(
            "`data.url` of Google Drive needs the package gdown: pip install 'resnet-sweeps[gdown]'; or download the "
            "archive by other means, unpack it and give the folder as data.root."
        ) from None
    try:
        got = gdown.download(id=file, output=str(path), quiet=False, resume=True)
    except Exception as error:  # it has several trees of errors, and those of requests
        raise DataError(f"`data.url`: Google Drive does not give the file {file}: {error}") from None
    if got is None or not path.exists():
        raise DataError(f"`data.url`: Google Drive does not give the file {file}.")


def _root(files: Path, given: str | None) -> tuple[Path, tuple[str, ...]]:
    """The folder to read: the one given, or what stands behind folders that have nothing beside them."""
    if given is not None:
        root = files / given
        inside = Path(os.path.realpath(root)).is_relative_to(os.path.realpath(files))
        if not inside or not root.is_dir():
            there = sorted(path.relative_to(files).as_posix() for path in (*files.glob("*/"), *files.glob("*/*/")))
            raise DataError(
                f"`data.root` must be a folder in the archive that `data.url` gives, but got {given}; there are "
                f"{few(there) or 'no folders'}."
            )
        return root, ()
    root = files
    while len(inside_of := [path for path in root.iterdir() if not is_ignored(path.name)]) == 1:
        if not inside_of[0].is_dir():
            break
        root = inside_of[0]
    if root == files:
        return root, ()
    return root, (f"The archive has one folder at its top, which is entered: {root.relative_to(files).as_posix()}.",)
