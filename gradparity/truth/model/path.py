"""A neutral loss along a path: value and gradient in extended precision, as `trajectory` asks for them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gradparity.model_spec.problem import UserProblem
from gradparity.numerics.extended import Blocks
from gradparity.numerics.optimisers import Tree
from gradparity.truth.model.floor import Tape
from gradparity.truth.model.seam import seam_in_extended
from gradparity.truth.numbers.noise import Nearest, Noise, Roundings
from gradparity.truth.trajectory import unit_and_tiny

#: Seconds that the reference run of one optimiser may take, its perturbed runs included.
PATH_SECONDS = 10.0
#: Seconds of them that may go to both sides of ties.
SEAM_SECONDS = 3.0
#: Accumulators of sums in the perturbed runs that are rounded as they really are.
AS_ROUNDED = (1, 4)


@dataclass
class NeutralArithmetic:
    """Extended-precision value and gradient of ``loss(params, data, xp)``; a call is timed once, for the budget.

    ``seconds``: what a reference run may take, its perturbed runs included.
    """

    loss: Callable[[Any, Any, Any], Any]
    seconds: float = PATH_SECONDS
    _call_s: dict[int, float] = field(default_factory=dict)

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

    def bind(self, problem: UserProblem, draw: int | None = None) -> Callable[[Tree], tuple[Any, Tree]]:
        """Loss and gradient at parameters in extended precision; of a draw, with every step of them rounded at random.

        A formula that cancels may have a far larger error than its result and its inputs rounded once; the first draws
        are rounded as they really are, since many roundings that are alike are no random walk.
        """
        spec = problem.spec
        data = spec.nest_data(problem.data)
        noise: Roundings | None = None
        if draw is not None and draw < len(AS_ROUNDED):
            noise = Nearest(spec.dtype, AS_ROUNDED[draw])
        elif draw is not None:
            noise = Noise(spec.dtype, np.random.default_rng([problem.seed, 9, draw]))

        seam_s = SEAM_SECONDS
        tied = True  # until an evaluation without roundings has met no tie

        def call(params: Tree) -> tuple[Any, Tree]:
            nonlocal seam_s, tied
            nested = spec.nest_params(params)
            tape = Tape(self.loss, nested, data, None)
            blocks: Blocks = {}
            if noise is None or tied:  # roundings keep ties as they are without, of computed constants as well
                blocks = tape.values()
                tied = any(found.any() for found in tape.ties.found)
            if noise is not None:
                blocks = tape.draw(noise)
            elif tied:
                began = time.monotonic()
                blocks = _through_ties(Tape(self.loss, nested, data, nested), blocks, problem.seed, seam_s)
                seam_s -= time.monotonic() - began
            return blocks["loss", ""], {name: blocks["gradient", name] for name in spec.shapes}

        return call

    def calls(self, problem: UserProblem) -> int:
        """Calls that fit in its seconds."""
        if id(problem) not in self._call_s:
            began = time.perf_counter()
            self.bind(problem)({name: np.asarray(value, np.longdouble) for name, value in problem.params.items()})
            self._call_s[id(problem)] = time.perf_counter() - began
        return max(1, int(self.seconds / self._call_s[id(problem)]))


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
