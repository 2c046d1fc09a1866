"""What earlier tries of a seed run took, so that a report can tell all compute."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Of what was tried again before, nothing is known."""
    with op.batch_alter_table("sweeps_seed_runs") as batch:
        batch.add_column(sa.Column("repeated_s", sa.Float, nullable=False, server_default="0"))
