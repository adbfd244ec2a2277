"""Derivatives of a certified loss: reverse mode over its tape, and Taylor series along a line.

`rules` has the adjoint of every primitive of ``xp``; `certificate` what is proven, as results. Losses are functions of
``(params, data, xp)``: nothing here knows a model, and nothing that the two ways compute is shared between them.
"""
