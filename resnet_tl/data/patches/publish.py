"""Puts a finished patch set in its place, and never over something that cannot be made again.

A folder is replaced only where this command made it, by the same request, and every file in it is still the one that it
wrote. The old set is moved aside, the new one gets its name, then the old one is removed; what a kill in between leaves
is put right by the next start.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from resnet_tl.data.finder import IGNORED
from resnet_tl.data.patches.manifest import CONTACT, MANIFEST, REQUEST, differences, read_manifest
from resnet_tl.data.patches.options import PatchOptions
from resnet_tl.errors import ConfigError, UserError, shown
from resnet_tl.files import sha256_of, sync

_LEFT_BY_OTHERS = IGNORED | {".ds_store"}
"""Files that file managers put everywhere, in small letters; no loss."""


def request_of(options: PatchOptions) -> dict[str, Any]:
    """The options as they are kept beside the patches, and compared with those of a later start."""
    asked = options.model_dump(mode="json", exclude={"out"})
    return asked | {name: os.path.realpath(Path(asked[name]).expanduser()) for name in ("images", "masks")}


@contextlib.contextmanager
def publishing(out: Path, request: Mapping[str, Any]) -> Iterator[Path]:
    """An empty folder to fill in place of `out`.

    `manifest.csv`, the pages of the contact sheet and the patches must stand in it at the end. What an error leaves
    behind is removed, and `out` stays as it was.

    Raises:
        ConfigError: `out` must not be replaced, or another process is making it.
    """
    out = out.resolve()  # a link keeps leading where it did
    out.parent.mkdir(parents=True, exist_ok=True)
    making, old = (out.with_name(f".{out.name}.{word}") for word in ("making", "replaced"))
    lock = FileLock(out.with_name(f".{out.name}.lock"))
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise ConfigError(f"`out` must be made by one process at a time, but another is making {out}.") from None
    try:
        if old.exists() and not out.exists():
            old.rename(out)  # killed between the two renames: the old set is whole
        _require_replaceable(out, request)
        if old.exists():
            shutil.rmtree(old)  # killed after both: what has its place now is the set that replaced it
        shutil.rmtree(making, ignore_errors=True)  # of a killed process: the lock is ours
        making.mkdir()
        try:
            yield making
            _seal(making, request)
            _require_replaceable(out, request)  # making takes time, in which somebody may have put a file there
            if out.exists():
                out.rename(old)
            making.rename(out)
            shutil.rmtree(old, ignore_errors=True)
        except BaseException:
            shutil.rmtree(making, ignore_errors=True)
            if old.exists() and not out.exists():
                old.rename(out)
            raise
    finally:
        with contextlib.suppress(OSError):  # while it is held, so that nobody else can hold it under its name
            Path(lock.lock_file).unlink()
        lock.release()


def _seal(folder: Path, request: Mapping[str, Any]) -> None:
    """Writes the request with the hashes of what the manifest does not hold, and makes all files durable."""
    others = {path.name: sha256_of(path) for path in sorted(folder.iterdir()) if path.is_file()}
    text = json.dumps({"made_by": "resnet_tl.patches", "options": request, "files": others}, indent=1)
    (folder / REQUEST).write_text(text + "\n", encoding="utf-8")
    for path in folder.rglob("*"):
        if path.is_file():
            sync(path)


def _require_replaceable(out: Path, request: Mapping[str, Any]) -> None:
    """Refuses to replace what was not made by the same request, or was changed since.

    Raises:
        ConfigError: it says what would be lost.
    """
    if not out.exists():
        return
    if not out.is_dir():
        raise ConfigError(f"`out` must be a folder, but {out} is a file.")
    if not any(out.iterdir()):
        return
    way_out = "Nothing was changed; give out=ANOTHER_FOLDER, or move this one away."
    try:
        stated = json.loads((out / REQUEST).read_text(encoding="utf-8"))
        options, others = dict(stated["options"]), dict(stated["files"])
        rows = read_manifest(out)
    except (OSError, ValueError, KeyError, TypeError, UserError):
        raise ConfigError(
            f"`out` must be empty, or hold a whole patch set of this command, but {out} holds something else. {way_out}"
        ) from None
    differing = [
        f"{name}: {options.get(name)} there, {request.get(name)} now"
        for name in {**options, **request}
        if options.get(name) != request.get(name)
    ]
    if differing:
        raise ConfigError(
            f"`out` must be empty, or hold what the same options made, but {out} was made with others. {way_out}\n"
            f"{shown(differing)}"
        )

    def may_lie(name: str) -> bool:
        return name in (REQUEST, MANIFEST) or bool(CONTACT.fullmatch(name)) or _is_no_loss(name)

    changed = differences(out, rows, may_lie=may_lie)
    wrong = [name for name, sha256 in others.items() if (out / name).is_file() and sha256_of(out / name) != sha256]
    wrong += [p.name for p in out.iterdir() if CONTACT.fullmatch(p.name) and p.name not in others]
    if wrong:
        changed.append(f"{out}: these files are not as they were written:\n{shown(sorted(wrong))}")
    if changed:
        raise ConfigError(
            "`out` must be as this command left it to be replaced, but it was changed since, and that would be lost. "
            f"{way_out}",
            *changed,
        )


def _is_no_loss(name: str) -> bool:
    return name.rpartition("/")[2].lower() in _LEFT_BY_OTHERS
