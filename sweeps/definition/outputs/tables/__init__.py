"""The kinds of table."""
