"""A neutral loss along a path: value and gradient in extended precision, as `trajectory` asks for them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from gradparity.model_spec.problem import UserProblem
from gradparity.numerics.extended import Blocks
from gradparity.numerics.optimisers import Tree
from gradparity.truth.model.drawing import CELLS_TOGETHER
from gradparity.truth.model.floor import Tape
from gradparity.truth.model.replay import MOST_CELLS, LeftRangeError, Replay, repeatable
from gradparity.truth.model.seam import seam_in_extended
from gradparity.truth.numbers.draws import DifferError, wrapped
from gradparity.truth.numbers.noise import Nearest, Noise, Roundings
from gradparity.truth.numbers.recording import Recording
from gradparity.truth.numbers.side_by_side import SideBySide
from gradparity.truth.trajectory import DRAWS, Evaluated, unit_and_tiny

#: Seconds that the reference run of one optimiser may take, its perturbed runs included.
PATH_SECONDS = 10.0
#: Seconds of them that may go to both sides of ties.
SEAM_SECONDS = 3.0
#: Accumulators of sums in the perturbed runs that are rounded as they really are.
AS_ROUNDED = (1, 4)
#: Steps at which draws take other branches than each other after which no more are tried together.
REFUSED = 3


@dataclass
class NeutralArithmetic:
    """Extended-precision value and gradient of ``loss(params, data, xp)``; a call is timed once, for the budget.

    ``seconds``: what a reference run may take, its perturbed runs included.
    """

    loss: Callable[[Any, Any, Any], Any]
    seconds: float = PATH_SECONDS
    at_once: int = DRAWS
    _seconds: dict[tuple[int, int], float] = field(default_factory=dict)
    _recordings: dict[Any, Recording | None] = field(default_factory=dict)

    def perturbed(self, problem: UserProblem, draws: int) -> Iterator[UserProblem]:
        """Copies with every real number off by one rounding, sign at random; whole numbers are exact and stay."""
        rng = np.random.default_rng([problem.seed, 4])

        def moved(value: npt.NDArray[Any], dtype: str) -> npt.NDArray[Any]:
            if value.dtype.kind != "f":
                return value
            signs = 1 - 2 * rng.integers(0, 2, value.shape, dtype=np.int8)
            wide = np.asarray(value, np.longdouble)
            return np.asarray(wide * (1 + unit_and_tiny(dtype)[0] * np.where(wide == np.rint(wide), 0, signs)))

        for _ in range(draws):
            params, data = (
                {name: moved(value, str(value.dtype)) for name, value in tree.items()}
                for tree in (problem.params, problem.data)
            )
            yield replace(problem, params=params, data=data)

    def bind(self, problem: UserProblem) -> _Alone:
        """Loss and gradient at parameters in extended precision."""
        return _Alone(problem.spec.nested(self.loss), problem, partial(self._steps, problem))

    def bind_draws(self, problems: Sequence[UserProblem]) -> _Draws:
        """Loss and gradient of draws, with every step of them rounded at random.

        A formula that cancels may have a far larger error than its result and its inputs rounded once; the first draws
        are rounded as they really are, since many roundings that are alike are no random walk.
        """
        return _Draws(problems[0].spec.nested(self.loss), problems, partial(self._steps, problems[0]))

    def _steps(self, problem: UserProblem) -> Recording | None:
        """What every evaluation of a problem makes, if that is always the same; found once for those that are alike."""
        fixed = {
            name: value.shape if value.dtype.kind == "f" else value.tobytes() for name, value in problem.data.items()
        }
        key = problem.spec, tuple(fixed.items())
        if key not in self._recordings:
            loss = problem.spec.nested(self.loss)
            self._recordings[key] = repeatable(loss, dict(problem.params), dict(problem.data))
        return self._recordings[key]

    def calls(self, problem: UserProblem) -> int:
        """Calls that fit in its seconds."""
        return max(1, int(self.seconds / self._call_s(problem, 0)))

    def calls_of_draws(self, problem: UserProblem, draws: int) -> float:
        """By what each has taken."""
        return self._call_s(problem, draws) / self._call_s(problem, 0)

    def _call_s(self, problem: UserProblem, draws: int) -> float:
        """Seconds of a call, for the problem or for so many draws of it."""
        known = id(problem), draws
        if known not in self._seconds:
            params = {name: np.asarray(value, np.longdouble) for name, value in problem.params.items()}
            if draws:
                together, places = self.bind_draws([problem] * draws), dict.fromkeys(range(draws), params)
                self._seconds[known] = _timed(lambda: together(places), together.is_first)
            else:
                alone = self.bind(problem)
                self._seconds[known] = _timed(lambda: alone(params), alone.again.is_first)
        return self._seconds[known]


def _timed(call: Callable[[], Any], is_first: Callable[[], bool]) -> float:
    """Seconds that one call of many takes: of the third, where ``is_first`` says that the second finds its steps."""
    began = time.perf_counter()
    call()
    if is_first():
        call()
        began = time.perf_counter()
        call()
    return time.perf_counter() - began


class _Again:
    """The steps of a loss made again, from the second evaluation on, where they are few and always the same ones.

    Args:
        steps: finds them, if there are such.
        draws: that are evaluated beside each other.
        rounding: what rounds them, or None.
    """

    def __init__(self, steps: Callable[[], Recording | None], draws: int, rounding: SideBySide | None = None) -> None:
        self.steps, self.draws, self.rounding = steps, draws, rounding
        self.begun = self.tried = False
        self.replay: Replay | None = None

    def allow(self, tape: Tape) -> None:
        """An ordinary evaluation has been made, and may be the last."""
        self.begun = True
        self.tried = self.tried or tape.cells * self.draws > MOST_CELLS or bool(tape.ties.found)

    def is_first(self) -> bool:
        """Whether the next evaluation finds the steps, if there are such."""
        return self.begun and not self.tried

    def values(self, params: Any, data: Any) -> Blocks | None:
        """Loss and gradient at trees of both, in all draws; None where an ordinary evaluation has to give them."""
        if self.is_first():
            self.tried, steps = True, self.steps()
            self.replay = Replay(steps, self.draws, self.rounding) if steps is not None else None
        if self.replay is None:
            return None
        try:
            return self.replay.run(params, data)
        except LeftRangeError:
            return None


class _Alone:
    """Loss and gradient of one problem without roundings, at parameters in extended precision."""

    def __init__(
        self, loss: Callable[[Any, Any, Any], Any], problem: UserProblem, steps: Callable[[], Recording | None]
    ) -> None:
        self.loss, self.spec, self.seed = loss, problem.spec, problem.seed
        self.data = dict(problem.data)
        self.seam_s = SEAM_SECONDS
        self.again = _Again(steps, 1)

    def __call__(self, params: Tree) -> Evaluated:
        """Loss and gradient there."""
        params = dict(params)
        blocks = self.again.values(params, self.data)
        if blocks is None:
            tape = Tape(self.loss, params, self.data, None)
            blocks = tape.values()
            self.again.allow(tape)
            if _tied(tape):
                began = time.monotonic()
                both = Tape(self.loss, params, self.data, params)
                blocks = _through_ties(both, blocks, self.seed, self.seam_s)
                self.seam_s -= time.monotonic() - began
        return blocks["loss", ""], {name: blocks["gradient", name] for name in self.spec.shapes}


class _Draws:
    """Loss and gradient of several draws: of all that are asked for in one evaluation, if they take the same branches.

    Args:
        loss: neutral loss.
        problems: each with its own data.
        steps: finds those of an evaluation, if they are always the same.
    """

    def __init__(
        self,
        loss: Callable[[Any, Any, Any], Any],
        problems: Sequence[UserProblem],
        steps: Callable[[], Recording | None],
    ) -> None:
        self.loss, self.problems, self.spec, self.steps = loss, problems, problems[0].spec, steps
        self.tied = dict.fromkeys(range(len(problems)), True)  # until an evaluation without roundings has met no tie
        self.refused = 0
        self.cells = 0
        self.rounding: dict[tuple[int, ...], SideBySide] = {}
        self.again: dict[tuple[int, ...], _Again] = {}

    def __call__(self, asked: Mapping[int, Tree]) -> Mapping[int, Evaluated]:
        """Loss and gradient at these parameters, by draw."""
        draws = tuple(asked)
        if len(draws) > 1 and self.refused < REFUSED and self.cells * len(draws) <= CELLS_TOGETHER:
            try:
                return self._evaluated(draws, asked)
            except (DifferError, TypeError):
                self.refused += 1
        return {draw: self._evaluated((draw,), asked)[draw] for draw in draws}

    def is_first(self) -> bool:
        """Whether the next evaluation finds steps to be made again, if there are such."""
        return any(again.is_first() for again in self.again.values())

    def _evaluated(self, draws: tuple[int, ...], asked: Mapping[int, Tree]) -> dict[int, Evaluated]:
        params = {name: _beside([asked[draw][name] for draw in draws]) for name in self.spec.shapes}
        problems = [self.problems[draw] for draw in draws]
        data = {name: _beside([problem.data[name] for problem in problems]) for name in problems[0].data}
        rounding = self._roundings(draws)
        again = self.again.setdefault(draws, _Again(self.steps, len(draws), rounding))
        blocks = again.values(params, data)
        return self._by_draw(draws, blocks or self._rounded(draws, Tape(self.loss, params, data, None), again))

    def _rounded(self, draws: tuple[int, ...], tape: Tape, again: _Again) -> Blocks:
        if any(self.tied[draw] for draw in draws):  # roundings keep ties as they are without, of constants as well
            tape.evaluated()
            self.cells = tape.cells // len(draws)
            self.tied |= dict.fromkeys(draws, _tied(tape))
            again.allow(tape)
        return tape.draw(self._roundings(draws))

    def _by_draw(self, draws: tuple[int, ...], blocks: Blocks) -> dict[int, Evaluated]:
        return {
            draw: (blocks["loss", ""][i], {name: blocks["gradient", name][i] for name in self.spec.shapes})
            for i, draw in enumerate(draws)
        }

    def _roundings(self, draws: tuple[int, ...]) -> SideBySide:
        if draws not in self.rounding:
            really = [draw for draw in draws if draw < len(AS_ROUNDED)]
            groups: list[tuple[Roundings, int]] = [(Nearest(self.spec.dtype, AS_ROUNDED[draw]), 1) for draw in really]
            if noisy := len(draws) - len(really):
                rng = np.random.default_rng([self.problems[0].seed, 9, *draws])
                groups.append((Noise(self.spec.dtype, rng, draws=noisy), noisy))
            self.rounding[draws] = SideBySide(groups)
        return self.rounding[draws]


def _beside(values: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Arrays of one shape as draws, or the first where all are equal."""
    first = values[0]
    if all(value is first or np.array_equal(value, first, equal_nan=first.dtype.kind == "f") for value in values[1:]):
        return first
    return wrapped(np.stack([np.asarray(value, np.longdouble) for value in values], axis=-1))


def _tied(tape: Tape) -> bool:
    return any(bool(found.any()) for found in tape.ties.found)


def _through_ties(tape: Tape, blocks: Blocks, seed: int, seconds: float) -> Blocks:
    """The gradient with what it is from both sides of a tie where no branch matters; each branch alone may be off.

    ``maximum(x, 0) - maximum(-x, 0)`` is x, and the branches that are taken at 0 have slopes 1 and 1.
    """
    found = seam_in_extended(tape, tape.values(), seed=seed, deadline=time.monotonic() + max(0.0, seconds))
    gradient = {
        key: np.where(np.isfinite(found.truth[key]), found.truth[key], value)
        for key, value in blocks.items()
        if key[0] == "gradient"
    }
    for quantity, path, index in found.kinks:
        if quantity == "gradient":
            gradient[quantity, path][index] = blocks[quantity, path][index]
    return blocks | gradient
