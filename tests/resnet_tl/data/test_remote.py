import hashlib
import multiprocessing
import shutil
import sys
import types
import zipfile
from pathlib import Path

import pytest

from resnet_tl.cli import describe_data
from resnet_tl.config import DataConfig
from resnet_tl.data.cache import entries, remove
from resnet_tl.data.overlap import share_images
from resnet_tl.data.prepare import Prepared, prepare
from resnet_tl.data.remote import local
from resnet_tl.errors import ConfigError, DataError
from tests.conftest import write_images
from tests.resnet_tl.data.file_server import Served, serving


@pytest.fixture(scope="module")
def drawings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("drawings") / "drawings")


@pytest.fixture(scope="module")
def archive(drawings: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = shutil.make_archive(str(tmp_path_factory.mktemp("zip") / "a"), "zip", drawings.parent, "drawings")
    return Path(path).read_bytes()


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def request(served: Served, sha256: str | None, **options: object) -> DataConfig:
    return DataConfig.model_validate(
        {"source": "image_folder", "size": 32, "url": served.url, "sha256": sha256} | options
    )


def test_the_same_images_by_address_and_by_path_are_the_same_data(
    archive: bytes, drawings: Path, tmp_path: Path
) -> None:
    by_path = prepare(DataConfig(source="image_folder", root=str(drawings), size=32), tmp_path / "one")
    with serving(Served(archive)) as served:
        config = request(served, sha(archive).upper())
        found = prepare(config, tmp_path / "two")
    for name in ("fingerprint", "test_name", "images_name", "presentation_name", "pixels_name"):
        assert getattr(found, name) == getattr(by_path, name)
    assert "The archive has one folder at its top, which is entered: drawings." in describe_data(found)
    again = prepare(config, tmp_path / "two")  # the server is gone
    assert again == found
    assert not list((tmp_path / "two" / "archives").glob("*/archive")), "what is unpacked is not kept twice"


def test_an_address_needs_a_hash_and_an_error_tells_it(archive: bytes, tmp_path: Path) -> None:
    with serving(Served(archive)) as served:
        for _ in range(2):
            with pytest.raises(DataError, match=rf"`data.sha256` must be given .*data.sha256={sha(archive)}"):
                prepare(request(served, None), tmp_path)
        assert len(served.asked) == 1, "what came is kept"
    assert prepare(request(served, sha(archive)), tmp_path).num_stored == 36, "and is used without the server"


def test_another_content_than_stated_is_refused_and_not_kept(archive: bytes, tmp_path: Path) -> None:
    with serving(Served(archive)) as served, pytest.raises(DataError) as caught:
        prepare(request(served, "0" * 64), tmp_path)
    assert f"must have sha256 {'0' * 64}, but has {sha(archive)}" in str(caught.value)
    assert entries(tmp_path) == []


def test_a_folder_within_the_archive_is_named_by_root(archive: bytes, drawings: Path, tmp_path: Path) -> None:
    with serving(Served(archive)) as served:
        found = prepare(request(served, sha(archive), root="drawings"), tmp_path)
        assert not any("archive" in note for note in found.notes)
        for root in ("..", "drawings/../..", "/etc", str(drawings), "drawing"):
            with pytest.raises(DataError, match=r"must be a folder in the archive .*there are drawings, drawings/bars"):
                prepare(request(served, sha(archive), root=root), tmp_path)


def test_a_bad_archive_leaves_nothing_to_be_read(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as made:
        made.writestr("good/1.png", b"1")
        made.writestr("../evil.png", b"2")
    content = (tmp_path / "a.zip").read_bytes()
    with serving(Served(content)) as served:
        for _ in range(2):
            with pytest.raises(DataError, match="evil.png leads out of the folder"):
                prepare(request(served, sha(content)), tmp_path / "cache")
    assert not list(tmp_path.rglob("evil.png"))
    assert not list(tmp_path.rglob("files"))
    assert not list(tmp_path.rglob("*.part"))


def test_what_a_killed_process_left_is_no_hindrance(archive: bytes, tmp_path: Path) -> None:
    entry = tmp_path / "archives" / sha(archive)
    (entry / ".files.99999.part" / "drawings").mkdir(parents=True)
    (entry / ".files.99999.part" / "drawings" / "half.png").write_bytes(b"x")
    (entry / "archive").write_bytes(archive)
    found = prepare(request(Served(b"", url="http://127.0.0.1:1/gone.zip"), sha(archive)), tmp_path)
    assert found.num_stored == 36
    assert sorted(path.name for path in entry.iterdir()) == ["files", "used"]


def _prepare(config: DataConfig, cache: Path, into: "multiprocessing.Queue[Prepared]") -> None:
    into.put(prepare(config, cache))


def test_two_processes_fetch_it_once(archive: bytes, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    with serving(Served(archive)) as served:
        answers: multiprocessing.Queue[Prepared] = context.Queue()
        config = request(served, sha(archive))
        processes = [context.Process(target=_prepare, args=(config, tmp_path, answers)) for _ in range(2)]
        for process in processes:
            process.start()
        found = [answers.get(timeout=60) for _ in processes]
        for process in processes:
            process.join()
    assert found[0] == found[1]
    assert len(served.asked) == 1


def test_logins_are_neither_printed_nor_stored(
    archive: bytes, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with serving(Served(archive, login="me:geheim")) as served:
        served.url = served.url.replace("://", "://me:geheim@")
        config = request(served, sha(archive))
        found = prepare(config, tmp_path)
    assert "geheim" not in repr(config)
    assert "geheim" not in str(found)
    assert "geheim" not in "".join(capfd.readouterr())
    stored = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(b"geheim" in content for content in stored)


def test_the_cache_shows_archives_and_keeps_those_in_use(archive: bytes, tmp_path: Path) -> None:
    with serving(Served(archive)) as served:
        config = request(served, sha(archive))
        with local(config, tmp_path):
            (entry,) = entries(tmp_path)
            assert (entry.kind, entry.path.name, entry.in_use) == ("archives", sha(archive), True)
            assert not remove(entry)
        assert remove(entry)
        assert prepare(config, tmp_path).num_stored == 36
        assert len(served.asked) == 2


def test_requests_share_images_by_address_too(archive: bytes, drawings: Path, tmp_path: Path) -> None:
    with serving(Served(archive)) as served:
        config = request(served, sha(archive))
        assert share_images(config, config, tmp_path)
        assert not share_images(config, DataConfig(source="image_folder", root=str(drawings)), tmp_path)


def test_sources_that_read_no_folder_take_no_address(tmp_path: Path) -> None:
    config = request(Served(b"", url="http://127.0.0.1:1/a.zip"), None, source="digits", size=None)
    with pytest.raises(ConfigError, match="`data.url` works with data.source=arrays, image_folder, rotations only"):
        prepare(config, tmp_path)


def test_google_drive_goes_through_gdown(archive: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = "https://drive.google.com/file/d/1AbcdefghijklmnopqrstuvwxyZ/view?usp=sharing"
    config = request(Served(b"", url=address), sha(archive))
    monkeypatch.setitem(sys.modules, "gdown", None)
    with pytest.raises(DataError, match=r"pip install 'resnet-sweeps\[gdown\]'"):
        prepare(config, tmp_path)
    asked = []

    def download(*, id: str, output: str, quiet: bool, resume: bool) -> str:
        asked.append(id)
        Path(output).write_bytes(archive)
        return output

    monkeypatch.setitem(sys.modules, "gdown", types.SimpleNamespace(download=download))
    assert prepare(config, tmp_path).num_stored == 36
    assert asked == ["1AbcdefghijklmnopqrstuvwxyZ"]
