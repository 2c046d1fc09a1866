"""Typed records of studies; addresses of networks relative to `run.out`; predictions in place of matrices."""

from typing import Any

import sqlalchemy as sa
from alembic import op

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
        query = sa.update(studies).where(studies.c.name == row["name"]).values(record=_record(dict(row)))
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


def _record(row: dict[str, Any]) -> dict[str, Any]:
    """A study of version 0.1.0 as `sweeps.records.StudyRecord` is stored."""
    identity, description = row["identity"], row["description"]
    data = dict(identity["data"])
    name = data.pop("fingerprint")
    classes, images, source = data.pop("classes"), data.pop("images"), data["source"]
    environment = dict(identity["environment"])
    return {
        "name": row["name"],
        "created": row["created"],
        "naming": 1,
        "question": description["question"],
        "about": description.get("about") or "",
        "hypotheses": description["hypotheses"],
        "hypotheses_changed": description.get("hypotheses_changed"),
        "method": identity["method"],
        "metric": identity["metric"],
        "direction": identity["direction"],
        "seeds": identity["seeds"],
        "space": identity["space"],
        "base": identity["trial"],
        "base_weights": environment.pop("weights", None),
        "pretrain": identity["pretrain"],
        "data": {
            "source": source,
            "options": {key: value for key, value in data.items() if value is not None},
            "classes": classes,
            "num_images": images,
            # that version had one name for all three
            "test_name": name,
            "images_name": name,
            "presentation_name": name,
            "skipped": description["skipped"],
            "num_contradicting": description["num_contradicting"],
            "num_leaked": description["num_leaked"],
        },
        "environment": environment,
        "tables": description["tables"],
        "figures": description.get("figures") or [],
        "confirm": description.get("confirm"),
        "num_trials": description["trials"] or 0,
        "command": description["command"],
        "out": description.get("out") or ".",
    }
