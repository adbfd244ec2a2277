"""A guard against arrays that cannot fit: refused before they are allocated, with the numbers said."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gradparity.model_spec.errors import InputError

#: Copies alive at the worst moment: what was read, the same as float64, and one to work on.
COPIES = 3

#: A short string and its place in a tuple: what one feature's name takes.
NAME_BYTES = 64


def require_memory(rule: str, shape: Sequence[int], *, item_bytes: int = 8, names: int = 0) -> None:
    """Refuse an array of this shape where three copies of it exceed the memory available now.

    ``names`` strings are added to the estimate.

    Raises:
        InputError: it does not fit; the message states the estimate and what is available.
    """
    # Here and not above: importing the data sets needs the standard library and NumPy only.
    import psutil

    needed = math.prod(shape) * item_bytes * COPIES + names * NAME_BYTES
    available = int(psutil.virtual_memory().available)
    if needed > available:
        raise InputError(
            rule,
            got=f"{' x '.join(map(str, shape))} values, about {gigabytes(needed)} with working copies",
            expected=f"at most the {gigabytes(available)} of memory available",
            cure="Use fewer rows or columns, or a machine with more memory.",
        )


def gigabytes(count_bytes: int) -> str:
    """A number of bytes for people: ``1.2 GB``."""
    return f"{count_bytes / 1e9:.3g} GB"
