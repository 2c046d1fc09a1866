"""How reads and writes of a ledger are carried out: each as a function, in a transaction that may be tried again."""

from collections.abc import Callable
from typing import Protocol, TypeVar

import sqlalchemy as sa

Answer = TypeVar("Answer")

TRIES = 5
"""How often something is done whose connection breaks each time. Reaching the server has a patience of its own."""


class Transactions(Protocol):
    """One kind of database's own way."""

    def look(self, body: Callable[[sa.Connection], Answer]) -> Answer:
        """Reads. What is done to reach the database again may call the function more than once."""

    def change(self, study: str, body: Callable[[sa.Connection], object]) -> None:
        """Writes what belongs to a study, all or nothing, and once however often the function is called."""

    def close(self) -> None:
        """Lets go of the database."""


class FileTransactions:
    """Of a file, which is there or is gone for good.

    Args:
        watch: called after every change; raises where it may be lost.
    """

    def __init__(self, engine: sa.Engine, *, watch: Callable[[], None] | None = None) -> None:
        self.engine = engine
        self._watch = watch

    def look(self, body: Callable[[sa.Connection], Answer]) -> Answer:
        """See `Transactions`."""
        with self.engine.begin() as connection:
            return body(connection)

    def change(self, study: str, body: Callable[[sa.Connection], object]) -> None:
        """See `Transactions`."""
        try:
            with self.engine.begin() as connection:
                body(connection)
        finally:
            if self._watch:  # also where it failed: that the file is gone says more than that it cannot be opened
                self._watch()

    def close(self) -> None:
        """See `Transactions`."""
        self.engine.dispose()
