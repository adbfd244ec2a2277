"""``gradparity atlas``: the derivatives of single functions, point by point, in every framework.

`points` has where functions are looked at first, `search` where next, and `run` asks the processes and the truth.
"""
