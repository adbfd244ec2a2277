"""Answers to one question held against each other: beyond roundings, two that differ are of something else than it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from gradparity.backends.protocol import Backend
from gradparity.worker.wire import Arrays, Host

#: Share of a loss by which rounding in another order moves it, 2^8 roundings; half precision has no digits for that.
ROUNDED = {"float64": 2.0**-44, "float32": 2.0**-15}
#: The same in half precision for who wants to tell an answer of twice the size all the same.
ROUNDED_COARSELY = 2.0**-2
#: Numbers of a block that are kept of an answer, at most: a copy of a large gradient would count as the step's memory.
MOST_KEPT = 2**20

Answer = Mapping[str, Mapping[str, Host]]


def kept(answer: Answer) -> dict[str, Arrays]:
    """An answer's quantities as copies, of a large block entries at equal distances.

    Args:
        answer: arrays by quantity, then by parameter.

    Returns:
        The same names, each array flat and of at most `MOST_KEPT` entries.
    """
    return {
        quantity: {name: _thinned(np.asarray(value)) for name, value in tree.items()}
        for quantity, tree in answer.items()
    }


def noted(backend: Backend, answer: Any, what: str = "value_and_gradient") -> list[dict[str, Arrays]]:
    """The same of a call's value and gradient on the backend, or of its ``jvp`` or ``hvp``; none of something else.

    What is the matter with that the evaluation says, which follows.
    """
    with suppress(Exception):
        if what == "value_and_gradient":
            value, gradient = answer
            return [kept({"loss": backend.get({"": value}), "gradient": backend.get(gradient)})]
        return [kept({what: backend.get({"": answer} if what == "jvp" else answer)})]
    return []


def _thinned(value: Host) -> Host:
    return value.reshape(-1)[:: 1 + value.size // MOST_KEPT].copy()


def moved(one: Answer, other: Answer, rounding: str) -> str:
    """In which block two answers differ by more than roundings of their largest number, and by how much; or ``""``.

    Args:
        one: some quantities, as `kept` gives them.
        other: likewise, and those from which they are made.
        rounding: name of the precision that they are computed in.
    """
    finite = [value[np.isfinite(value)] for tree in other.values() for value in tree.values()]
    room = ROUNDED.get(rounding, ROUNDED_COARSELY) * max(
        (np.abs(each).max() for each in finite if each.size), default=0
    )
    for quantity, tree in one.items():
        for name, value in tree.items():
            again = other[quantity].get(name, np.empty(0))
            block = f"{quantity} {name}".rstrip()
            if value.shape != again.shape:
                return f"{block} had {value.size} numbers, then {again.size},"
            same = (value == again) | (np.isnan(value) & np.isnan(again))
            with np.errstate(invalid="ignore", over="ignore"):
                apart = np.where(same, 0, np.abs(value - again))
            if not np.all(apart <= room):
                by = np.max(apart)
                return f"{block} was nan in one of both" if np.isnan(by) else f"{block} differed by up to {by:.3g}"
    return ""


def earlier_difference(earlier: Sequence[Answer], last: Answer, rounding: str) -> str:
    """Which call, and in which block, gave something else than the last of them, beyond roundings; or ``""``.

    Args:
        earlier: loss and gradient of each call with these arguments, in their order, as `kept` gives them; and of the
            calls of a JVP or an HVP what they gave.
        last: quantities of the last calls, after one more of each that gave the same.
        rounding: name of the precision that they are computed in.
    """
    final = kept(last)
    for names in (("loss", "gradient"), ("jvp",), ("hvp",)):
        calls = [answer for answer in earlier if names[0] in answer]
        held = {name: final[name] for name in dict.fromkeys(("loss", "gradient", *names)) if name in final}
        for place, answer in enumerate(calls, 1):
            if names[0] in held and (said := moved(answer, held, rounding)):
                return f"{said} between call {place} and call {len(calls) + 2} with the same arguments"
    return ""
