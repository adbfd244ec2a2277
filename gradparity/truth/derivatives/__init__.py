"""Derivatives of a certified loss: reverse mode over its tape, and Taylor series along a line."""
