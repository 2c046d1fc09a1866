"""The kinds of picture."""
