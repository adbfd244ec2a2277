"""Reports on a terminal: the first screen, every table, and progress."""
