import errno
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from resnet_tl.files import discard, is_full, remove_leftovers, replacing, replacing_folder, write_text


def test_an_error_while_writing_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "report.md"
    write_text(path, "old\r\n")
    with pytest.raises(TypeError), replacing(path) as stream:
        stream.write(b"half" + None)  # type: ignore[operator]
    assert path.read_bytes() == b"old\r\n"
    assert list(tmp_path.iterdir()) == [path]
    write_text(path, "new")
    assert path.read_text() == "new"


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    folder = tmp_path / "network"
    with replacing_folder(folder) as making:
        (making / "a").write_text("1")
    with pytest.raises(TypeError), replacing_folder(folder) as making:
        (making / "b").write_text(2)  # type: ignore[arg-type]
    assert [path.name for path in folder.iterdir()] == ["a"]
    with replacing_folder(folder) as making:
        (making / "b").write_text("2")
    assert [path.name for path in folder.iterdir()] == ["b"]
    assert list(tmp_path.iterdir()) == [folder]


def test_discarding_and_leftovers(tmp_path: Path) -> None:
    (tmp_path / ".making-1").mkdir()
    (tmp_path / "kept").mkdir()
    remove_leftovers(tmp_path, ".making-*", older_than_s=60)
    assert (tmp_path / ".making-1").exists()
    remove_leftovers(tmp_path, ".making-*", older_than_s=-1)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    discard(tmp_path / "kept")
    assert not list(tmp_path.iterdir())


def test_a_folder_is_discarded_beside_what_a_killed_process_of_the_same_number_left(tmp_path: Path) -> None:
    left = tmp_path / f".gone-{os.getpid()}-network"
    for folder in (left, tmp_path / "network"):
        folder.mkdir()
        (folder / "a").write_text("1")
    discard(tmp_path / "network")
    assert list(tmp_path.iterdir()) == [left]


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_is_told_by_the_file_it_met(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_text(tmp_path / "report.md", "old")
    with replacing_folder(tmp_path / "network") as making:
        (making / "a").write_text("1")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as caught:
        write_text(tmp_path / "report.md", "new")
    assert caught.value.filename == str(tmp_path / "report.md")
    with pytest.raises(OSError, match="No space left") as caught, replacing_folder(tmp_path / "network") as making:
        (making / "b").write_text("2")
    assert caught.value.filename == str(tmp_path / "network")
    assert (tmp_path / "report.md").read_text() == "old"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "network", "report.md"]


def test_errors_of_libraries_are_known_for_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_full(OSError(errno.EDQUOT, "Disk quota exceeded"))
    assert is_full(RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"))
    assert is_full(RuntimeError("(sqlite3.OperationalError) database or disk is full"))
    assert not is_full(OSError(errno.EACCES, "Permission denied"))
    assert not is_full(None)

    # one that says nothing of it, where there is no space
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    with pytest.raises(OSError, match="No space left"), replacing(tmp_path / "state.pt"):
        raise RuntimeError("unexpected pos 64 vs 0")
