"""What the ledger says: results -> statistics -> tables, figures -> report. Reading never needs training."""
