"""What the ledger says: results -> stats -> tables -> documents. Reading never needs training."""
