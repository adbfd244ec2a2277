"""Start a process, ask it, end it: environment, limits, deadlines. What is asked is in `worker` and `oracle`."""
