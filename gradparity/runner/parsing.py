"""The words of an option, or Python's value of it, as the setting that they stand for. Pure; imports nothing slow."""

from __future__ import annotations

import re
from collections.abc import Iterable
from operator import index
from os import PathLike
from typing import Any

from gradparity.model_spec.errors import InputError


def as_given(value: Any) -> Any:
    """The value itself, a number of NumPy's as Python's."""
    return value.item() if hasattr(value, "item") else value


def several(value: str | PathLike[str] | Iterable[str | PathLike[str]]) -> tuple[str, ...]:
    """The words or paths of an option that may be repeated; one alone need be no list."""
    values = [value] if isinstance(value, str | PathLike) else value
    return tuple(str(each) if isinstance(each, PathLike) else each for each in values)


def separate(value: str | int | Iterable[Any]) -> tuple[str, ...]:
    """The words of a text with commas between them, or of an iterable, each once."""
    values = [value] if isinstance(value, str | int) else value
    return tuple(dict.fromkeys(",".join(map(str, values)).replace(" ", "").split(",")))


def counts(value: str | int | Iterable[int]) -> tuple[int, ...]:
    """Numbers of threads; raises as `_integers` does."""
    return _integers(value, "[0-9]{1,9}", "--threads", "integers with commas between, such as 1,2")


def seeds_of(value: str | int | Iterable[int]) -> tuple[int, ...]:
    """One or several seeds; raises as `_integers` does."""
    return _integers(value, "-?[0-9]{1,20}", "--seed", "an integer, or several with commas between")


def _integers(value: str | int | Iterable[int], form: str, option: str, expected: str) -> tuple[int, ...]:
    """The integers of an option.

    Raises:
        InputError: a word has not their form.
    """
    words = separate(value)
    if not all(re.fullmatch(form, word) for word in words):
        raise InputError(option, got=repr(value), expected=expected)
    return tuple(map(int, words))


#: An address of a Dask scheduler, and what asks for one of this machine's own.
ADDRESS = re.compile(r"(tcp|tls|ws|wss|ucx)://[^\s/]+:[0-9]{1,5}")
LOCAL = re.compile("local(?::([1-9][0-9]{0,3}))?")


def address(value: str) -> str:
    """The address of a cluster.

    Raises:
        InputError: it is none, and does not ask for one of this machine's own.
    """
    if not (ADDRESS.fullmatch(value) or LOCAL.fullmatch(value)):
        expected = "tcp://host:port or tls://host:port, local, or local:N for N workers here"
        raise InputError("--scheduler", got=repr(value), expected=expected)
    return value


def width(value: str | int | None) -> int | None:
    """Width of the learned projection; ``None`` for the plain model.

    Raises:
        InputError: it is neither an integer nor ``none``.
    """
    try:
        return None if value is None or value == "none" else int(value) if isinstance(value, str) else index(value)
    except (TypeError, ValueError):
        raise InputError("--projection", got=repr(value), expected="an integer of 1 or more, or none") from None


def profile_of(quick: bool) -> str:
    """The timing profile of ``run``."""
    return "brief" if quick else "quick"
