"""What a study's HTML page has beyond a report's blocks: its look and script, pictures in it, seed runs, images."""
