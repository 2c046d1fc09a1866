"""The ledger's tables."""

import sqlalchemy as sa

from resnet_tl.errors import UserError

VERSION_TABLE = "sweeps_schema"
"""Holds the revision of the ledger's tables; Optuna keeps its own in `alembic_version` of the same database."""

FIRST, HEAD = "0001", "0004"
"""Revisions of version 0.1.0, which stored none, and of this one. Each has a module in `migrations/versions`."""

metadata = sa.MetaData()


def _word(length: int) -> sa.types.TypeEngine[str]:
    """A name. SQLite holds no length and compares bytes, which PostgreSQL does as well under this collation alone."""
    return sa.String(length).with_variant(sa.Text(collation="C"), "postgresql")


_WHOLE = sa.Integer().with_variant(sa.BigInteger(), "postgresql")
"""Of up to 64 bits, as SQLite's are."""

studies = sa.Table(
    "sweeps_studies",
    metadata,
    sa.Column("name", _word(100), primary_key=True),
    sa.Column("created", _word(40), nullable=False),
    sa.Column("record", sa.JSON, nullable=False),
)
trials = sa.Table(
    "sweeps_trials",
    metadata,
    sa.Column("study", _word(100), primary_key=True),
    sa.Column("number", _WHOLE, primary_key=True),
    sa.Column("fingerprint", _word(40), nullable=False),
    sa.Column("params", sa.JSON, nullable=False),
    sa.Column("config", sa.JSON, nullable=False),
    sa.UniqueConstraint("study", "fingerprint"),
)
seed_runs = sa.Table(
    "sweeps_seed_runs",
    metadata,
    sa.Column("study", _word(100), primary_key=True),
    sa.Column("fingerprint", _word(40), primary_key=True),
    sa.Column("seed", _WHOLE, primary_key=True),
    sa.Column("state", _word(20), nullable=False),
    sa.Column("max_epoch", _WHOLE, nullable=False),
    sa.Column("best_epoch", _WHOLE),
    sa.Column("metrics", sa.JSON, nullable=False),
    sa.Column("wall_s", sa.Float, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("started", _word(40), nullable=False),
    sa.Column("finished", _word(40), nullable=False),
    sa.Column("commit", _word(60)),
    sa.Column("reused_from", _word(100)),
    sa.Column("network", sa.Text),
    sa.Column("tracked", sa.Boolean, nullable=False),
    sa.Column("repeated_s", sa.Float, nullable=False, server_default="0"),
    sa.Column("cause", _word(20)),
    # the heavy columns last: SQLite reads a row from its start
    sa.Column("scores_val", sa.LargeBinary),
    sa.Column("scores_test", sa.LargeBinary),
    sa.Column("history", sa.JSON, nullable=False),
    sa.Column("confusion", sa.JSON),
    sa.Column("reliability", sa.JSON),
    # by which a seed run is found in any study
    sa.Index("sweeps_seed_runs_by_name", "fingerprint", "seed"),
)


class LedgerError(UserError):
    """The ledger is damaged, or of a version that this one does not know."""


class ConnectionLost(LedgerError):
    """A database server broke off: whether it carried out what it was told last is not known."""


def create(connection: sa.Connection) -> None:
    """Makes the tables in a database that nobody else makes any in."""
    metadata.create_all(connection)
    version = sa.Table(VERSION_TABLE, sa.MetaData(), sa.Column("version_num", sa.String(32), primary_key=True))
    version.create(connection)
    connection.execute(sa.insert(version).values(version_num=HEAD))
