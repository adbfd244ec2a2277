"""Numbers to conclusions: verdicts, training, divergence; `causes` for why, `speed` for the choice of a backend.

Pure: nothing is measured, started, asked or written here, and the same numbers give the same words.
"""
