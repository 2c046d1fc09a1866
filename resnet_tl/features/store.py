"""Where outputs of frozen prefixes are kept: their names, how they come to be, and whether they are whole.

    CACHE/features/KEY/outputs.bin      one array of outputs: every image for the plain view, else those that train
    CACHE/features/KEY/features.json    what they are of, their shape, sha256

KEY names all that decides them (see `key.FrozenPrefix`), one view of the images (`data.views.View`) and the cut, so
that studies with other views and other cuts share what they have in common. Needs no torch; `compute` fills the files
and `inputs` reads them.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from resnet_tl.data.prepare import Prepared
from resnet_tl.data.views import PLAIN, View
from resnet_tl.errors import DataError
from resnet_tl.features.key import FrozenPrefix
from resnet_tl.files import discard, make_folder, move, sha256_of, sync_all

LEFT_OVER_S = 86_400.0
"""Age after which unfinished outputs are taken for those of a killed driver."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stored:
    """Where the cached outputs of the given views are. Small and picklable; sent to workers."""

    prefix: FrozenPrefix
    views: tuple[View, ...]
    places: tuple[str, ...]
    """Folder of each view's outputs."""

    @property
    def folders(self) -> dict[View, str]:
        """Folder by view."""
        return dict(zip(self.views, self.places, strict=True))


def stored(prefix: FrozenPrefix, views: Sequence[View], cache: Path) -> Stored:
    """Names outputs that are there, or will be."""
    return Stored(prefix=prefix, views=tuple(views), places=tuple(str(prefix.folder(view, cache)) for view in views))


def num_rows(view: View, data: Prepared) -> int:
    """Outputs for one view of the images: evaluation sees the plain one only."""
    return data.num_stored if view == PLAIN else data.num_learnable


@dataclass(frozen=True, kw_only=True, slots=True)
class Making:
    """Outputs that are being computed: one pass over the images for a view of them, whatever the number of cuts."""

    view: View
    prefixes: tuple[FrozenPrefix, ...]
    """Alike but for their cut."""
    folders: tuple[str, ...]
    """Of unfinished outputs, one for each prefix."""
    rows: int


def begin(prefixes: Sequence[FrozenPrefix], view: View, rows: int, cache: Path) -> Making:
    """Makes room for outputs; whoever fills it holds its folders (`data.cache.hold`)."""
    base = cache / "features"
    make_folder(base)
    folders = []
    for prefix in prefixes:
        folder = Path(tempfile.mkdtemp(dir=base, prefix=".making-"))
        folder.chmod(0o755)
        with (folder / "outputs.bin").open("wb") as stream:
            stream.truncate(rows * prefix.num_bytes)
            if hasattr(os, "posix_fallocate"):  # a full disk is an error now, and no bus error of a worker later
                os.posix_fallocate(stream.fileno(), 0, rows * prefix.num_bytes)
        folders.append(str(folder))
    return Making(view=view, prefixes=tuple(prefixes), folders=tuple(folders), rows=rows)


def dtype_of(prefix: FrozenPrefix) -> str:
    """Of stored numbers; bfloat16 as integers of its size, since numpy has no such type."""
    return "<i2" if prefix.precision == "bf16" else "<f4"


def shape_of(prefix: FrozenPrefix, rows: int) -> tuple[int, ...]:
    """Of the stored array: rows first, and channels last where the prefix has them so."""
    shape = prefix.shape
    if len(shape) == 3 and prefix.channels_last:
        shape = (shape[1], shape[2], shape[0])
    return (rows, *shape)


def finish(making: Making, cache: Path) -> None:
    """Gives complete outputs their name; until then nobody can take them for such."""
    for prefix, made in zip(making.prefixes, making.folders, strict=True):
        folder = Path(made)
        path = folder / "outputs.bin"
        table = {
            "prefix": asdict(prefix) | {"environment": prefix.environment.identity()},
            "view": asdict(making.view),
            "shape": shape_of(prefix, making.rows),
            "dtype": dtype_of(prefix),
            "sha256": sha256_of(path),
        }
        (folder / "features.json").write_text(json.dumps(table, indent=1), encoding="utf-8")
        sync_all(folder)
        final = prefix.folder(making.view, cache)
        if final.exists() and not (final / "features.json").exists():
            discard(final)  # half removed by somebody who was killed
        try:
            move(folder, final)
        except OSError:
            if not (final / "features.json").exists():
                raise
            shutil.rmtree(folder)  # another driver was first, with the same content


def abandon(making: Making) -> None:
    """Removes unfinished outputs."""
    for folder in making.folders:
        shutil.rmtree(folder, ignore_errors=True)


def verify(place: Stored) -> None:
    """Compares stored outputs with their hash.

    Raises:
        DataError: they differ, or cannot be read; the damaged ones are removed.
    """
    for name in place.folders.values():
        folder = Path(name)
        try:
            stated = str(json.loads((folder / "features.json").read_text(encoding="utf-8"))["sha256"])
            found = sha256_of(folder / "outputs.bin")
        except (OSError, ValueError, KeyError, TypeError) as error:
            stated, found = "", f"cannot be read ({type(error).__name__}: {error})"
        if found != stated:
            discard(folder)
            raise DataError(
                f"The features in {folder} must have sha256 {stated[:12]}…, but have {found[:80]}: the disk or "
                "another program changed them. They were removed."
            )
