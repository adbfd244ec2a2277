"""Who knows the truth of a problem, here or in a process of its own."""
