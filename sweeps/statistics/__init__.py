"""What can be claimed from numbers: pure functions over arrays and plain values, which know nothing of studies."""
