"""How time is measured: in a worker (`clock`, `protocol`), in turns (`schedule`), in figures (`rounds`, `stats`).

`profiles` says how long and how often, `roofline` what the machine could do at best, `break_even` what one-off costs
come to; ``baselines`` are hand-written loops that the harness is held against. Clocks are injected and statistics are
pure: no process is started here, and no framework imported outside ``baselines``.
"""
