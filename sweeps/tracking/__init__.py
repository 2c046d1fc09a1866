"""What is shown to others: trackers, and the outbox that sends them what the ledger holds."""
