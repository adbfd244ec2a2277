"""Initialisers that ports bring, and the model's own: what each block starts from over seeds, held together."""

from __future__ import annotations

from typing import Literal

import msgspec

#: What the model's ``parameters(rng)`` is called among the initialisers of backends.
MODEL = "model"

#: What ``again`` ends with where two blocks of a port do, and of another not.
SHARED = "start from the same random numbers"


class InitialRun(msgspec.Struct, frozen=True, kw_only=True):
    """One initialiser: of a backend, or ``model``, over ``seeds``.

    ``again`` says that it is no function of its seed, or starts two blocks alike, and how that was seen.
    """

    backend: str
    seeds: int
    again: str = ""


class InitialBlock(msgspec.Struct, frozen=True, kw_only=True):
    """What one initialiser starts a block from: of ``numbers`` the standard deviation, which ``std_range`` holds.

    It misses it once in a thousand times. ``distribution`` is ``""`` and ``scheme`` is empty where no single one is
    supported; several ``schemes`` where the draws do not tell between them.
    """

    backend: str
    block: str
    shape: tuple[int, ...]
    numbers: int
    distribution: str
    schemes: list[str]
    std: float | None = None
    std_range: tuple[float | None, float | None] = (None, None)


class InitialDifference(msgspec.Struct, frozen=True, kw_only=True):
    """Two initialisers that cannot be the same in a block: in ``what``, and ``said`` with figures.

    ``factor`` is that of the standard deviations, the first's over the second's, ``factor_range`` an interval; ``None``
    where scale is not what differs. ``hint`` is what a factor like this usually comes of.
    """

    backends: tuple[str, str]
    block: str
    what: Literal["values", "drawn", "orthogonal", "scale", "distribution"]
    said: str
    factor: float | None = None
    factor_range: tuple[float | None, float | None] = (None, None)
    hint: str = ""


class Initialisers(msgspec.Struct, frozen=True, kw_only=True):
    """All initialisers that there are, and what was found of them.

    In ``compared`` blocks a difference that matters would have been seen; of others ``notes`` say what is not known.
    ``missing`` are backends whose initialiser gave nothing, and why. ``beside`` are differences from the model's
    ``parameters(rng)`` where ports are held against each other: it may be a point to compare gradients at, and need
    not be a start.
    """

    runs: list[InitialRun]
    compared: int = 0
    blocks: list[InitialBlock] = []
    differences: list[InitialDifference] = []
    beside: list[InitialDifference] = []
    missing: dict[str, str] = {}
    notes: list[str] = []

    @property
    def verdict(self) -> Literal["agrees", "differs", "impure", "unresolved", "alone"]:
        """What they come to: ``alone`` is one initialiser, which nothing is held against, or none."""
        if self.differences:
            return "differs"
        if any(run.again for run in self.runs):
            return "impure"
        if len(self.runs) < 2:
            return "alone"
        return "agrees" if self.compared else "unresolved"

    def verdict_of(self, backend: str) -> str:
        """The same of one of them: others may differ while it agrees."""
        if any(backend in each.backends for each in self.differences):
            return "differs"
        again = any(run.again for run in self.runs if run.backend == backend)
        known = "failed" if backend in self.missing else "impure" if again else ""
        return known or (self.verdict if self.verdict in ("alone", "unresolved") else "agrees")

    @property
    def ok(self) -> bool:
        """Whether nothing here is to be looked into."""
        return self.verdict in ("agrees", "alone")
