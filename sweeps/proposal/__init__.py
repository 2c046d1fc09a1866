"""What to try first on a folder of images: a look at it, and a study that runs as it is."""
