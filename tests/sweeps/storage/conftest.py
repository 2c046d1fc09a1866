"""Every kind of database, for the tests that all of them must pass."""

from collections.abc import Callable
from pathlib import Path

import pytest

from resnet_tl.address import parse
from sweeps.storage.database import Database, database_of

Again = Callable[[], Database]
"""The same database, as another process has it."""


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def again(request: pytest.FixtureRequest, tmp_path: Path) -> Again:
    address = parse(request.getfixturevalue("postgres"), "run.storage") if request.param == "postgres" else None
    return lambda: database_of(tmp_path / "a b,(=#&é%20?", address)


@pytest.fixture
def database(again: Again) -> Database:
    return again()
