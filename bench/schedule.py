"""Who is timed when: rounds A B B A, then B A A B, every backend against one reference, in a seeded order.

Drift that is linear over a round cancels in it: A and B are timed, on average, at the same moment.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

_TWIN = "~twin"


@dataclass(frozen=True)
class Turn:
    """One round to run: the workers to sample, a block each, in this order.

    ``pair`` counts pairs of processes, ``round`` the rounds of this challenger in the pair. ``reference`` is None
    where the reference was lost: the challenger is then timed alone, twice, and there is no ratio.
    """

    pair: int
    round: int
    reference: str | None
    challenger: str
    order: tuple[str, ...]


def twin(reference: str) -> str:
    """Name of the second worker of the reference backend: the A/A control that every run measures."""
    return reference + _TWIN


def is_twin(name: str) -> bool:
    """Whether a challenger's name is that of an A/A control."""
    return name.endswith(_TWIN)


def reference_first(pair: int, index: int) -> bool:
    """Whether a round is A B B A, the reference first and last, and not B A A B."""
    return (index + pair) % 2 == 0


class Schedule:
    """The turns of one pair of processes, to be iterated once; ``drop`` takes out a worker that was lost.

    Args:
        reference: the backend that every other is compared with.
        rounds: how many rounds each challenger gets, by name; the reference's ``twin`` is one of them.
        pair: which pair of processes this is, from 0: odd pairs begin with B A A B.
        seed: with ``pair``, fixes the order. Recorded with the result.

    Raises:
        ValueError: the reference is among its own challengers, or a number of rounds is negative.
    """

    def __init__(self, reference: str, rounds: Mapping[str, int], *, pair: int, seed: int) -> None:
        if reference in rounds:
            raise ValueError(f"challengers: got the reference {reference!r}, expected its twin {twin(reference)!r}")
        if any(count < 0 for count in rounds.values()):
            raise ValueError(f"rounds: got {dict(rounds)}, expected 0 or more of each")
        self._reference = reference
        self._rounds = dict(rounds)
        self._pair = pair
        self._seed = seed
        #: The workers taken out so far.
        self.lost: set[str] = set()

    def drop(self, name: str) -> None:
        """Take a lost worker out: its turns end at once, the others' go on.

        Without the reference there are no more ratios, but the others' own times are still worth having: each of
        their rounds becomes two blocks of their own.
        """
        self.lost.add(name)

    def __iter__(self) -> Iterator[Turn]:
        """Round by round, and in each round every challenger left, in an order drawn anew."""
        rng = np.random.default_rng([self._seed, self._pair])
        names = sorted(self._rounds)
        for index in range(max(self._rounds.values(), default=0)):
            for position in rng.permutation(len(names)):
                challenger = names[position]
                if index < self._rounds[challenger] and challenger not in self.lost:
                    yield self._turn(index, challenger)

    def _turn(self, index: int, challenger: str) -> Turn:
        if self._reference in self.lost:
            return Turn(self._pair, index, None, challenger, (challenger, challenger))
        first, second = self._reference, challenger
        if not reference_first(self._pair, index):
            first, second = second, first
        return Turn(self._pair, index, self._reference, challenger, (first, second, second, first))
