"""Unpacks zip and tar archives that strangers made: nothing outside of the folder, no links, no bombs.

Source of what to look for: PEP 706 (filters for `tarfile`); Fifield 2019, "A better zip bomb" (sizes that an archive
states are not to be believed, so bytes are counted as they are written).
"""

import bz2
import errno
import gzip
import lzma
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from resnet_tl.data.finder import printable
from resnet_tl.errors import DataError, shown

MOST_FILES = 5_000_000
"""Files and folders; the largest public set of images in one archive has 14 million, in folders of their own."""
MOST_RATIO = 100
"""Bytes unpacked for each byte of the archive. Images hardly shrink, tables and arrays 2 to 20 times; a bomb of one
layer of zip reaches 1,032."""
ALWAYS_BYTES = 100_000_000
"""That may be unpacked from any archive, so that a small one of empty drawings is no bomb."""
KEPT_FREE_BYTES = 1_000_000_000
"""Of the disk, for what is made of the images."""
_CHUNK = 1 << 20
_MOST_AT_ONCE = 64 << 20
"""Bytes that are read in one piece; the headers of a tar archive may state any size, and are read whole."""


def extract(archive: Path, folder: Path, name: str) -> None:
    """Unpacks an archive into an empty folder.

    Args:
        name: of the archive, for messages.

    Raises:
        DataError: it is no archive, is damaged, or holds what must not be unpacked; names the offenders.
    """
    unpack = _Unpacking(archive, folder, name)
    try:
        with archive.open("rb") as stream:
            is_zip = stream.read(4) in (b"PK\x03\x04", b"PK\x05\x06")
        unpack.take(_zip_members(archive) if is_zip else _tar_members(archive, name, unpack.by_ratio))
    except DataError:
        raise
    except OSError as error:
        # of the disk; bz2 and gzip have errors of the same kind, and zip seeks wherever a damaged entry points
        if error.errno not in (None, errno.EINVAL):
            raise
        raise _damaged(name, error) from None
    except _DAMAGED as error:
        raise _damaged(name, error) from None


def _damaged(name: str, error: Exception) -> DataError:
    why = str(error).rstrip(".") or "it ends early"
    return DataError(f"{name} must be a whole zip or tar archive (.gz, .bz2, .xz), but cannot be read as one: {why}.")


class _NoArchive(Exception):
    """None of the formats, or not to its end."""


_DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    lzma.LZMAError,
    zlib.error,
    struct.error,
    EOFError,
    ValueError,
    RuntimeError,  # NotImplementedError is one: of methods of compression that there are not here
    _NoArchive,
)
"""What libraries raise over bytes that are no archive."""


class _Member:
    """One entry: its name, what is wrong with it, and its bytes."""

    __slots__ = ("bad", "is_folder", "name", "open")

    def __init__(self, name: str, *, is_folder: bool, bad: str, open_: Callable[[], IO[bytes]]) -> None:
        self.name, self.is_folder, self.bad, self.open = name, is_folder, bad, open_


class _Unpacking:
    """One archive on its way to a folder, with what it has written so far."""

    def __init__(self, archive: Path, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        size = archive.stat().st_size
        room = shutil.disk_usage(folder).free - KEPT_FREE_BYTES
        self.by_ratio = max(MOST_RATIO * size, ALWAYS_BYTES)
        self.most_bytes = max(0, min(self.by_ratio, room))
        self.num_bytes = self.num_entries = 0

    def take(self, members: Iterator[_Member]) -> None:
        bad = []
        for member in members:
            self.num_entries += 1
            if self.num_entries > MOST_FILES:
                raise DataError(f"{self.name} must hold at most {MOST_FILES:,} files and folders, but holds more.")
            parts = _parts(member.name)
            reason = member.bad or ("" if parts is not None else "leads out of the folder")
            if parts == () and not member.is_folder:
                reason = reason or "is a file without a name"
            if reason or parts is None:
                bad.append(f"{printable(Path(member.name))} {reason}")
            elif parts and not bad:  # of an archive that is refused nothing more need be written
                problem = self._write(member, self.folder.joinpath(*parts))
                bad += [f"{printable(Path(member.name))} {problem}"] if problem else []
        if bad:
            raise DataError(
                f"{self.name} must hold plain files and folders, but {len(bad)} of its entries are none; nothing of it "
                f"was kept:\n{shown(bad)}"
            )

    def _write(self, member: _Member, path: Path) -> str:
        """What is wrong with where it would stand, if anything."""
        try:
            if member.is_folder:
                path.mkdir(parents=True, exist_ok=True)
                return ""
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as stream, member.open() as content:
                while chunk := content.read(_CHUNK):
                    self.num_bytes += len(chunk)
                    if self.num_bytes > self.most_bytes:
                        raise self._too_large()
                    stream.write(chunk)
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            return "stands twice, under names that are one on this disk"
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            return "has a name that is too long for this disk"
        return ""

    def _too_large(self) -> DataError:
        if self.most_bytes < self.by_ratio:
            return DataError(
                f"{self.name} must fit on the disk with {KEPT_FREE_BYTES / 1e9:g} GB to spare, but takes more than "
                f"{self.most_bytes / 1e9:.3g} GB; make room, or give another folder as cache."
            )
        return bomb(self.name, self.most_bytes)


def bomb(name: str, most_bytes: int) -> DataError:
    """The error for an archive that grows without end."""
    return DataError(
        f"{name} must unpack to at most {most_bytes:,} bytes ({MOST_RATIO} times its size), but holds more, as "
        "decompression bombs do; if it is none, unpack it yourself and give the folder as data.root."
    )


def _parts(name: str) -> tuple[str, ...] | None:
    """The path of an entry below the folder; None where it would lead out of it."""
    flat = name.replace("\\", "/")  # of archives made on Windows
    path = PurePosixPath(flat)
    parts = tuple(part for part in path.parts if part != ".")
    if path.is_absolute() or "\0" in name or ".." in parts:
        return None
    return None if parts and parts[0][1:2] == ":" else parts  # a drive


def _zip_members(archive: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(archive) as opened:
        for info in opened.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            bad = ""
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                bad = "is a link" if kind == stat.S_IFLNK else "is neither file nor folder"
            elif info.flag_bits & 1:
                bad = "needs a password"
            yield _Member(
                info.filename, is_folder=info.filename.endswith("/"), bad=bad, open_=partial(opened.open, info)
            )


def _tar_members(archive: Path, name: str, most_bytes: int) -> Iterator[_Member]:
    with _uncompressed(archive) as stream:
        bounded = cast(IO[bytes], _Bounded(stream, most_bytes, name))
        try:
            opened = tarfile.TarFile(fileobj=bounded)
        except tarfile.ReadError:
            raise _NoArchive("it is neither") from None
        with opened:
            while (info := opened.next()) is not None:
                opened.members.clear()  # type: ignore[attr-defined]  # it would keep all that it has met
                bad = "" if info.isreg() or info.isdir() else "is neither file nor folder"
                if info.issym() or info.islnk():
                    bad = "is a link"
                yield _Member(info.name, is_folder=info.isdir(), bad=bad, open_=partial(_content, opened, info))
            bounded.seek(opened.offset)
            if bounded.read(tarfile.BLOCKSIZE).strip(b"\0") or bounded.tell() == opened.offset:
                # tarfile takes a damaged header behind the first for the end, and would leave out what follows
                raise _NoArchive("it ends early, or is damaged in the middle")


def _content(opened: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    content = opened.extractfile(info)
    assert content is not None, "it is a regular file"
    return content


def _uncompressed(archive: Path) -> IO[bytes]:
    with archive.open("rb") as stream:
        start = stream.read(6)
    for magic, opener in ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ\0", lzma.open)):
        if start.startswith(magic):
            return cast(IO[bytes], opener(archive, "rb"))
    return archive.open("rb")


class _Bounded:
    """A stream that ends in an error where it grows without end, or where a header states to be huge."""

    def __init__(self, stream: IO[bytes], most_bytes: int, name: str) -> None:
        self._stream, self._name = stream, name
        self._most = most_bytes + ALWAYS_BYTES  # headers and padding stand between the files

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _MOST_AT_ONCE:
            raise _NoArchive("a header in it states to be larger than any header is")
        data = self._stream.read(size)
        if self._stream.tell() > self._most:
            raise bomb(self._name, self._most)
        return data

    def seek(self, place: int, whence: int = 0) -> int:
        # what is passed over is decompressed too
        if whence == 0 and place > self._most:
            raise bomb(self._name, self._most)
        return self._stream.seek(place, whence)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
