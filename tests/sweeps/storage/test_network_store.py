"""What the store of networks removes, and what it must not."""

import dataclasses
import datetime
import os
from pathlib import Path

import pytest

from sweeps.storage.network_store import NetworkStore
from tests.sweeps.storage.test_ledger import RUN

BEGUN = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def folder_of(out: Path, name: str, *, after_s: float) -> Path:
    """Networks of a seed run, from so long after the study was begun."""
    folder = out / "mlruns" / "networks" / "s" / name
    folder.mkdir(parents=True)
    os.utime(folder, (BEGUN.timestamp() + after_s,) * 2)
    return folder


def test_what_a_killed_start_left_is_removed_and_what_the_ledger_knows_is_not(tmp_path: Path) -> None:
    left = folder_of(tmp_path, "g-0", after_s=5)
    known = folder_of(tmp_path, "f-0", after_s=5)
    NetworkStore(tmp_path, "s").clear_leftovers([dataclasses.replace(RUN)], BEGUN.isoformat())
    assert known.exists()
    assert not left.exists()


@pytest.mark.parametrize("since", [None, BEGUN.isoformat()])
def test_what_belongs_to_a_ledger_that_lay_there_before_is_left(since: str | None, tmp_path: Path) -> None:
    other = folder_of(tmp_path, "g-0", after_s=-60)
    NetworkStore(tmp_path, "s").clear_leftovers([], since)
    assert other.exists()
