"""Causes by kind: which words of a cause are one model's own, and which many models have in common. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

#: What stands for a model's own words.
OWN = "..."
#: Digits up to which a factor is a number that somebody typed, and tells one kind from another.
_TYPED = 4
_FACTOR = r"(?P<factor>\bfactor \S+(?: [+-] \S+)?(?: or \S+)*)"
#: A length of the data, which each model has its own of: ``1/20 of the truth (20 is also rows of X)``.
_LENGTH = r"(?P<length>(?P<sign>-?)(?P<part>1/)?\d+ (?:times|of) (?P<held>[^()]*) \(\d+ is also [^()]*\))"
_CODE, _PLACE, _INDEX = r"`[^`]*`", r"[^\s()`]+\.py(?::\d+|, line \d+)", r"\[[\d, ]+\]"
_FIGURE = r"(?<![A-Za-z_\d])-?\d[\d.,]*(?<=\d)(?:e[+-]?\d+)?"
#: Words of ours that a parameter may be called, too.
_OURS = frozenset(
    (
        *("a", "an", "as", "at", "by", "in", "is", "it", "no", "of", "on", "or", "to", "the"),
        *("loss", "row", "rows", "block", "entry", "path", "share", "term", "data", "sign", "factor"),
    )
)


@dataclass(frozen=True)
class Kind:
    """A cause's words with `OWN` in the places of what is a model's own, and what stood there."""

    words: str
    own: tuple[str, ...]


def kind_of(cause: str, names: Iterable[str] = ()) -> Kind:
    """What of a cause many models have in common.

    Args:
        cause: its words.
        names: of the model's parameters, which are its own.

    Returns:
        The kind. A factor that somebody may have typed, as 2 and 1/2, is part of it: another is another cause.
    """
    called = [re.escape(name) for name in sorted(names, key=len, reverse=True) if name and name not in _OURS]
    named = [rf"(?<![\w.])(?:{'|'.join(called)})(?![\w.]*\w)"] if called else []
    pattern = "|".join([_FACTOR, _LENGTH, *(f"(?:{each})" for each in (_CODE, _PLACE, _INDEX, *named, _FIGURE))])
    own: list[str] = []

    def replaced(found: re.Match[str]) -> str:
        if found["length"]:
            often = "the nth part of" if found["part"] else "n times"
            return f"{'minus ' * bool(found['sign'])}{often} {found['held']}, n a length of the data"
        if found["factor"] and sum(map(str.isdigit, found["factor"])) <= _TYPED:
            return found["factor"]
        if found["factor"]:
            own.append(found["factor"].removeprefix("factor "))
            return f"factor {OWN}"
        own.append(found[0])
        return OWN

    return Kind(re.sub(pattern, replaced, cause), tuple(own))


def together(kinds: Sequence[Kind]) -> str:
    """The words of causes of one kind; what all of them have is there, too."""
    parts = kinds[0].words.split(OWN)
    said = parts[0]
    for place, part in enumerate(parts[1:]):
        there = {kind.own[place] for kind in kinds}
        said += (there.pop() if len(there) == 1 else OWN) + part
    return said
