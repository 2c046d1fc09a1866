"""The tables as version 0.1.0 made them; ledgers of that version are taken to be here."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Makes the three tables."""
    op.create_table(
        "sweeps_studies",
        sa.Column("name", sa.String(100), primary_key=True),
        sa.Column("format", sa.Integer, nullable=False),
        sa.Column("created", sa.String(40), nullable=False),
        sa.Column("identity", sa.JSON, nullable=False),
        sa.Column("description", sa.JSON, nullable=False),
        sa.Column("threads", sa.Integer, nullable=False),
        sa.Column("device", sa.String(10), nullable=False),
    )
    op.create_table(
        "sweeps_trials",
        sa.Column("study", sa.String(100), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("fingerprint", sa.String(40), nullable=False),
        sa.Column("params", sa.JSON, nullable=False),
        sa.Column("config", sa.JSON, nullable=False),
        sa.UniqueConstraint("study", "fingerprint"),
    )
    op.create_table(
        "sweeps_seed_runs",
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
        sa.Column("checkpoint", sa.Text),
        sa.Column("tracked", sa.Boolean, nullable=False),
        sa.Column("confusion", sa.JSON, nullable=False),
        sa.Column("history", sa.JSON, nullable=False),
        sa.Column("reliability", sa.JSON),
    )
