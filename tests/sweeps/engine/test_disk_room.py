"""What is asked of a disk before training, and what is said where it is refused."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from resnet_tl.data.prepare import Prepared
from sweeps.engine import disk_room
from sweeps.engine.disk_room import DiskFull, DiskRoom
from sweeps.planning.feature_reuse import kept_bytes, predictions_bytes
from tests.conftest import trial

RESERVE = "mlruns/.work/reserve-s"


def refuse(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(disk_room.os, "posix_fallocate", fail, raising=False)


def leave(free: int, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")._replace(free=free)
    monkeypatch.setattr(disk_room.shutil, "disk_usage", lambda _: usage)


@pytest.mark.parametrize(("number", "has"), [(errno.ENOSPC, "has 1 MB"), (errno.EDQUOT, "a quota leaves less")])
def test_a_reserve_that_finds_no_room_says_what_it_is_for(
    number: int, has: str, prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(number, monkeypatch)
    leave(10**6 if number == errno.ENOSPC else 10**12, monkeypatch)
    with pytest.raises(DiskFull, match=f"room for 8 MB of the last results of the study, but {has}"):
        DiskRoom(tmp_path, "s", prepared, "all").hold()
    assert not (tmp_path / RESERVE).exists()


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS, errno.EIO])
def test_a_file_system_that_takes_no_room_ahead_stops_no_study(
    number: int, prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(number, monkeypatch)
    DiskRoom(tmp_path, "s", prepared, "all").hold()
    assert not (tmp_path / RESERVE).exists()


@pytest.mark.parametrize("keep", ["all", "best", "none"])
def test_predictions_are_counted_whatever_becomes_of_networks(
    keep: str, prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [trial(freeze="all")] * 100
    network = kept_bytes(runs[0], prepared)
    needed = network * (100 if keep == "all" else 1) + 100 * predictions_bytes(prepared)
    room = DiskRoom(tmp_path, "s", prepared, keep)
    leave(needed, monkeypatch)
    room.require(runs)
    leave(needed - 1, monkeypatch)
    with pytest.raises(DiskFull, match="of networks and predictions that are still to be stored"):
        room.require(runs)
