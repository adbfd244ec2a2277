"""Methods on plain arrays: optimisers, extrapolated derivatives, noise estimates, arrays of extended precision.

Workers import these beside a framework: NumPy, SciPy and msgspec are all they need. No truth, and no process.
"""
