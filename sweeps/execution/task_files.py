"""Which files a task needs and leaves, as the driver names them; and the same task with its files elsewhere.

Only machines that do not see the driver's files ask: see `unshared`.
"""

import io
import os
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any, Protocol, TypeVar, runtime_checkable

from resnet_tl.errors import DataError
from resnet_tl.identity import digest

Content = TypeVar("Content")


class Damaged(DataError):
    """A file is not what it must be."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A part of a file that the driver has made room for."""

    name: str
    num_bytes: int
    """Of the whole file."""
    first: int
    end: int
    """Bytes that the task fills."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Workplace:
    """A folder that a task works in. On another machine it is empty but for the state."""

    root: Path
    """What the task calls it; absolute."""
    inside: str = ""
    """Where below it the files are."""
    leaves: tuple[str, ...] = ()
    """Files and folders that the driver needs, in the order in which they are put in place; some may be missing."""
    state: str | None = None
    """A file from which a task goes on that was begun elsewhere; it comes back as often as it is written."""
    pauses: bool = False
    """Whether the task may end before its work does, so that the state is needed behind its end too."""
    parts: tuple[Part, ...] = ()
    is_shared: bool = False
    """Whether other drivers may fill it too: then what was there first stays, the last of `leaves` telling that all is
    there."""

    @property
    def folder(self) -> Path:
        """Where the files are."""
        return self.root / self.inside if self.inside else self.root


@dataclass(frozen=True, kw_only=True, slots=True)
class Files:
    """All files of a task."""

    reads: Mapping[str, Path] = field(default_factory=dict)
    """Files and folders that stay as they are: how the task names them, and where they are. What others name (a network
    its starting weights) comes before them."""
    workplaces: tuple[Workplace, ...] = ()


@runtime_checkable
class HasFiles(Protocol):
    """A task that has any."""

    def files(self) -> Files:
        """Names them, on the driver's machine.

        Raises:
            UserError: some that it needs are not there.
        """


@dataclass(frozen=True, kw_only=True, slots=True)
class Listed:
    """A file by its content."""

    name: str
    """Its path, with `/`, in the folder that it is sent from."""
    num_bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """A file, or all files of a folder, by their content."""

    files: tuple[Listed, ...]
    """Named with the file's or the folder's own name in front."""

    @property
    def fingerprint(self) -> str:
        """Names the content: the same files have the same name, whoever sends them."""
        return digest([[file.name, file.num_bytes, file.sha256] for file in self.files])

    @property
    def num_bytes(self) -> int:
        """Of all files."""
        return sum(file.num_bytes for file in self.files)


def below(path: str, places: Mapping[str, str]) -> str:
    """A path of one machine on another; as it is where it is in none of the places.

    Args:
        places: files and folders, and where they are there; the longest that fits counts.
    """
    head = path
    while head:
        if head in places:
            return places[head] + path[len(head) :]
        head = head.rpartition(os.sep)[0]
    return path


Place = Callable[[str, bool], str]
"""What becomes of a text; whether it is that of a path."""


def moved(content: Content, place: Place) -> Content:
    """A copy of something picklable, in which every path and every text is what `place` makes of it."""
    stream = io.BytesIO()
    _Pickler(stream, place).dump(content)
    stream.seek(0)
    copy: Content = _Unpickler(stream).load()
    return copy


class _Pickler(pickle.Pickler):
    def __init__(self, stream: io.BytesIO, place: Place) -> None:
        super().__init__(stream)
        self._place = place

    def persistent_id(self, content: Any) -> tuple[bool, bytes] | None:
        """What stands for a path or text elsewhere: its bytes, since texts would come here again."""
        if not isinstance(content, str | PurePath) or type(content) not in (str, type(Path())):
            return None
        is_path = isinstance(content, PurePath)
        there = self._place(str(content), is_path)
        return None if there == str(content) else (is_path, there.encode("utf-8", "surrogatepass"))


class _Unpickler(pickle.Unpickler):
    def persistent_load(self, told: tuple[bool, bytes]) -> Any:
        is_path, text = told[0], told[1].decode("utf-8", "surrogatepass")
        return Path(text) if is_path else text
