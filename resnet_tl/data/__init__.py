"""From folders and arrays to batches: sources -> splits -> decoded, memory-mapped images -> batches."""
