"""One seed run, or many heads side by side: a loop over members, and the learners that it drives."""
