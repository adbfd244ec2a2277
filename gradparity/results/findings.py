"""What correctness found: verdicts on values, training runs, backends held against each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, TypeAlias

import msgspec

Verdict: TypeAlias = Literal[
    "agrees", "unstable", "wrong", "kink", "nonfinite", "unresolved", "impure", "nondeterministic", "failed"
]
#: Verdicts that leave the exit code at 0 and a backend in the ranking.
GOOD: frozenset[Verdict] = frozenset({"agrees", "kink"})
#: Numbers differ, which taps may explain.
DIFFERS: frozenset[Verdict] = frozenset({"wrong", "unstable", "nonfinite"})
#: Not the backend's: nothing says that it is right, and nothing that it is wrong.
UNRESOLVED: Verdict = "unresolved"
#: Nothing is known of a backend, not even where failing is what a problem is there to show; there is nothing to time.
NO_ANSWER: frozenset[Verdict] = frozenset({"failed", "impure"})
#: Two calls give two answers: a training run would be held to something else than it was given.
UNREPEATABLE: frozenset[Verdict] = frozenset({"impure", "nondeterministic"})


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One backend's value of one quantity of one parameter, against the truth.

    ``rule`` is what decided the verdict, ``cause`` why the block disagrees, where an explanation accounts for all of
    it. Errors and floors are those of the entry that decided, the one furthest beyond its floor: ``floors`` is their
    ratio. ``relative_error`` is over the block: largest error over largest true magnitude. A figure is ``None`` where
    it is not a finite number. At a kink, the entry is the one with the widest ``sides``, its one-sided derivatives.
    """

    backend: str
    quantity: str
    parameter: str
    verdict: Verdict
    rule: str
    cause: str = ""
    absolute_error: float | None = None
    relative_error: float | None = None
    error_ulps: float | None = None
    floor_ulps: float | None = None
    floors: float | None = None
    worst_index: tuple[int, ...] = ()
    got: float | None = None
    truth: float | None = None
    sides: tuple[float, float] | None = None

    @property
    def block(self) -> str:
        """``gradient W``, or ``loss``."""
        return f"{self.quantity} {self.parameter}".strip()


#: What a wrong loss makes wrong comes after it.
_ORDER = {"loss": 0, "gradient": 1, "gradient along directions": 1, "jvp": 2, "hvp": 3}


def worst(findings: Sequence[Finding]) -> Finding:
    """The finding to show of several.

    One that is not good comes first, of those the loss before the gradient before second derivatives, then the most
    floors.
    """

    def rank(found: Finding) -> tuple[int, int, float]:
        bad = found.verdict not in GOOD
        severity = 3 if bad and found.verdict != UNRESOLVED else 2 if bad else int(found.verdict != "agrees")
        order = -_ORDER.get(found.quantity, len(_ORDER)) if bad else 0
        return severity, order, found.floors if found.floors is not None else math.inf

    return max(findings, key=rank)


class Disagreement(msgspec.Struct, frozen=True, kw_only=True):
    """How far every two backends are apart in one block: ``floors[i][j]``, backends in the order of the comparison.

    The largest difference of an entry, over the noise floor of both; ``None`` where a block is missing, of another
    shape or dtype, or not finite. ``agreeing`` is the majority, empty where there is none. The quantity ``primal`` is
    the derivative of each backend's own loss, extrapolated from its values.
    """

    quantity: str
    parameter: str
    floors: list[list[float | None]]
    agreeing: list[str] = []

    @property
    def block(self) -> str:
        """``gradient W``, or ``loss``."""
        return f"{self.quantity} {self.parameter}".strip()


class OwnDerivative(msgspec.Struct, frozen=True, kw_only=True):
    """One backend's gradient against its own loss, along a direction that moves one parameter only.

    ``along`` is the gradient's product with it, ``value`` what values of the loss in float64 extrapolate to, within
    ``error``. ``kind`` is ``smooth``, or says why there is nothing to compare with. ``consistent`` is ``None`` there.
    Likewise a JVP against the loss along the tangents, and an HVP's product against values of the gradient.
    """

    backend: str
    quantity: str = "gradient"
    parameter: str
    kind: str
    along: float | None
    value: float | None
    error: float | None
    consistent: bool | None
    evaluations: int


class Outlier(msgspec.Struct, frozen=True, kw_only=True):
    """A backend that disagrees, and in which way: its ``gradient`` is not that of its loss, or its ``loss`` is another.

    ``precision``: it computes in a lower one than it was asked to. ``cause`` is what explains its blocks, where known.
    """

    backend: str
    kind: Literal["gradient", "loss", "precision", "unknown"]
    cause: str = ""
    finding: str


class Pairwise(msgspec.Struct, frozen=True, kw_only=True):
    """Backends held against each other and against their own losses, where no truth is known: nothing is certified.

    ``relation`` is what one of two backends is of the other, in all that differs; ``stopped`` the question that a
    gradient raises which all of them stop.
    """

    backends: list[str]
    matrix: list[Disagreement]
    own: list[OwnDerivative]
    outliers: list[Outlier] = []
    relation: str = ""
    stopped: str = ""


class Training(msgspec.Struct, frozen=True, kw_only=True):
    """One backend's training run against the same steps in extended precision.

    ``floors`` is the largest error of a loss or of a parameter's root mean square, over the floor grown so far;
    ``first_divergence`` the first step beyond the floor and ``diverged`` what left it there, ``None`` and ``""`` where
    nothing does up to ``checked_steps``. ``reason`` says why two runs part, ``detail`` its figures; a run may agree and
    have one, where the floor itself grew: ``amplification`` is how large it became, over the rounding of the
    parameters. ``parameter_floors`` are the errors at those of ``recorded_steps`` that the reference has.
    ``own_loop``: by the backend's own ``descend``, and not by our optimiser.
    """

    backend: str
    verdict: Verdict
    optimiser: str = "gd"
    own_loop: bool = True
    steps: int
    checked_steps: int
    initial_loss: float | None
    final_loss: float | None
    reference_loss: float | None
    floors: float | None
    first_divergence: int | None
    diverged: str = ""
    reason: str = ""
    detail: str = ""
    amplification: float | None = None
    loop_s: float
    losses: list[float | None]
    recorded_steps: list[int] = []
    loss_floors: list[float | None] = []
    parameter_floors: dict[str, list[float | None]] = {}
    evaluations: int | None = None
    reference_evaluations: tuple[int, int] | None = None
    stopped: str = ""

    @property
    def method(self) -> str:
        """``gd``, or ``gd, own loop`` where the backend has its own."""
        return f"{self.optimiser}, own loop" if self.own_loop else self.optimiser


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """A backend that could not be measured, or not to the end; the others went on."""

    backend: str
    stage: str
    reason: str
    detail: str = ""


class NotGiven(msgspec.Struct, frozen=True, kw_only=True):
    """A quantity that a backend has no way to, so that it was not compared: why, and what would give it.

    ``backend`` is empty where it is the truth of that quantity that there was no time for.
    """

    backend: str
    quantity: str
    reason: str
    cure: str

    def __str__(self) -> str:
        """``hvp of torch``, or ``hvp``."""
        return f"{self.quantity} of {self.backend}" if self.backend else self.quantity


#: The name of the diagnosis that ports agree with each other, and not with the neutral loss.
NEUTRAL_IS_ODD = "the neutral loss is the odd one"


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """Something about the problem itself that a person should know, with what to do about it."""

    name: str
    finding: str
    cure: str
