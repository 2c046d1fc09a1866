"""Where a study's ledger, its lock and Optuna's record live: a file for one host, or a PostgreSQL server.

Each kind of database implements `Database` and passes `tests/sweeps/storage/test_database.py`.
"""

import unicodedata
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from resnet_tl.address import Address
from resnet_tl.errors import ConfigError
from sweeps.storage.ledger import Ledger
from sweeps.storage.sqlite_database import SqliteDatabase

if TYPE_CHECKING:
    from optuna.storages import BaseStorage


_UNPRINTABLE = ("Cc", "Cs", "Zl", "Zp")
"""Categories of characters that a folder's name must not hold: controls, lone surrogates, ends of lines."""


class Database(Protocol):
    """Holds the ledger, Optuna's record, and the locks of drivers."""

    @property
    def shown(self) -> str:
        """What messages call it; holds no secret."""

    def exists(self) -> bool:
        """Whether there is a ledger; looking makes none."""

    def read(self) -> Ledger:
        """Opens the ledger to read. Nothing is changed or made, also where an older version wrote it.

        Raises:
            LedgerError: there is no ledger, or it cannot be read.
        """

    def open(self) -> Ledger:
        """Opens the ledger to write; makes it, or brings it up to date, first.

        Raises:
            LedgerError: what is there is no ledger of this version or an older one.
        """

    def take_in(self, study: str) -> None:
        """Adds seed runs that an earlier start of a study could not write, and kept aside; for its driver."""

    def lock(self, study: str) -> AbstractContextManager[None]:
        """Held by a study's driver; dies with its holder.

        Raises:
            ConfigError: another driver holds it.
        """

    def optuna(self) -> "BaseStorage":
        """Optuna's storage, in the same database; the ledger must have been opened before."""


def database_of(out: Path, storage: Address | None = None) -> Database:
    """The database of the studies in a folder.

    Args:
        storage: the PostgreSQL database that holds them in place of a file in the folder.

    Raises:
        ConfigError: the folder has a name that no address or printed line can hold, or the address is not valid.
    """
    if any(unicodedata.category(character) in _UNPRINTABLE for character in str(out)):
        raise ConfigError(
            f"`run.out` must be a folder without line breaks, other control characters and bytes that are no UTF-8 in "
            f"its name, but got {str(out)!r}; rename it, or give another one."
        )
    if storage is None:
        return SqliteDatabase(out)
    try:
        import psycopg  # noqa: F401
    except ImportError as error:  # it is not installed, or finds no library of PostgreSQL
        raise ConfigError(
            f"`run.storage` must be reached with psycopg, but that cannot be loaded ({error}); it comes with "
            "pip install 'resnet-sweeps[postgres]'."
        ) from None
    from sweeps.storage.postgres_database import PostgresDatabase

    return PostgresDatabase(out, storage)
