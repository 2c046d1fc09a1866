"""The ledger's tables."""

import sqlalchemy as sa

from resnet_tl.errors import UserError

VERSION_TABLE = "sweeps_schema"
"""Holds the revision of the ledger's tables; Optuna keeps its own in `alembic_version` of the same database."""

FIRST, HEAD = "0001", "0004"
"""Revisions of version 0.1.0, which stored none, and of this one. Each has a module in `migrations/versions`."""

metadata = sa.MetaData()

studies = sa.Table(
    "sweeps_studies",
    metadata,
    sa.Column("name", sa.String(100), primary_key=True),
    sa.Column("created", sa.String(40), nullable=False),
    sa.Column("record", sa.JSON, nullable=False),
)
trials = sa.Table(
    "sweeps_trials",
    metadata,
    sa.Column("study", sa.String(100), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("fingerprint", sa.String(40), nullable=False),
    sa.Column("params", sa.JSON, nullable=False),
    sa.Column("config", sa.JSON, nullable=False),
    sa.UniqueConstraint("study", "fingerprint"),
)
seed_runs = sa.Table(
    "sweeps_seed_runs",
    metadata,
    sa.Column("study", sa.String(100), primary_key=True),
    sa.Column("fingerprint", sa.String(40), primary_key=True),
    sa.Column("seed", sa.Integer, primary_key=True),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("max_epoch", sa.Integer, nullable=False),
    sa.Column("best_epoch", sa.Integer),
    sa.Column("metrics", sa.JSON, nullable=False),
    sa.Column("wall_s", sa.Float, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("started", sa.String(40), nullable=False),
    sa.Column("finished", sa.String(40), nullable=False),
    sa.Column("commit", sa.String(60)),
    sa.Column("reused_from", sa.String(100)),
    sa.Column("network", sa.Text),
    sa.Column("tracked", sa.Boolean, nullable=False),
    sa.Column("repeated_s", sa.Float, nullable=False, server_default="0"),
    sa.Column("cause", sa.String(20)),
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


def create(engine: sa.Engine) -> None:
    """Makes the tables in a database that nobody else has opened yet."""
    with engine.begin() as connection:
        metadata.create_all(connection)
        version = sa.Table(VERSION_TABLE, sa.MetaData(), sa.Column("version_num", sa.String(32), primary_key=True))
        version.create(connection)
        connection.execute(sa.insert(version).values(version_num=HEAD))
