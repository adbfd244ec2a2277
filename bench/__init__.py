"""How time is measured: the worker's half (protocol), the order of turns (schedule), the figures (stats)."""
