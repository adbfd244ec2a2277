"""A recorded evaluation made again on other numbers: its steps one after the other, on memory that is laid out once.

Numbers have the draws as their last axis, one where nothing is rounded. What a step rounds at random is multiplied by
a factor ``1 + u xi``, drawn for all steps at once; draws that are rounded as they really are go through the dtype. So
each of the field operations is two to four calls of NumPy, and what only rearranges is none where it can be a view.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from gradparity.model_spec.trees import leaves, map_tree
from gradparity.numerics.extended import Blocks
from gradparity.truth.derivatives.inputs import Loss, constant, is_numeric, lines_of
from gradparity.truth.derivatives.reverse import pull_back
from gradparity.truth.model.floor import rounded_leaf
from gradparity.truth.numbers.arrays import Array
from gradparity.truth.numbers.balls import extended
from gradparity.truth.numbers.context import Context, Ties, evaluation
from gradparity.truth.numbers.draws import Draws, draws_last, wrapped
from gradparity.truth.numbers.lanes import Lanes
from gradparity.truth.numbers.noise import Nearest, Noise, Values, held_by
from gradparity.truth.numbers.recording import Computed, Elementwise, Jet, Product, Rearranged, Recording
from gradparity.truth.numbers.side_by_side import SideBySide

#: How far beside a point the steps are held against an evaluation, relative to each number.
BESIDE = 2.0**-10
#: What another order of additions makes of a block there, relative to its largest number, and other steps do not.
ANOTHER_ORDER = 2.0**-56
#: Terms of a matrix product's sums that are followed all at once; no more than the fewest accumulators over one.
FEW_TERMS = 4
#: Numbers that steps made again may compute: of more, what they compute takes the time, and not the Python around it.
MOST_CELLS = 2**20

Call = tuple[Callable[..., Any], tuple[Any, ...]]


def record(loss: Loss, params: Any, data: Any) -> Recording:
    """The steps of a loss and its gradient, refused where they may be others on other numbers.

    Args:
        loss: neutral loss.
        params: tree of parameters.
        data: tree of data, arrays of real numbers among them inputs of the steps as parameters are.

    Returns:
        Inputs ``("params", path)`` and ``("data", path)``, results ``("loss", "")`` and ``("gradient", path)``, that of
        a parameter that does not lead to the loss missing.
    """
    recording = Recording()
    with evaluation(Context(order=0, extended=True, recording=recording)):
        lines = lines_of(params, None, extended)
        constants = map_tree(lambda _, leaf: constant(leaf), data)
        for path, (line,) in lines.items():
            recording.input(("params", path), line)
        for path, leaf in leaves(constants):
            if isinstance(leaf, Array) and leaf.is_real:
                recording.input(("data", path), leaf.series[0])
        value, adjoints = pull_back(loss, params, lines, constants)
        recording.result(("loss", ""), value.series[0])
        for path, adjoint in adjoints.items():
            if adjoint is not None:
                recording.result(("gradient", path), adjoint.series[0])
        recording.close()
    return recording


class LeftRangeError(Exception):
    """A number is none, or so small that it would be flushed to zero: an ordinary evaluation shows what comes of it."""


class Replay:
    """The steps of a recording, made again.

    Args:
        recording: of a loss and its gradient, not refused.
        draws: what every number has, beside each other.
        rounding: what rounds them, as many; None of one evaluation without roundings.
    """

    def __init__(self, recording: Recording, draws: int, rounding: SideBySide | None = None) -> None:
        self.rounding, self.draws = rounding, draws
        self._calls: list[Call] = []
        self._known: dict[int, Values] = {}
        self._redrawn: list[tuple[Values, Values]] = []
        size = sum(value.size for value in recording.values)
        self._memory = np.zeros((size, draws), np.longdouble)
        self._factors = np.ones((size, draws), np.longdouble)
        self._taken = 0
        self.results = recording.results
        self.inputs = {key: self._room(recording.values[place], place) for key, place in recording.inputs.items()}
        for place, rounds in recording.literals.items():
            value = np.asarray(recording.values[place], np.longdouble)
            if rounds and rounding is not None and not held_by(rounding.dtype, value):
                self._redrawn.append((value, self._room(value, place)))
            else:
                self._known[place] = value[..., None]
        for operation, read, made in recording.steps:
            self._add(operation, [self._known[place] for place in read], recording.values, made)

    def run(self, params: Any, data: Any) -> Blocks:
        """Loss and gradient at trees of parameters and data; of roundings each draw on a first axis.

        Raises:
            LeftRangeError: a result is no finite number, or below the smallest normal one.
        """
        with evaluation(Context(order=0, extended=True, noise=self.rounding, ties=Ties(known=True))):
            for kind, tree in (("params", params), ("data", data)):
                for path, leaf in leaves(tree):
                    if (kind, path) in self.inputs:
                        self._put(self.inputs[kind, path], kind, leaf)
            self._make()
        blocks = {}
        for path, leaf in leaves(params):
            if ("gradient", path) not in self.results:  # it does not lead to the loss
                shape = np.shape(leaf) if self.rounding is None else (self.draws, *np.shape(leaf))
                blocks["gradient", path] = np.zeros(shape, np.longdouble)
        for key, place in self.results.items():
            found = np.broadcast_to(self._known[place], (*self._known[place].shape[:-1], self.draws))
            blocks[key] = np.array(found[..., 0] if self.rounding is None else np.moveaxis(found, -1, 0))
        return blocks

    def _put(self, room: Values, kind: str, leaf: Any) -> None:
        """As `floor.Tape` does it: parameters are rounded, and what of the data is not whole."""
        if self.rounding is None:
            room[...] = np.asarray(leaf, np.longdouble)[..., None]
        elif kind == "params":
            room[...] = draws_last(self.rounding.rounded(extended(leaf)))
        else:
            room[...] = draws_last(rounded_leaf(leaf, self.rounding).series[0])

    def _make(self) -> None:
        if self.rounding is not None:
            for value, room in self._redrawn:
                room[...] = draws_last(self.rounding.constant(value))
            for rule, part in self.rounding.of_elements:
                if isinstance(rule, Noise):
                    self._factors[:, part] = rule.factors((len(self._factors), part.stop - part.start))
        for function, arguments in self._calls:
            function(*arguments)
        sizes = np.abs(self._memory[: self._taken])
        if not np.isfinite(sizes.sum()):
            raise LeftRangeError
        if self.rounding is not None and (sizes < np.finfo(self.rounding.dtype).tiny).any():
            sizes[sizes == 0] = 1
            if sizes.min() < np.finfo(self.rounding.dtype).tiny:
                raise LeftRangeError

    def _room(self, like: Values, place: int) -> Values:
        """A view of the memory for numbers of this shape."""
        begin, self._taken = self._taken, self._taken + like.size
        self._known[place] = self._memory[begin : self._taken].reshape(*like.shape, self.draws)
        return self._known[place]

    def _add(
        self, operation: Any, operands: list[Values], values: list[Values], made: tuple[int, ...]
    ) -> None:  # fmt: skip
        if isinstance(operation, Rearranged):
            self._rearrange(operation, operands, made[0])
            return
        begin = self._taken
        outs = [self._room(values[place], place) for place in made]
        if isinstance(operation, Product) and self.rounding is not None and 0 < operands[1].shape[-3] <= FEW_TERMS:
            factors = self._factors[begin : self._taken].reshape(outs[0].shape)
            self._calls.append((_short_sums, (*operands, outs[0], factors, self.rounding)))
        elif isinstance(operation, Computed):
            self._compute(operation, operands, outs)
        elif isinstance(operation, Elementwise):
            self._calls.append((operation.ufunc, (*operands, *outs)))
        else:
            self._calls.append((_each_of, (operation, operands[0], outs)))
        if isinstance(operation, Jet) or (isinstance(operation, Elementwise) and operation.rounds):
            self._round(begin)

    def _round(self, begin: int) -> None:
        """All numbers from a row of the memory on."""
        if self.rounding is None:
            return
        made = self._memory[begin : self._taken]
        self._calls.append((np.multiply, (made, self._factors[begin : self._taken], made)))
        for rule, part in self.rounding.of_elements:
            if isinstance(rule, Nearest):
                cast = np.empty(made[:, part].shape, self.rounding.dtype)
                self._calls += [(np.copyto, (cast, made[:, part], "same_kind")), (np.copyto, (made[:, part], cast))]

    def _compute(self, operation: Computed, operands: list[Values], outs: list[Values]) -> None:
        """By the function of the ordinary evaluation."""

        def call() -> None:
            if self.rounding is None:
                found = operation.function(*(x[..., 0] for x in operands))
            else:
                found = operation.function(*(wrapped(x) if x.shape[-1] > 1 else x[..., 0] for x in operands))
            for out, value in zip(outs, found, strict=True):
                out[...] = draws_last(value) if isinstance(value, Draws) else np.asarray(value)[..., None]

        self._calls.append((call, ()))

    def _rearrange(self, operation: Rearranged, operands: list[Values], place: int) -> None:
        """Element by element, by where positions go; no call at all where the result is a part of one operand."""
        shapes = [x.shape[:-1] for x in operands]
        ends = np.cumsum([int(np.prod(shape, dtype=np.int64)) for shape in shapes])
        positions = [
            np.arange(end - np.prod(shape, dtype=np.int64) + 1, end + 1).reshape(shape)
            for shape, end in zip(shapes, ends, strict=True)
        ]
        where = np.asarray(operation.function(positions))
        flat = where.ravel()
        rows = [x.reshape(-1, x.shape[-1]) for x in operands]
        if len(rows) == 1 and _is_run(flat) and flat[0]:
            self._known[place] = rows[0][flat[0] - 1 : flat[-1]].reshape(*where.shape, -1)
            return
        out = self._room(where, place)
        target = out.reshape(-1, self.draws)
        for source, begin, end in zip(rows, [0, *ends[:-1]], ends, strict=True):
            found = np.flatnonzero((flat > begin) & (flat <= end))  # of place 0 is a zero, which the memory has
            here = flat[found] - begin - 1
            if _is_run(found) and _is_run(here):
                self._calls.append((np.copyto, (_part(target, found), _part(source, here))))
            elif found.size:
                self._calls.append((_scattered, (target, found, source, here)))


def _each_of(operation: Jet, x: Values, outs: list[Values]) -> None:
    for out, found in zip(outs, operation.function(x.view(Lanes)), strict=True):
        out[...] = found


def _short_sums(a: Values, b: Values, out: Values, factors: Values, rounding: SideBySide) -> None:
    """A matrix product of a few terms each, as `noise.Noise` and `noise.Nearest` round it: one draw as the others."""
    left, right = a[..., :, :, None, :], b[..., None, :, :, :]
    terms = left * right
    partial = np.add.accumulate(terms, axis=-3)
    total = partial[..., -1, :, :]
    variance = np.add.reduce(terms * terms, -3) + np.add.reduce(partial * partial, -3) + total * total
    np.add(total, (factors - 1) * np.sqrt(variance), out)
    for rule, part in rounding.of_elements:
        if isinstance(rule, Nearest):  # of so few terms each has an accumulator of its own, or there is only one
            factor, other = (np.asarray(x[..., part] if x.shape[-1] > 1 else x, rule.dtype) for x in (left, right))
            out[..., part] = np.add.reduce(factor * other, -3)


def _is_run(places: npt.NDArray[np.int64]) -> bool:
    return bool(places.size and (np.diff(places) == 1).all())


def _part(rows: Values, places: npt.NDArray[np.int64]) -> Values:
    return rows[places[0] : places[-1] + 1]


def _scattered(target: Values, there: npt.NDArray[np.int64], source: Values, here: npt.NDArray[np.int64]) -> None:
    target[there] = source[here]


def repeatable(loss: Loss, params: Any, data: Any) -> Recording | None:
    """The steps of a loss and its gradient, if they are seen to be the same a little beside these numbers; else None.

    Args:
        loss: neutral loss.
        params: tree of parameters.
        data: tree of data.
    """
    rng = np.random.default_rng(1)

    def beside(_: str, leaf: Any) -> Any:
        if not is_numeric(leaf) or np.asarray(leaf).dtype.kind != "f":
            return leaf
        value = np.asarray(leaf, np.longdouble)
        return np.where(value == np.rint(value), value, value * (1 + BESIDE * rng.standard_normal(value.shape)))

    there = map_tree(beside, params), map_tree(beside, data)
    recording = record(loss, params, data)
    if recording.refused:
        return None
    try:
        other = record(loss, *there)
        found = Replay(recording, 1).run(*there)
    except (ArithmeticError, ValueError, LeftRangeError):  # of a loss that has no value there: evaluated as ever
        return None
    known = {key: other.values[place] for key, place in other.results.items()}
    if other.refused or known.keys() != recording.results.keys():
        return None
    off = {key: np.abs(found[key] - value).max(initial=0) for key, value in known.items()}
    same = all(off[key] <= ANOTHER_ORDER * np.abs(value).max(initial=0) for key, value in known.items())
    return recording if same else None
