"""Which version of the ledger's tables a database holds, and bringing an older one up to date."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from sweeps.storage.schema import FIRST, HEAD, VERSION_TABLE, LedgerError, studies

if TYPE_CHECKING:
    from alembic.config import Config


def revision(connection: sa.Connection, where: str) -> str:
    """The revision of a ledger's tables.

    Args:
        where: names the database in an error.

    Raises:
        LedgerError: there are no such tables, or a newer version of this program made them.
    """
    there = set(sa.inspect(connection).get_table_names())
    if studies.name not in there:
        raise LedgerError(f"{where} must be a ledger of this program, but has no table `{studies.name}`.")
    if VERSION_TABLE not in there:
        return FIRST
    found = connection.execute(sa.text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()
    if not isinstance(found, str):
        raise LedgerError(f"{where} must be a ledger of this program, but its table `{VERSION_TABLE}` is damaged.")
    if found > HEAD:
        raise LedgerError(f"{where} was written by a newer version of this program (tables {found}, known: {HEAD}).")
    return found


def bring_up_to_date(connection: sa.Connection, where: str) -> None:
    """Brings the tables of an older version up to date, all or nothing.

    Args:
        connection: in a transaction that has the lock of a writer since its begin, so that of two programs one waits.
    """
    if revision(connection, where) == HEAD:
        return
    from alembic import command

    config = config_of(connection)
    if not sa.inspect(connection).has_table(VERSION_TABLE):
        command.stamp(config, FIRST)
    command.upgrade(config, HEAD)


def config_of(connection: sa.Connection) -> "Config":
    """Of alembic, to change tables by a connection."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).resolve().parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    logging.getLogger("alembic").setLevel(logging.WARNING)
    return config
