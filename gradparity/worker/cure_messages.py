"""What the parent asks of a port that disagrees: which small change of its source would make it agree."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from gradparity.worker.trace_messages import Traced
from gradparity.worker.wire import Arrays, Reply, Request

#: A number; an option of a call, or another call; an order; a gradient that is stopped, or is not; a narrow dtype.
Kind: TypeAlias = Literal["number", "option", "permutation", "stop", "precision"]

#: Lines of a file, both ends among them.
Lines: TypeAlias = tuple[str, int, int]


class Wanted(msgspec.Struct, frozen=True):
    """What the port would have to give at some parameters and data; ``None``: those that are loaded.

    ``tolerances`` are per entry, or of shapes that broadcast; where a block, or the loss, has none, it is a relative
    1e-9 of the block and 1e-12 of the largest (1e-4 and 1e-5 in float32).
    """

    loss: float
    gradient: Arrays
    params: Arrays | None = None
    data: Arrays | None = None
    loss_tolerance: float | None = None
    tolerances: Arrays = msgspec.field(default_factory=dict)


class Pointed(Reply, frozen=True):
    """Loss and gradient at each point: by quantity, then by parameter."""

    evaluations: list[dict[str, Arrays]]


class Points(Request[Pointed], frozen=True):
    """Loss and gradient of the loaded problem at other parameters and data."""

    stage = "evaluation at other points"

    points: list[tuple[Arrays, Arrays]]


class Redrawn(Reply, frozen=True):
    """Parameters and data of another seed, real numbers in float64."""

    params: Arrays
    data: Arrays


class Redraw(Request[Redrawn], frozen=True):
    """Draw the loaded problem once more, from another seed."""

    stage = "drawing of other data"

    seed: int


class Found(msgspec.Struct, frozen=True):
    """A change with which loss and every block of the gradient agree at every point.

    ``line`` from 1, ``column`` from 0, of the piece of the source ``old`` that becomes ``new``. ``phrase`` completes
    "they would agree if". ``also`` are other changes that prove the same, as ``old -> new`` with their lines.
    ``about``: it puts in a number that was solved for, and is neither round nor known.
    """

    file: str
    line: int
    column: int
    old: str
    new: str
    kind: Kind
    phrase: str
    also: tuple[str, ...] = ()
    about: bool = False


class Cured(Reply, frozen=True):
    """The simplest change that was proven, if any; how many were tried, and whether time ended it.

    ``traced`` is the record of the port with that change.
    """

    found: list[Found]
    tried: int
    cut: bool = False
    notes: str = ""
    traced: Traced | None = None


class Cure(Request[Cured], frozen=True):
    """Look for a change that makes the loaded problem's port agree, at lines in order of suspicion.

    ``seconds`` are by the clock. An edit of the user's code may loop forever in C: then the process is given up, for
    nothing but this answer.
    """

    stage = "what would make it agree"
    timeout_s = 120

    places: list[Lines]
    wanted: list[Wanted]
    seconds: float = 20.0
