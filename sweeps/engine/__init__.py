"""Making a study happen: one driver decides and writes, pure workers compute."""
