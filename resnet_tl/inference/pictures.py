"""The images of one call, by name, each decoded when its turn comes: files, or an array of them."""

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from resnet_tl.data.decode import Decoded, Rules, decode_file
from resnet_tl.data.finder import Found, images_below, printable, told
from resnet_tl.data.sources.arrays import array_of_images, decode_image
from resnet_tl.errors import DataError, shown
from resnet_tl.option_text import expand, load_yaml


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """One image that can be decoded."""

    name: str
    load: Callable[[Rules], Decoded]
    """Raises BadImage; may be called from any thread."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pictures:
    """What `images` names."""

    pictures: list[Picture]
    root: Path | None = None
    """The folder that all of them are below, where a folder was named."""
    passed_over: list[Path] = field(default_factory=list)
    """Files and folders in it that are no samples."""


def find_images(images: str) -> Found:
    """The image files that a path, a folder or a `[…]` list names, and what a folder holds beside them.

    Raises:
        DataError: there is none, or a named file does not exist.
    """
    path = expand(images, "images")
    if path.is_dir():
        found = images_below(path)
        if not found.files:
            raise DataError(f"{path} holds no images." + (f" {told(found.passed_over)}" if found.passed_over else ""))
        return found
    if not path.exists() and images.startswith("["):
        listed = load_yaml(images, "`images`")
        paths = [Path(str(item)).expanduser() for item in listed]
    else:
        paths = [path]
    absent = [printable(p) for p in paths if not p.is_file()]
    if absent or not paths:
        raise DataError(f"`images` must name files that exist, but these do not:\n{shown(absent)}")
    return Found(files=paths)


def find_pictures(images: str) -> Pictures:
    """As `find_images`; the path of an array, `x.npy`, stands for its images, which are named by their index.

    Raises:
        DataError: there is none, a named file does not exist, or the array is not of images.
    """
    path = expand(images, "images")
    if path.suffix.lower() == ".npy" and path.is_file():
        return Pictures(pictures=of_array(path))
    found = find_images(images)
    return Pictures(pictures=of_files(found.files), root=path if path.is_dir() else None, passed_over=found.passed_over)


def of_files(paths: Sequence[Path]) -> list[Picture]:
    """Image files, named by their paths."""

    def loader(path: Path) -> Callable[[Rules], Decoded]:
        return lambda rules: decode_file(path, rules)

    return [Picture(name=str(path), load=loader(path)) for path in paths]


def of_array(path: Path) -> list[Picture]:
    """The images of an array, as `data.source: arrays` reads them."""
    x = array_of_images(path)

    def loader(index: int) -> Callable[[Rules], Decoded]:
        return lambda rules: decode_image(x[index], rules)

    return [Picture(name=f"{path.name}[{index}]", load=loader(index)) for index in range(len(x))]


_MOST_BYTES = 200
"""Of a file name, before what is put behind it; file systems allow 255."""


def file_names(found: Pictures) -> list[str]:
    """A file name for each picture, without a suffix of its own: the path below the named folder, its parts joined.

    None leads out of the folder that it is put into, is hidden, or is that of another picture, on file systems too that
    take `A` for `a`.
    """
    names: list[str] = []
    taken: set[str] = set()
    for picture in found.pictures:
        path = Path(picture.name)
        parts = path.relative_to(found.root).parts if found.root is not None else (path.name,)
        text = re.sub(r'[\x00-\x1f\x7f"*/:<>?\\|]', "_", "__".join(parts))
        text = re.sub(r"^[.~ ]", "_", text.encode()[-_MOST_BYTES:].decode(errors="ignore"))
        numbered = (text if number == 1 else f"{text}-{number}" for number in itertools.count(1))
        names.append(next(name for name in numbered if name.casefold() not in taken))
        taken.add(names[-1].casefold())
    return names
