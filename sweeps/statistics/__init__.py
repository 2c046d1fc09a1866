"""What can be claimed from repeated runs: pure functions over arrays."""
