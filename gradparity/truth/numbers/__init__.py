"""Certified numbers: balls, arrays of truncated series of them, enclosures as results, the tape of an evaluation.

`context` is the evaluation under way; `rounding` what it rounds, where it is to be noisy; `tape` what it computed. Here
are numbers and arrays, and no function of them but conversions and what flint has of matrices: functions are in ``xp``.
"""
