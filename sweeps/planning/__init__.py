"""What is to be done: pure functions of the definition of a study and of what is known of it."""
