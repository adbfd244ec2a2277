"""Names of leaves by patterns: ``*`` stands for one part of a dotted path, ``**`` for one or more."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

_WILD = re.compile(r"(\*\*|\*)")


def captured(pattern: str, path: str) -> tuple[str, ...] | None:
    """What the stars of a pattern stand for where it matches a whole path; None where it does not."""
    found = re.fullmatch(
        "".join({"*": "([^.]+)", "**": "(.+)"}.get(part) or re.escape(part) for part in _WILD.split(pattern)), path
    )
    return None if found is None else found.groups()


def filled(pattern: str, stars: Iterable[str]) -> str:
    """A pattern with something for each of its stars, in order."""
    left = iter(stars)
    return _WILD.sub(lambda _: next(left), pattern)


def stars(pattern: str) -> int:
    """How many stars a pattern has."""
    return len(_WILD.findall(pattern))


def nearest(name: str, names: Iterable[str]) -> str:
    """``The nearest is NAME.``, for messages about a name that is not among others; empty where none is like it."""
    found = get_close_matches(name, list(names), n=1, cutoff=0.4)
    return f"The nearest is {found[0]}." if found else ""
