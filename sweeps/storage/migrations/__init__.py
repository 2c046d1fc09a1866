"""Changes of the ledger's tables, one module each under `versions`, applied by alembic."""
