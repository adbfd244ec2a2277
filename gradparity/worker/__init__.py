"""What runs inside a backend's process, and the messages that it understands.

Needs NumPy and msgspec only, and imports one framework: the backend's. It may be another interpreter than the parent's,
so nothing of the parent's is here: no truth, no results, no verdict.
"""
