"""The certified namespace: what a loss calls as ``xp``, one file for each kind of function.

`namespace` gathers them by NumPy's names and gives arrays their operators; a function that needs another goes into the
file above it. Every primitive hands its result to the tape; nothing here differentiates, or knows of a model.
"""
