"""Outputs of the frozen prefix of a network: named, kept, computed, read."""
