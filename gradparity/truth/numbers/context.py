"""One certified evaluation: its precision, order and side, and what it met on the way."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeVar

import flint
import numpy as np
import numpy.typing as npt

from gradparity.truth.numbers.noise import Roundings
from gradparity.truth.numbers.recording import Recording

_T = TypeVar("_T")

START_BITS = 128
MAX_BITS = 16384
MAX_ORDER = 2
#: Elements that functions without an array form compute between two looks at the clock, some milliseconds.
CHECKED_EVERY = 256


class NotCertifiableError(AttributeError):
    """The loss uses something that has no certified form here: which name, and how to go on.

    An AttributeError, so that ``hasattr(xp, name)`` in a loss answers instead of raising.
    """

    def __init__(self, name: str, cure: str = "Write it with names the certified namespace has.") -> None:
        super().__init__(
            f"{name} has no certified form. {cure} "
            "Or go on without certification: backends are then compared with each other, with no known truth."
        )
        self.what = name
        self.cure = cure


class UndecidedError(Exception):
    """Two numbers could not be told apart, nor proven equal, at this precision."""

    def __init__(self, name: str, index: tuple[int, ...]) -> None:
        super().__init__(f"{name} at index {index}: the two sides are neither told apart nor proven equal")
        self.name = name
        self.index = index


class OutOfTimeError(Exception):
    """The evaluation passed its deadline."""


@dataclass(frozen=True, order=True)
class Kink:
    """A point where a piecewise function changes its branch, found with certainty.

    Attributes:
        name: the function, ``maximum`` for one.
        index: which element of its result (of its comparison, for a reduction: which lane).
        active: the direction leaves the tie, so that the two one-sided derivatives may differ.
    """

    name: str
    index: tuple[int, ...]
    active: bool


@dataclass
class Ties:
    """Where the sides of a comparison are equal, comparison by comparison.

    Attributes:
        found: by the comparisons in turn.
        known: they are kept as they were found, not found.
        place: of the next one that is kept.
        singular: a matrix has a determinant of zero, which noise takes away.
    """

    found: list[npt.NDArray[np.bool_]] = field(default_factory=list)
    known: bool = False
    place: int = 0
    singular: bool = False

    def kept(self, at: Callable[[], npt.NDArray[np.bool_]], shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
        """The ties of one comparison: as they are, or with ``noise`` as they were without.

        Noise puts numbers that are equal on either side of each other; what it moves there is the choice of a branch,
        a matter of convention, and no rounding.
        """
        if not self.known:
            self.found.append(at())
            return self.found[-1]
        known = self.found[self.place] if self.place < len(self.found) else None
        self.place += 1
        return known if known is not None and known.shape == shape else at()


@dataclass
class Forced:
    """Branches that are taken at every tie, whichever side of it the line is on: to see what they have a part in.

    Attributes:
        rng: of the branches, and of the shares that each of the equal elements of a maximum has.
        sign: the side of every tie, drawn for each where it is 0.
        turns: the sides of the ties in turn, where they are chosen.
        place: of the next of them.
    """

    rng: np.random.Generator
    sign: int = 0
    turns: tuple[int, ...] = ()
    place: int = 0

    def signs(self, shape: tuple[int, ...]) -> npt.NDArray[np.int64]:
        """-1 or 1 for each tie."""
        if self.turns:
            self.place += 1
            return np.full(shape, self.turns[(self.place - 1) % len(self.turns)])
        return np.full(shape, self.sign) if self.sign else 2 * self.rng.integers(0, 2, shape) - 1

    def shares(self, tied: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
        """Random shares of the equal elements along the last axis, which sum to one."""
        drawn = np.where(tied, self.rng.uniform(0.5, 1.5, tied.shape), 0)
        return np.asarray(drawn / drawn.sum(-1, keepdims=True))


@dataclass
class Context:
    """State of one evaluation.

    Attributes:
        bits: working precision of every ball.
        order: highest Taylor coefficient kept, 0 to 2.
        side: +1 for t -> 0+, -1 for t -> 0-, 0 for the point itself; it picks the branch at a tie.
        deadline: `time.monotonic()` value after which the evaluation stops, or None.
        kinks: ties met, in order.
        singular: functions evaluated where they are proven to have no finite value or derivative.
        share: give one object to elements that are computed alike from equal exact numbers, so that ties of theirs can
            be proven; slower, so only where a comparison was undecided.
        needs_order: the order at which a coefficient that is unknown at this order would be known.
        extended: coefficients are plain floating-point numbers and prove nothing; see `lanes`.
        number: their dtype, `numpy.longdouble` or, for the noise of large models, `numpy.float64`.
        midrad: levels of slices in matrix products, of some 20 bits each, where coefficients are enclosures, whole
            arrays at a time (see `midrad`); else 0.
        noise: what rounds every result, in extended precision; see `noise`.
        ties: where two numbers are equal in extended precision, in the order of the comparisons: written down by an
            evaluation without noise, and kept by those with it.
        forced: branches that ties are made to take.
        cells: numbers computed in extended precision without noise, terms of sums and products counted.
        oriented: eigenvectors were met, or what has a sign that is as free.
        orientation: number of the signs that are drawn instead, in an evaluation that shows whether they matter.
        recording: where its steps are written down, to be made again; see `recording`.
    """

    bits: int = START_BITS
    order: int = MAX_ORDER
    side: int = 1
    deadline: float | None = None
    share: bool = False
    kinks: list[Kink] = field(default_factory=list)
    singular: list[tuple[str, tuple[int, ...]]] = field(default_factory=list)
    needs_order: int = 0
    extended: bool = False
    number: Any = np.longdouble
    midrad: int = 0
    noise: Roundings | None = None
    ties: Ties | None = None
    forced: Forced | None = None
    cells: int = 0
    oriented: bool = False
    orientation: int | None = None
    recording: Recording | None = None

    def tied(self, at: Callable[[], npt.NDArray[np.bool_]], shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
        """Where a comparison in extended precision is a tie, of this shape, `at` saying where in these numbers."""
        if self.recording is not None:
            self.recording.refused = self.recording.refused or "a comparison"
        return at() if self.ties is None else self.ties.kept(at, shape)

    def check_time(self) -> None:
        """Raise OutOfTimeError past the deadline."""
        if self.deadline is not None and time.monotonic() > self.deadline:
            raise OutOfTimeError


def precisions(max_bits: int, deadline: float) -> Iterator[int]:
    """Working precisions that double, as long as another pass can be expected to end before `deadline`."""
    bits = START_BITS
    while True:
        began = time.monotonic()
        yield bits
        now = time.monotonic()
        # The next pass costs two to three times this one: stop rather than be cut off in it.
        if 2 * bits > max_bits or now + 2 * (now - began) > deadline:
            return
        bits *= 2


_CURRENT: ContextVar[Context] = ContextVar("gradparity_truth_context")


def current() -> Context:
    """The evaluation under way; a default one (128 bits, order 2, right side) outside of any."""
    context = _CURRENT.get(None)
    if context is None:
        context = Context(bits=max(START_BITS, flint.ctx.prec))
    return context


def in_time(elements: Iterable[_T]) -> Iterator[_T]:
    """The same, one by one, with a look at the clock now and then.

    Raises:
        OutOfTimeError: the deadline of the evaluation passed.
    """
    context = current()
    for i, element in enumerate(elements):
        if not i % CHECKED_EVERY:
            context.check_time()
        yield element


@contextmanager
def evaluation(context: Context) -> Iterator[Context]:
    """Make `context` the current one, and its precision that of every ball computed inside."""
    token = _CURRENT.set(context)
    try:
        # A branch that is not taken may divide by zero or overflow: its numbers are not used.
        with flint.ctx.workprec(context.bits), np.errstate(all="ignore"):
            yield context
    finally:
        _CURRENT.reset(token)
