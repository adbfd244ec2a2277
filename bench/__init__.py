"""How time is measured: in a worker (clock, protocol), in turns (schedule), in figures (rounds, stats, break_even)."""
