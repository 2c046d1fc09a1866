"""Stored networks: predicting with them, and writing them whole."""
