"""Whether a neutral loss is a function of its arguments: the same blocks at every call, nothing kept of the last."""

from __future__ import annotations

import gc
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from gradparity.model_spec.errors import InputError
from gradparity.model_spec.trees import leaves
from gradparity.model_spec.user.model import place_of_function
from gradparity.numerics.extended import Blocks
from gradparity.truth.derivatives.inputs import Loss
from gradparity.truth.model.floor import Tape
from gradparity.truth.numbers.arrays import Array
from gradparity.truth.reference import VERY_LARGE

#: Calls, and seconds of them, in which a loss that was found at odds with itself may show that it is impure.
MOST_CALLS, SECONDS = 8, 3.0
#: How far two evaluations of a very large loss may be apart, over the largest number of a block.
IN_FLOAT64 = 1e-9

_CURE = "Draw random numbers in data(rng), and keep nothing from one call for the next."


class ImpureError(InputError):
    """The loss is no function of its arguments."""


class Purity:
    """Value and gradient of a loss at its first call, which every later call has to repeat.

    Args:
        loss: the neutral loss.
        params: the tree that it is called with.
        data: likewise.
    """

    def __init__(self, loss: Loss, params: Any, data: Any) -> None:
        self.loss, self.params, self.data = loss, params, data
        self._before = _arrays()
        self.first = self._call()

    def _call(self) -> Blocks:
        tape = Tape(self.loss, self.params, self.data, None)
        return tape.in_float64(None, None) if self._is_large else tape.values()

    @property
    def _is_large(self) -> bool:
        return sum(np.size(leaf) for _, leaf in leaves(self.params)) >= VERY_LARGE

    def _same(self, first: Any, again: Any) -> bool:
        """To the last bit; in float64, whose sums may be added up in another order, to a part in a billion."""
        if not self._is_large:
            return np.array_equal(first, again, equal_nan=True)
        size = np.abs(first[np.isfinite(first)]).max(initial=0)
        return np.allclose(first, again, rtol=0, atol=IN_FLOAT64 * size, equal_nan=True)

    def require(self, calls: int = 1) -> None:
        """Call it again.

        Raises:
            ImpureError: it gives something else.
        """
        began = time.monotonic()
        for call in range(calls):
            if call and time.monotonic() - began > SECONDS:
                return
            with self.watched():
                again = self._call()
            for key, value in self.first.items():
                if not self._same(value, again[key]):
                    raise self._impure(_difference(key, value, again[key]))

    @contextmanager
    def watched(self) -> Iterator[None]:
        """What our arrays refuse in this block is the loss's fault where it has kept some of an earlier evaluation.

        Raises:
            ImpureError: it has.
        """
        try:
            yield
        except InputError as error:
            met = error.__cause__
            if isinstance(met, TypeError | ValueError) and _is_ours(met):
                traceback.clear_frames(met.__traceback__)  # which hold this evaluation's
                if _arrays() - self._before:
                    said = f"it uses arrays that it has kept from an earlier call, {error.rule}"
                    raise self._impure(said) from error
            raise

    def _impure(self, how: str) -> ImpureError:
        place = place_of_function(self.loss)
        return ImpureError(place, got=f"an impure loss: {how}", expected="a function of its arguments", cure=_CURE)


def _difference(key: tuple[str, str], first: Any, again: Any) -> str:
    """Where two calls differ most, in words."""
    with np.errstate(all="ignore"):
        apart = np.nan_to_num(np.abs(first - again), nan=np.inf)
    at = np.unravel_index(int(np.argmax(apart)), apart.shape)
    place = f"{' '.join(filter(None, key))}{list(map(int, at)) if at else ''}"
    here, there = (f"{float(value[at]):.12g}" for value in (first, again))
    other = there if there != here else f"another by {float(apart[at]):.2g}"
    return f"{place} is {here} at one call and {other} at the next, for the same arguments"


def _is_ours(error: BaseException) -> bool:
    """Whether it was raised below the user's code, in the certified namespace, and not by the user's own line."""
    frames = traceback.walk_tb(error.__traceback__)
    rooms = [str(frame.f_globals.get("__name__", "")).partition(".")[0] for frame, _ in frames]
    *_, innermost = [room for room in rooms if room not in ("", "flint", "numpy")]  # "" of compiled code
    return innermost == __name__.partition(".")[0]


def _arrays() -> set[int]:
    """Arrays of the certified namespace that somebody holds."""
    gc.collect()
    return {id(each) for each in gc.get_objects() if issubclass(type(each), Array)}
