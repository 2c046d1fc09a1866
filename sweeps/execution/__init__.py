"""Where work is done: tasks, and executors that run them in processes on this machine or others."""
