import io
import shutil
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from resnet_tl.data import archive
from resnet_tl.data.archive import extract
from resnet_tl.errors import DataError

FILES = {"set/a/1.txt": b"one", "set/b/2.txt": b"two" * 100_000, "set/b/é.txt": b""}
TARS = {"tar": "w", "tar.gz": "w:gz", "tar.bz2": "w:bz2", "tar.xz": "w:xz"}


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in files.items():
            made.writestr(name, content)
    return path


def tarred(path: Path, files: dict[str, bytes], mode: str = "w", **members: tarfile.TarInfo) -> Path:
    with tarfile.open(path, mode) as made:  # type: ignore[call-overload]
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            made.addfile(info, io.BytesIO(content))
        for member in members.values():
            made.addfile(member)
    return path


def unpacked(path: Path, tmp_path: Path) -> dict[str, bytes]:
    folder = tmp_path / "out"
    folder.mkdir()
    extract(path, folder, "data.bin")
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def refused(path: Path, tmp_path: Path) -> str:
    with pytest.raises(DataError) as caught:
        unpacked(path, tmp_path)
    outside = {p.name for p in tmp_path.iterdir()} - {path.name, "out"}
    assert not outside
    return str(caught.value)


@pytest.mark.parametrize("kind", ["zip", *TARS])
def test_every_kind_is_known_by_its_content(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    made = zipped(path, FILES) if kind == "zip" else tarred(path, FILES, TARS[kind])
    assert unpacked(made, tmp_path) == FILES


def test_a_tar_that_holds_a_zip_is_a_tar(tmp_path: Path) -> None:
    inner = zipped(tmp_path / "inner.zip", {"x": b"y"}).read_bytes()
    (tmp_path / "inner.zip").unlink()
    assert unpacked(tarred(tmp_path / "a", {"inner.zip": inner}), tmp_path) == {"inner.zip": inner}


@pytest.mark.parametrize("name", ["../out.txt", "a/../../out.txt", "/out.txt", "..\\out.txt", "C:\\out.txt"])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_nothing_is_written_outside(kind: str, name: str, tmp_path: Path) -> None:
    files = {"fine.txt": b"1", name: b"2"}
    told = refused(zipped(tmp_path / "a", files) if kind == "zip" else tarred(tmp_path / "a", files), tmp_path)
    assert f"{name} leads out of the folder" in told
    assert "1 of its entries" in told


@pytest.mark.parametrize("type_", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(type_: bytes, tmp_path: Path) -> None:
    odd = tarfile.TarInfo("odd")
    odd.type, odd.linkname = type_, "/etc/passwd"
    told = refused(tarred(tmp_path / "a", {"fine.txt": b"1"}, odd=odd), tmp_path)
    is_link = type_ in (tarfile.SYMTYPE, tarfile.LNKTYPE)
    assert ("odd is a link" if is_link else "odd is neither file nor folder") in told


def test_links_in_a_zip_are_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a", "w") as made:
        made.writestr(link, "/etc/passwd")
        made.writestr("link/x", "1")
    assert "link is a link" in refused(tmp_path / "a", tmp_path)


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_a_bomb_is_stopped_as_it_grows(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "ALWAYS_BYTES", 1_000_000)
    files = {"zeros": bytes(20_000_000)}
    path = zipped(tmp_path / "a", files) if kind == "zip" else tarred(tmp_path / "a", files, "w:gz")
    assert "as decompression bombs do" in refused(path, tmp_path)
    written = sum(p.stat().st_size for p in (tmp_path / "out").rglob("*"))
    assert written <= 100 * path.stat().st_size + 1_000_000


def test_a_size_that_a_zip_states_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "ALWAYS_BYTES", 1_000_000)
    path = zipped(tmp_path / "a", {"zeros": bytes(20_000_000)})
    content = path.read_bytes().replace((20_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    path.write_bytes(content)
    refused(path, tmp_path)


def test_a_header_that_states_to_be_huge_is_not_read(tmp_path: Path) -> None:
    huge = tarfile.TarInfo("x")
    huge.type, huge.size = tarfile.GNUTYPE_LONGNAME, 10**10
    (tmp_path / "a").write_bytes(huge.tobuf(tarfile.GNU_FORMAT) + bytes(4096))
    assert "a header in it states" in refused(tmp_path / "a", tmp_path)


def test_too_many_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MOST_FILES", 2)
    assert "at most 2 files" in refused(zipped(tmp_path / "a", FILES), tmp_path)


def test_an_archive_must_leave_room_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "KEPT_FREE_BYTES", 10**18)
    assert "make room" in refused(zipped(tmp_path / "a", FILES), tmp_path)


@pytest.mark.parametrize("kind", ["zip", *TARS])
def test_an_archive_that_ends_early_is_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a"
    whole = (zipped(path, FILES) if kind == "zip" else tarred(path, FILES, TARS[kind])).read_bytes()
    ends = [512 * 3] if kind == "tar" else []  # between two files
    for number, end in enumerate([*ends, len(whole) // 2]):
        path.write_bytes(whole[:end])
        (tmp_path / str(number)).mkdir()
        with pytest.raises(DataError, match="must be a whole zip or tar archive"):
            unpacked(path, tmp_path / str(number))


def test_a_header_that_is_damaged_in_the_middle_is_not_the_end(tmp_path: Path) -> None:
    content = bytearray(tarred(tmp_path / "a", {"1": b"1", "2": b"2", "3": b"3"}).read_bytes())
    content[1024:1034] = b"x" * 10
    (tmp_path / "a").write_bytes(content)
    assert "damaged in the middle" in refused(tmp_path / "a", tmp_path)


@pytest.mark.parametrize("content", [b"", b"<html>Please log in</html>", b"\x1f\x8bnothing", b"PK\x03\x04nothing"])
def test_what_is_no_archive_is_told(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(content)
    assert "must be a whole zip or tar archive" in refused(tmp_path / "a", tmp_path)


def test_a_name_that_stands_twice_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a", {"x": b"1", "y": b"2"})
    path.write_bytes(path.read_bytes().replace(b"y", b"x"))
    assert "x stands twice" in refused(path, tmp_path)


def test_names_that_no_file_can_have_are_refused(tmp_path: Path) -> None:
    for name, told in (("", "is a file without a name"), ("a/" + "x" * 300, "too long for this disk")):
        path = tmp_path / "odd.zip"
        with zipfile.ZipFile(path, "w") as made:
            made.writestr(zipfile.ZipInfo(name), b"content")
        into = tmp_path / "into"
        shutil.rmtree(into, ignore_errors=True)
        into.mkdir()
        with pytest.raises(DataError, match=told):
            extract(path, into, "odd.zip")
