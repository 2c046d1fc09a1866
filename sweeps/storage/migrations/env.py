"""Run by alembic: applies changes on the connection that `sweeps.storage.schema` hands over."""

from alembic import context

from sweeps.storage.schema import VERSION_TABLE

# Optuna's tables are in the same database, and its own version is in `alembic_version`
context.configure(
    connection=context.config.attributes["connection"],
    version_table=VERSION_TABLE,
    render_as_batch=True,  # SQLite alters a table by copying it
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
