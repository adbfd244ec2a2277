"""Parameters as the user initialises them: ``initialise(seed) -> params`` of a port, drawn for as many seeds as tell.

The port's own tree, or a ``state_dict``, in its own layout and arrays; what is drawn is kept in that of the parameters.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradparity.model_spec.errors import InputError
from gradparity.model_spec.problem import UserProblem
from gradparity.model_spec.user.containers import read_tree
from gradparity.model_spec.user.drawing import checked
from gradparity.model_spec.user.layouts import Layout, layout_of
from gradparity.model_spec.user.model import UserModel, blaming, load_model, place_of_function, random_stream
from gradparity.numerics.initialisers import orthogonal_gain
from gradparity.numerics.two_samples import LEAST_REPEATS, LEAST_SEEDS, SEEN_NUMBERS
from gradparity.worker.step_messages import DrawStarts, StartsDrawn
from gradparity.worker.wire import Arrays, Host

#: Numbers that a block is drawn to have, twice those that tell one distribution from another; and seeds at most.
ENOUGH, MOST_SEEDS = 2 * SEEN_NUMBERS, 1024
#: Numbers that are kept: of all blocks together, and of each at least and at most.
ALL_KEPT, LEAST_KEPT, MOST_KEPT = 4_000_000, 8192, 65_536
#: Entries of a block up to which it is seen whether it is orthogonal: a product of matrices.
SQUARED = 2**22


@dataclass(frozen=True)
class Initialiser:
    """A function of a seed that returns parameters as a port has them; what it is called, and where it is."""

    call: Callable[[int], Any]
    name: str
    place: str
    model: UserModel
    layout: Layout

    def draw(self, seed: int) -> Arrays:
        """Copies of what it gives, by the names of the parameters; constants are left aside.

        Raises:
            InputError: it raises, or a parameter is missing, unknown, of another shape or not finite.
        """
        where = f"{self.place}, seed {seed}"
        with blaming(self.model.file, self.model.root, f"{self.name} to return parameters"):
            tree = self.call(seed)
        found = self.layout.flat(where, read_tree(where, tree, set()), "parameter")
        host = self.layout.back({name: checked(where, name, leaf, parameter=True) for name, leaf in found.items()})
        for name, shape in self.layout.spec.shapes.items():
            if host[name].shape != shape:
                got = f"shape {host[name].shape}"
                raise InputError(f"{where}: {name}", got=got, expected=f"shape {shape}, as parameters(rng) has it")
        return {name: np.array(value) for name, value in host.items()}


def drawn(problem: UserProblem, names: Sequence[str], request: DrawStarts) -> StartsDrawn:
    """The answer to a request for an initialiser's draws.

    Raises:
        InputError: what it gives are no such parameters.
    """
    model = load_model(problem.spec.path)
    own = model.function("parameters", "rng") if request.model else model.own("initialise", "seed", names)
    assert own is not None  # noqa: S101  # `Loaded` said so
    layout = Layout(problem.spec) if request.model else layout_of(model, problem.spec, names)

    def call(seed: int) -> Any:
        return own(random_stream(seed, 0)) if request.model else own(seed)

    name = "parameters(rng)" if request.model else "initialise(seed)"
    return _drawn(Initialiser(call, name, place_of_function(own), model, layout), problem.seed, request.seconds)


def _drawn(initialiser: Initialiser, seed: int, seconds: float) -> StartsDrawn:
    """Draws of seeds from one on, of two at least, and the first again."""
    first, second, count = initialiser.draw(seed), initialiser.draw(seed + 1), 2
    ends_s = time.monotonic() + seconds  # the first may compile
    most = int(np.clip(ALL_KEPT // len(first), LEAST_KEPT, MOST_KEPT))
    blocks = {name: _Block(value, most) for name, value in first.items()}
    for name, block in blocks.items():
        block.add(second[name])
    small = [name for name, value in first.items() if value.size <= SQUARED]
    gains = {name: orthogonal_gain(np.stack([first[name], second[name]])) for name in small}
    while count < MOST_SEEDS and time.monotonic() < ends_s and not all(block.told for block in blocks.values()):
        found = initialiser.draw(seed + count)
        for name, block in blocks.items():
            block.add(found[name])
        count += 1
    once_more = initialiser.draw(seed)
    other = [name for name, value in first.items() if value.tobytes() != once_more[name].tobytes()]
    return StartsDrawn(
        entries={name: np.stack(block.rows) for name, block in blocks.items()},
        gains={name: gain for name, gain in gains.items() if gain is not None},
        seeds=count,
        again=f"called twice with {seed}, it gives another {other[0]}" if other else "",
    )


class _Block:
    """What is kept of one block: all of its entries, or some, the same of each draw."""

    def __init__(self, value: Host, most: int) -> None:
        self._width = min(value.size, most // LEAST_SEEDS)
        self._at = np.linspace(0, value.size - 1, self._width).astype(np.int64)
        self._most = most // self._width
        self._varies = False
        self.rows = list[Host]()
        self.add(value)

    def add(self, value: Host) -> None:
        """Take a draw."""
        if len(self.rows) < self._most:
            self.rows.append(value.ravel()[self._at].astype(np.float32))
            self._varies = self._varies or not np.array_equal(self.rows[0], self.rows[-1])

    @property
    def told(self) -> bool:
        """Whether its draws are enough."""
        seeds = len(self.rows)
        numbers = seeds * self._width >= ENOUGH if self._varies else (seeds - 1) * self._width >= LEAST_REPEATS
        return seeds == self._most or (numbers and seeds >= LEAST_SEEDS)
