"""Typed records of studies; addresses of networks relative to `run.out`; predictions in place of matrices."""

import sqlalchemy as sa
from alembic import op

from sweeps.records import of_first_version

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Converts what is there; nothing is lost."""
    connection = op.get_bind()
    columns = {column["name"] for column in sa.inspect(connection).get_columns("sweeps_seed_runs")}
    if "reliability" not in columns:  # the first ledgers of version 0.1.0 had no such column
        op.add_column("sweeps_seed_runs", sa.Column("reliability", sa.JSON))

    op.add_column("sweeps_studies", sa.Column("record", sa.JSON))
    studies = sa.table(
        "sweeps_studies",
        *(sa.column(name) for name in ("name", "created", "threads", "device")),
        *(sa.column(name, sa.JSON) for name in ("identity", "description", "record")),
    )
    for row in connection.execute(sa.select(studies)).mappings().all():
        query = sa.update(studies).where(studies.c.name == row["name"]).values(record=of_first_version(dict(row)))
        connection.execute(query)
    with op.batch_alter_table("sweeps_studies") as batch:
        batch.alter_column("record", existing_type=sa.JSON, nullable=False)
        for name in ("format", "identity", "description", "threads", "device"):
            batch.drop_column(name)

    with op.batch_alter_table("sweeps_seed_runs") as batch:
        batch.alter_column("checkpoint", existing_type=sa.Text, new_column_name="network")
        batch.alter_column("confusion", existing_type=sa.JSON, nullable=True)
        batch.add_column(sa.Column("scores_val", sa.LargeBinary))
        batch.add_column(sa.Column("scores_test", sa.LargeBinary))
    op.create_index("sweeps_seed_runs_by_name", "sweeps_seed_runs", ["fingerprint", "seed"])
    runs = sa.table("sweeps_seed_runs", *(sa.column(name) for name in ("study", "fingerprint", "seed", "network")))
    for row in connection.execute(sa.select(runs).where(runs.c.network.is_not(None))).mappings().all():
        _, found, below = str(row["network"]).rpartition("/mlruns/")
        if found:
            key = (
                (runs.c.study == row["study"])
                & (runs.c.fingerprint == row["fingerprint"])
                & (runs.c.seed == row["seed"])
            )
            connection.execute(sa.update(runs).where(key).values(network=f"mlruns/{below}"))
