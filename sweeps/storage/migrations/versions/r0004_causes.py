"""Why a seed run failed, by name."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Of what failed before, only the error's text is known."""
    with op.batch_alter_table("sweeps_seed_runs") as batch:
        batch.add_column(sa.Column("cause", sa.String(20)))
