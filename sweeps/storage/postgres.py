"""Reaches a PostgreSQL server: with patience once it has answered, and with errors that say what to do.

User and password are in no address, message or engine: they go from `run.storage` to psycopg alone.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg
import sqlalchemy as sa
from psycopg.conninfo import conninfo_to_dict

from resnet_tl.address import HIDDEN, Address, without_secrets
from resnet_tl.errors import ConfigError
from sweeps.storage.schema import ConnectionLost, LedgerError

PATIENCE_S = 60.0
"""Seconds that a server which has answered before is waited for, and that a transaction waits for another one."""
PAUSE_S = 0.5
"""Between two tries to reach it."""

URL = "postgresql+psycopg://"
"""The driver is named, since `postgresql://` means psycopg 3 from SQLAlchemy 2.1 on only. The rest is in `connect`."""

_DEFAULTS = {
    "connect_timeout": 10,
    "client_encoding": "utf8",
    "application_name": "resnet-sweeps",
    # a server whose host or network is gone does not say so: it is noticed after about half a minute
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
"""Of libpq; the address may say otherwise."""

_LOST = ("57P01", "57P02", "57P03")
"""A server that shuts down, has crashed, or starts; the class 08 is of broken connections."""


class Server:
    """A database of a PostgreSQL server.

    Args:
        address: `run.storage`.

    Raises:
        ConfigError: it is not valid.
    """

    def __init__(self, address: Address) -> None:
        self.shown = address.shown
        try:
            given = conninfo_to_dict(address.bare)
        except psycopg.Error as error:
            raise ConfigError(
                f"`run.storage` must be an address such as postgresql://HOST:5432/DATABASE, but {self.shown} is not: "
                f"{_first_line(error)}."
            ) from None
        login = {"user": address.user, "password": address.password}
        self._parameters: Mapping[str, Any] = (
            _DEFAULTS | given | {name: value for name, value in login.items() if value}
        )
        self._secrets = [str(value) for name in ("user", "password") if (value := self._parameters.get(name))]
        self._answered = False
        self._single = self.engine(poolclass=sa.pool.NullPool)

    def connect(self) -> "psycopg.Connection[Any]":
        """A new connection.

        Raises:
            LedgerError: the server cannot be reached, at the first time or for longer than `PATIENCE_S`.
        """
        end = time.monotonic() + (PATIENCE_S if self._answered else 0.0)
        while True:
            try:
                connection = self._connect()
                break
            except psycopg.Error as error:
                if time.monotonic() >= end:
                    refused = self._unreachable(error)
                    self._answered = False  # whatever else wants it now need not wait as long again
                    raise refused from None
                time.sleep(PAUSE_S)
        self._answered = True
        return connection

    def _connect(self) -> "psycopg.Connection[Any]":
        connection = psycopg.connect(**self._parameters)
        encoding = connection.info.parameter_status("server_encoding")
        if encoding != "UTF8":
            connection.close()
            raise LedgerError(
                f"{self.shown} must be a database whose encoding is UTF8, but got {encoding}; make another one, with "
                "CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0."
            )
        with connection.transaction():
            connection.execute(f"SET lock_timeout = {round(1000 * PATIENCE_S)}")
        return connection

    def engine(self, **options: Any) -> sa.Engine:
        """An engine of SQLAlchemy, whose errors say what to do."""
        engine = sa.create_engine(URL, **self.options(), **options)
        self.explain_errors(engine)
        return engine

    def options(self) -> dict[str, Any]:
        """What makes an engine reach this server."""
        # what locks of rows mean here holds under this isolation; an idle connection may have been lost, which costs a
        # question before its next use
        return {"creator": self.connect, "isolation_level": "READ COMMITTED", "pool_pre_ping": True}

    @contextmanager
    def begin(self) -> Iterator[sa.Connection]:
        """A transaction on a connection of its own."""
        with self._single.begin() as connection:
            yield connection

    def explain_errors(self, engine: sa.Engine) -> None:
        """Lets an engine raise LedgerError for what is wrong with the server, its database, or a number."""

        def explain(context: sa.engine.ExceptionContext) -> None:
            if context.is_pre_ping:  # the pool connects anew
                return
            explained = self.explanation(context.original_exception, lost=context.is_disconnect)
            if explained is not None:
                raise explained from None

        sa.event.listen(engine, "handle_error", explain)

    def explanation(self, error: BaseException, *, lost: bool = False) -> LedgerError | None:
        """What an error of the driver means to a user; None for one of our own code.

        Args:
            lost: whether the connection went with it.
        """
        if not isinstance(error, psycopg.Error):
            return None
        code = error.sqlstate or ""
        said = self._said(error)
        safe = "What it holds is whole."
        if lost or code in _LOST or code.startswith("08"):
            return ConnectionLost(
                f"The connection to {self.shown} was lost ({said}). {safe} Start again when the server answers."
            )
        if code == "53100":
            return LedgerError(
                f"{self.shown} cannot be written, since its server has no room ({said}). {safe} Make room there and "
                "start again."
            )
        if code in ("42501", "25006"):
            return LedgerError(
                f"{self.shown} must be a database that may be read and written, and whose schema may get tables, but "
                f"its server says: {said}. {safe} Ask its owner for that, or give another user."
            )
        if code in ("55P03", "40P01"):
            return LedgerError(
                f"{self.shown} was locked by another program for more than {PATIENCE_S:g} s. {safe} End that program, "
                "or wait for it, and start again."
            )
        if code == "22003":
            return LedgerError(
                f"{self.shown} holds integers of up to 64 bits, but got a larger one; give smaller numbers."
            )
        if code.startswith("42") and code != "42601":  # all but a statement that no server would understand
            return LedgerError(
                f"{self.shown} must be a database of this program, but is not, or is damaged: {said}. Bring back a "
                "copy, or give an empty database to begin anew."
            )
        if code.startswith("23") or isinstance(error, psycopg.ProgrammingError | psycopg.DataError):
            return None
        return LedgerError(f"{self.shown} cannot be read or written: {said}. {safe} Start again when that is mended.")

    def _unreachable(self, error: psycopg.Error) -> LedgerError:
        said = self._said(error)
        waited = f" for {PATIENCE_S:g} s" if self._answered else ""
        if "authentication" in said or "no password" in said:
            do = (
                "Check the user and the password: they stand in the address, or in the environment as PGUSER and "
                "PGPASSWORD."
            )
        elif "does not exist" in said:
            do = "Make the database first (`createdb`), or mend its name or that of the user."
        else:
            do = "See whether the server runs and the address is right, and start again."
        return LedgerError(
            f"`run.storage` must be a PostgreSQL database that can be reached, but {self.shown} could not{waited}: "
            f"{said}. {do}"
        )

    def _said(self, error: psycopg.Error) -> str:
        """The server's words in one line, without user and password."""
        said = error.diag.message_primary or _first_line(error)
        for secret in self._secrets:  # where it is too short to be looked for in the middle of words
            said = said.replace(f'"{secret}"', f'"{HIDDEN}"')
        return without_secrets(said, self._secrets).rstrip(".")


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else type(error).__name__
