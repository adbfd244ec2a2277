"""A backend whose framework is there, but not all of it."""

from json import half_of_it  # noqa: F401
