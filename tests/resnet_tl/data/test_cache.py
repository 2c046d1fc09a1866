import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from resnet_tl.data.cache import clear_unfinished, entries, hold, make_room, room
from tests.conftest import Run


def fill(cache: Path, kind: str, name: str, megabytes: float, age_s: float) -> Path:
    """An entry that was last used some time ago."""
    folder = cache / kind / name
    folder.mkdir(parents=True)
    (folder / "content").write_bytes(bytes(int(megabytes * 1e6)))
    (folder / "used").touch()
    os.utime(folder / "used", (time.time() - age_s,) * 2)
    return folder


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    fill(tmp_path, "features", "old", 3, 300)
    fill(tmp_path, "data", "middle", 2, 200)
    fill(tmp_path, "features", "new", 1, 100)
    fill(tmp_path, "pretrained", "weights", 4, 999)
    return tmp_path


def test_the_least_recently_used_goes_first_and_weights_stay(cache: Path) -> None:
    assert [entry.path.name for entry in entries(cache)] == ["weights", "old", "middle", "new"]
    gone = make_room(cache, limit_gb=0.0081)
    assert [entry.path.name for entry in gone] == ["old"]
    gone = make_room(cache, limit_gb=0.0081, needed=2_000_000)
    assert [entry.path.name for entry in gone] == ["middle"]
    make_room(cache, limit_gb=0.001)
    assert [entry.path.name for entry in entries(cache)] == ["weights"]


def test_room_counts_what_may_go(cache: Path) -> None:
    assert room(cache, limit_gb=0.010) == 6_000_000
    with hold([cache / "features" / "old"]):
        assert room(cache, limit_gb=0.010) == 3_000_000
    assert room(cache, limit_gb=0.001) < 0


def test_what_is_in_use_stays_until_its_holder_has_died(cache: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from resnet_tl.data.cache import hold\n"
        f"with hold([Path({str(cache / 'features' / 'old')!r})]): print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    # it was used just now, so it is the last in line, and stays even where nothing else is left to go
    assert [entry.path.name for entry in make_room(cache, limit_gb=0.0)] == ["middle", "new"]
    holder.kill()
    holder.wait()
    assert [entry.path.name for entry in make_room(cache, limit_gb=0.0)] == ["old"]


def test_what_was_sent_from_elsewhere_goes_by_itself_too(tmp_path: Path) -> None:
    fill(tmp_path, "sent", "other", 3, 300)
    assert [entry.path.name for entry in make_room(tmp_path, limit_gb=0.002)] == ["other"]


def test_the_command_shows_and_clears(cache: Path, run: Run) -> None:
    shown = run("resnet_tl.cache", f"cache={cache}")
    assert "3.0 MB  features" in shown.stdout
    assert "10.0 MB  in " in shown.stdout
    assert run("resnet_tl.cache", f"cache={cache}", "clear=features").returncode == 0
    assert [entry.path.name for entry in entries(cache)] == ["weights", "middle"]
    run("resnet_tl.cache", f"cache={cache}", "limit_gb=0")
    assert [entry.path.name for entry in entries(cache)] == ["weights"]
    run("resnet_tl.cache", f"cache={cache}", "clear=all")
    assert entries(cache) == []


def test_a_wrong_request_to_the_command_is_refused(cache: Path, run: Run) -> None:
    wrong = run("resnet_tl.cache", f"cache={cache}", "clear=everything", "limit_gb=-1", "limmit=3")
    assert wrong.returncode == 2
    for text in ("`clear` must be one of", "`limit_gb` must be", "did you mean `limit_gb`"):
        assert text in wrong.stderr
    assert len(entries(cache)) == 4


def test_what_a_killed_process_had_begun_goes_and_what_is_being_made_stays(tmp_path: Path) -> None:
    abandoned, unmarked, held = (tmp_path / f".making-{name}" for name in ("abandoned", "unmarked", "held"))
    for folder in (abandoned, unmarked, held):
        folder.mkdir()
    with hold([abandoned]):
        pass
    with hold([held]):
        clear_unfinished(tmp_path, older_than_s=60)
        assert sorted(tmp_path.iterdir()) == [held, unmarked]
    clear_unfinished(tmp_path, older_than_s=-1)
    assert not list(tmp_path.iterdir())


def test_nobody_can_take_hold_of_what_is_being_cleared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / ".making-it"
    folder.mkdir()
    with hold([folder]):
        pass
    seen = []

    def removed(path: Path) -> None:
        with (path / "used").open() as stream, pytest.raises(BlockingIOError):
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        seen.append(path)

    monkeypatch.setattr("resnet_tl.data.cache.discard", removed)
    clear_unfinished(tmp_path, older_than_s=60)
    assert seen == [folder]


def test_what_is_about_to_be_held_stays_and_so_does_what_is_held_for_long(tmp_path: Path) -> None:
    about, held = tmp_path / ".making-about", tmp_path / ".making-held"
    for folder in (about, held):
        folder.mkdir()
    (about / "used").touch()  # opened, and not locked yet
    with hold([held]):
        os.utime(held, (1, 1))
        clear_unfinished(tmp_path, older_than_s=60)
        with hold([about]):
            assert sorted(tmp_path.iterdir()) == [about, held]
