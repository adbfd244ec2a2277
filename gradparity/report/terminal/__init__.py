"""Reports on a terminal, by Rich: the first screen, every table, and progress. Facts come from `facts`."""
