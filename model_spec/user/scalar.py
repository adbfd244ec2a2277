"""What a loss may return: the one rule for the certified namespace and for every framework."""

from __future__ import annotations

import re
from typing import Any

from gradparity.model_spec.errors import InputError

_EXPECTED = "a real scalar that depends on the parameters, as an array of shape ()"


def require_scalar(rule: str, value: Any) -> None:
    """Refuse what is no real array of shape ``()``, whoever's array it is.

    Args:
        rule: what the message begins with: the place of the loss.
        value: what it returned.

    Raises:
        InputError: it is None, a number of Python's, a bool, whole, complex, or has entries.
    """
    shape = getattr(value, "shape", None)
    if shape is None:
        got, cure = "None" if value is None else f"a Python {type(value).__name__}", "Return the array itself."
        raise InputError(rule, got=got, expected=_EXPECTED, cure=cure)
    if tuple(shape):
        cure = "Sum it, or take its mean."
        raise InputError(rule, got=f"an array of shape {tuple(shape)}", expected="a scalar", cure=cure)
    dtype = str(getattr(value, "dtype", "float"))
    if not re.search("float|double", dtype):
        raise InputError(rule, got=f"an array of dtype {dtype}", expected=_EXPECTED)
