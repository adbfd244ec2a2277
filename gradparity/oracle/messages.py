"""What the parent asks of the process that has the user's model and its truth, `gradparity.oracle.server`."""

from __future__ import annotations

from typing import Any

import msgspec

from gradparity.numerics.extended import Blocks
from gradparity.numerics.optimisers import Optimiser
from gradparity.truth.reference import Reference
from gradparity.truth.trajectory import Trajectory
from gradparity.worker.messages import GivenBatch, Load, Traced
from gradparity.worker.wire import Arrays, Failed, Reply, Request, Stop, decoder, reply_decoder

#: Seconds after which nothing is expected any more of what has its share of the budget, which is less.
#: The user's limits are those of backends.
OWN_S = 86_400


class Drawn(Reply, frozen=True):
    """The problem, and which losses the model has: the neutral one, a gradient by hand, and for which backends.

    ``batches``: the model gives batches for steps of training. ``missed``: environment variables that it read in vain.
    """

    problem: Load
    neutral: bool
    gradient: bool
    written_for: list[str]
    batches: bool = False
    missed: dict[str, str] = msgspec.field(default_factory=dict)


class Draw(Request[Drawn], frozen=True):
    """Load the model at ``path`` and draw a problem; real arrays in ``dtype``, or as the model gives them.

    ``memory_bytes``: what the process may have, from now on.
    """

    stage = "loading"
    timeout_s = 300
    wait = "import"

    path: str
    name: str
    seed: int
    dtype: str | None
    memory_bytes: int


class DrawnBatches(Reply, frozen=True):
    """The first batches; and why there are no more of them, if there are fewer than were asked for."""

    batches: list[GivenBatch]
    ended: str


class DrawBatches(Request[DrawnBatches], frozen=True):
    """The first batches of the model that was drawn, in its dtype: one for each step, up to so many bytes."""

    stage = "drawing batches"

    steps: int
    most_bytes: int


class Tried(Reply, frozen=True):
    """What in the neutral loss has no certified form, and where; ``""`` if nothing has none."""

    uncertifiable: str = ""


class Try(Request[Tried], frozen=True):
    """Evaluate the neutral loss of the problem that was drawn."""

    stage = "first evaluation"
    wait = None


class Held(Reply, frozen=True):
    """It is held."""


class Hold(Request[Held], frozen=True):
    """Take a problem, of which the requests that follow ask."""

    stage = "loading"
    wait = None
    timeout_s = 120

    problem: Load


class Certified(Reply, frozen=True):
    """Truth and floor."""

    reference: Reference


class Certify(Request[Certified], frozen=True):
    """Truth and floor of the problem that is held, at other parameters if given, as well as ``seconds`` allow."""

    stage = "truth"
    wait, timeout_s = None, OWN_S

    seconds: float
    params: Arrays | None = None


class Floored(Reply, frozen=True):
    """Noise floors of every block, by precision."""

    floors: dict[str, Blocks]


class Floor(Request[Floored], frozen=True):
    """The noise floors of the problem that is held in other precisions, in so many ``seconds`` together."""

    stage = "noise floors of other precisions"
    wait, timeout_s = None, OWN_S

    precisions: list[str]
    seconds: float


class Followed(Reply, frozen=True):
    """The reference run."""

    trajectory: Trajectory


class Follow(Request[Followed], frozen=True):
    """The reference run of an optimiser, of as many of the steps as ``seconds`` allow."""

    stage = "reference run"
    wait, timeout_s = None, OWN_S

    optimiser: Optimiser
    steps: int
    seconds: float


class Afforded(Reply, frozen=True):
    """Number of steps that the reference run can afford."""

    steps: int


class Afford(Request[Afforded], frozen=True):
    """How many steps of an optimiser a reference run of so many seconds may have."""

    stage = "reference run"
    wait, timeout_s = None, OWN_S

    optimiser: Optimiser
    seconds: float


class Trace(Request[Traced], frozen=True):
    """Every result on the way to the neutral loss of the problem that is held, with its line, in extended precision.

    Its floors are of as many draws as ``seconds`` allow.
    """

    stage = "recording of operations"
    wait, timeout_s = None, OWN_S

    seed: int
    seconds: float


class Refused(Failed, frozen=True):
    """The user's code is at fault: the parts of an `InputError`."""

    rule: str
    got: str
    expected: str
    cure: str


class Uncertified(Failed, frozen=True):
    """The neutral loss cannot be evaluated where it was not tried: on another branch, or at other parameters."""


REQUESTS: tuple[type[Request[Any]], ...] = (Draw, DrawBatches, Try, Hold, Certify, Floor, Follow, Afford, Trace, Stop)

decode_request, decode_reply = decoder(REQUESTS), reply_decoder(REQUESTS, Refused, Uncertified)
