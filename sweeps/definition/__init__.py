"""What a study is: composed from files and the command line, and checked. Runs nothing."""
