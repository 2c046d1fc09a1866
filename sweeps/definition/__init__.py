"""What a study is: composed from files and the command line, checked, and planned. Runs nothing."""
