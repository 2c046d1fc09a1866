"""What is known: the ledger of finished seed runs, the database that holds it, and Optuna's record beside it."""
