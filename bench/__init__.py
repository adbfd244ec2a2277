"""How time is measured: in the worker (clock, protocol), in turns (schedule), in figures (rounds, stats, break_even)."""
