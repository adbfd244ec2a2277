"""Messages between the parent and the process that has the user's model and its truth, `gradparity.oracle.server`."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, TypeAlias

import msgspec
import numpy as np

from gradparity.numerics.extended import Quantities
from gradparity.numerics.optimisers import Optimiser
from gradparity.truth.reference import Reference
from gradparity.truth.trajectory import Trajectory
from gradparity.worker import messages as m
from gradparity.worker.messages import Tensor, Tensors


class Draw(m.Request, frozen=True):
    """Load the model at ``path`` and draw a problem; real arrays in ``dtype``, or as the model gives them."""

    path: str
    name: str
    seed: int
    dtype: str | None


class Hold(m.Request, frozen=True):
    """Take a problem, of which the requests that follow ask."""

    problem: m.Load


class Refer(m.Request, frozen=True):
    """Truth and floor of the problem that is held, at other parameters if given."""

    params: Tensors | None = None


class Follow(m.Request, frozen=True):
    """The reference run of an optimiser."""

    optimiser: Optimiser
    steps: int


class Afford(m.Request, frozen=True):
    """How many steps of an optimiser a reference run may have."""

    optimiser: Optimiser


class Drawn(m.Reply, frozen=True):
    """The problem, and which losses the model has: the neutral one, a gradient by hand, and for which backends.

    ``uncertifiable`` says what in the neutral loss has no certified form, and where; ``""`` if nothing has none.
    """

    problem: m.Load
    neutral: bool
    gradient: bool
    written_for: list[str]
    uncertifiable: str = ""


class Held(m.Reply, frozen=True):
    """It is held."""


class Referred(m.Reply, frozen=True):
    """A `Reference`: blocks under ``quantity parameter``, and its plain fields."""

    truth: Tensors
    floor: Tensors
    zero: Tensors
    plain: dict[str, Any]
    kinks: list[tuple[str, tuple[int, ...], tuple[float, float]]]
    ignored: tuple[str, ...]


class Followed(m.Reply, frozen=True):
    """A `Trajectory`."""

    optimiser: Optimiser
    path: m.Trained
    loss_floor: Tensor
    floors: Tensors
    amplification: Tensor
    final_floor: Tensor
    evaluations: tuple[int, int]
    complete: bool


class Afforded(m.Reply, frozen=True):
    """So many."""

    steps: int


class Refused(m.Reply, frozen=True):
    """The user's code is at fault: the parts of an `InputError`."""

    rule: str
    got: str
    expected: str
    cure: str


AnyRequest: TypeAlias = Draw | Hold | Refer | Follow | Afford | m.Stop
AnyReply: TypeAlias = Drawn | Held | Referred | Followed | Afforded | Refused | m.Stopped | m.Failure

decode_request = m.decoding(msgspec.msgpack.Decoder(AnyRequest).decode)
decode_reply = m.decoding(msgspec.msgpack.Decoder(AnyReply).decode)

_APART = ("truth", "floor", "zero", "kinks", "ignored")


def referred(reference: Reference) -> Referred:
    """A reference as a message."""
    truth, floor, zero = (
        m.pack({" ".join(key): value for key, value in blocks.items()})
        for blocks in (reference.truth.blocks, reference.floor.blocks, reference.zero)
    )
    plain = {each.name: getattr(reference, each.name) for each in fields(reference) if each.name not in _APART}
    kinks = [(path, index, sides) for (path, index), sides in reference.kinks.items()]
    return Referred(truth, floor, zero, plain, kinks, reference.ignored)


def reference_of(reply: Referred) -> Reference:
    """The reference of a message."""
    truth, floor, zero = (
        {_key(key): value for key, value in m.unpack(tensors).items()}
        for tensors in (reply.truth, reply.floor, reply.zero)
    )
    kinks = {(path, index): sides for path, index, sides in reply.kinks}
    return Reference(
        truth=Quantities(truth), floor=Quantities(floor), zero=zero, kinks=kinks, ignored=reply.ignored, **reply.plain
    )


def _key(words: str) -> tuple[str, str]:
    quantity, _, parameter = words.partition(" ")  # no quantity has a space, though a parameter may
    return quantity, parameter


def followed(run: Trajectory) -> Followed:
    """A trajectory as a message."""
    arrays = m.pack({name: getattr(run, name) for name in ("loss_floor", "amplification", "final_floor")})
    floors, path = m.pack(run.floors), m.trained(run.path, 0.0)
    return Followed(run.optimiser, path, floors=floors, evaluations=run.evaluations, complete=run.complete, **arrays)


def trajectory_of(reply: Followed) -> Trajectory:
    """The trajectory of a message."""
    names = ("loss_floor", "amplification", "final_floor")
    arrays: dict[str, np.ndarray] = m.unpack({name: getattr(reply, name) for name in names})
    path, floors = m.path_of(reply.path), m.unpack(reply.floors)
    return Trajectory(
        reply.optimiser, path, floors=floors, evaluations=reply.evaluations, complete=reply.complete, **arrays
    )
