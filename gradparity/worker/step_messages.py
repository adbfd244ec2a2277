"""What the parent asks of a backend's process about training as the user wrote it, and what that answers."""

from __future__ import annotations

import msgspec

from gradparity.worker.wire import Arrays, Host, Reply, Request


class GivenBatch(msgspec.Struct, frozen=True):
    """One batch: the JSON of its nesting, and arrays by path."""

    form: str
    arrays: Arrays


class StepsTaken(Reply, frozen=True):
    """What the user's ``step`` gave. Steps count from 1, which is the first call; all arrays are on the host.

    ``losses`` (steps,), float64, as they were returned. ``params`` and ``state``, by path, are (recorded, *shape), as
    they were after each of the ``recorded`` steps; state that is no tree of arrays is left out.

    The bands are those of runs that were moved by one rounding at every step: root mean squares of the moves by draw
    and step, (draws, steps) of the loss, (draws, recorded) of each parameter and of each array of the state.
    ``again`` says how a second run differed from the first, if it did; ``stopped`` why there are fewer steps than were
    asked for.
    """

    losses: Host
    recorded: list[int]
    params: Arrays
    state: Arrays
    loss_band: Host
    params_band: Arrays
    state_band: Arrays
    seconds: float
    again: str = ""
    stopped: str = ""


class TakeSteps(Request[StepsTaken], frozen=True):
    """Call the user's ``init`` once and ``step`` so many times, from the parameters of the loaded problem.

    Each step takes one of the ``batches``; without any, all of them the problem's data. Parameters and state are
    recorded at every step, or at every so many, as memory allows; with ``after``, at steps after that one only.
    """

    stage = "training steps"

    steps: int
    batches: list[GivenBatch]
    draws: int
    seconds: float
    after: int = 0


class StartsDrawn(Reply, frozen=True):
    """What an initialiser gave over seeds: of each block (seeds, n) of its entries, float32, in the parameters' layout.

    Of a block with more entries these are some, the same at every seed; the last seeds have small ones alone. ``gains``
    are those of blocks that are orthogonal. ``seeds``: how many there were, from the problem's on. ``again`` says what
    differed when the first was drawn once more, if anything did.
    """

    entries: Arrays
    gains: dict[str, float]
    seeds: int
    again: str = ""


class DrawStarts(Request[StartsDrawn], frozen=True):
    """Call the port's ``initialise(seed)`` for many seeds; or the model's ``parameters(rng)``.

    As many as tell one scheme from another, for so many ``seconds``.
    """

    stage = "initialising"

    seconds: float
    model: bool = False


class GradientsGiven(Reply, frozen=True):
    """Of ``loss(params, batch)`` at each of n points: ``losses`` (n,), ``gradients`` by parameter (n, *shape).

    The floors, of the same shapes, are root mean squares of how far each moves when parameters and batch move by one
    rounding. ``missing`` says why there are none: the loss does not take what a batch is.
    """

    losses: Host
    gradients: Arrays
    loss_floors: Host
    floors: Arrays
    missing: str = ""


class GiveGradients(Request[GradientsGiven], frozen=True):
    """The backend's own gradient at each of n points, ``params`` by name (n, *shape), each on its batch.

    Without ``batches``, all on the problem's data. The floors are of so many ``draws``. ``constants``, by path
    (n, *shape), are what steps have made of those among the parameters.
    """

    stage = "gradients on the way"

    params: Arrays
    batches: list[GivenBatch]
    draws: int
    constants: Arrays = msgspec.field(default_factory=dict)
