"""What the types of a result cannot say, checked when one is read from disk: no report divides by zero on it.

Only what no run writes is refused: a time of zero, an interval below it, a backend that was timed and never started,
a count beyond 64 bits, a model without its dtype.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import msgspec

from gradparity.benchmark.protocol import Block
from gradparity.benchmark.rounds import Round
from gradparity.benchmark.stats import Comparison, Control, MedianInterval
from gradparity.results.divergence import Divergence
from gradparity.results.findings import Training
from gradparity.results.run import ProblemResult, RunResult
from gradparity.results.timing import Timing

#: A time in nanoseconds, a rate, a ratio: no figure of a clock lies outside, and what is computed from them is finite.
_LEAST, _MOST = 1e-50, 1e50
#: A half-width of a logarithm that large says nothing at all, and a scatter neither.
_MOST_LOG = 100.0
#: Integers of 64 bits, as tables have them.
_MOST_WHOLE = 2**63 - 1
#: Entries along one axis of a parameter.
_MOST_LENGTH = 2**40

_Scalar = str | int | float | None
_Fields = TypeVar("_Fields")


def _shown(name: str, *typed: tuple[str, Any] | tuple[str, Any, Any], scalars: str) -> type[msgspec.Struct]:
    """What reports and comparisons say of a part of a result: fields with their types, and scalars of any."""
    return msgspec.defstruct(name, [*typed, *((each, _Scalar, None) for each in scalars.split())])


_Settings = _shown(
    "_Settings",
    ("steps", int, 1),
    ("threads", int, 1),
    ("thread_counts", list[int] | None, None),
    ("model", str | None, None),
    ("backends", list[str] | None, None),
    ("interpreters", list[str], []),
    scalars="profile numerics reduction l2 logit_scale seed",
)
_Machine = _shown("_Machine", scalars="cpu cores usable_cores system python")
#: Of a built-in model.
_BuiltIn = _shown(
    "_BuiltIn",
    ("features", int),
    *((name, str) for name in ("formulation", "dtype", "reduction")),
    ("projection", int | None, None),
    scalars="numerics l2 logit_scale",
)


class _Users(msgspec.Struct):
    """Of a model of the user's."""

    parameters: list[tuple[str, list[int], str]]
    dtype: str = "float64"
    formulation: str = "as_written"


def _is_block(block: Block) -> bool:
    counts = (block.wall_ns, block.inner, block.minor_faults, block.context_switches)
    known = (each or 0 for each in (block.cpu_ns, block.stolen_ns, block.waited_ns))
    return block.wall_ns >= 1 and block.inner >= 1 and max(*counts, *known) <= _MOST_WHOLE


def _is_comparison(found: Comparison) -> bool:
    ratios = [value for value in (found.ratio, found.low, found.high) if value is not None]
    return all(_LEAST <= value <= _MOST for value in ratios) and 0 <= (found.half_width or 0) <= _MOST_LOG


def _is_training(ran: Training) -> bool:
    steps = [*ran.recorded_steps, *([ran.first_divergence] if ran.first_divergence is not None else [])]
    return all(0 <= step < len(ran.losses) for step in steps)


#: What makes a record sound, and what one is that is not.
_SOUND: dict[type, tuple[Callable[[Any], bool], str]] = {
    ProblemResult: (lambda found: all(0 <= n <= _MOST_WHOLE for n in (found.rows, found.threads)), "rows or threads"),
    Training: (_is_training, "training: a step without a loss"),
    Divergence: (lambda found: bool(found.against), "a divergence from nobody"),
    Timing: (lambda found: any(start.pair is not None for start in found.starts), "timed and never started"),
    Round: (lambda found: max(abs(found.pair), abs(found.index)) <= _MOST_WHOLE, "a round's number"),
    Block: (_is_block, "a block without time or calls, or with counts beyond 64 bits"),
    MedianInterval: (
        lambda found: _LEAST <= found.low <= found.median <= found.high <= _MOST,
        "the interval of a median",
    ),
    Comparison: (_is_comparison, "a ratio or its half-width"),
    Control: (
        lambda found: 0 <= found.floor <= _MOST_LOG and 1e-9 <= found.between_sd <= _MOST_LOG and found.between_df >= 1,
        "the A/A control",
    ),
}


def require_sound(result: RunResult) -> None:
    """Raise unless every report can be made of the result.

    Raises:
        msgspec.ValidationError: naming what is wrong, and of which problem.
    """
    _fits("settings", result.settings, _Settings)
    for machine in (result.machine, *result.machines.values()):
        _fits("machine", machine, _Machine)
    for problem in result.problems:
        where = f"problem {problem.name!r}"
        _model(where, problem.spec)
        for record in _records(problem):
            if type(record) in _SOUND:
                sound, what = _SOUND[type(record)]
                _require(sound(record), f"{where}, {what}")


def _records(found: Any) -> Iterator[Any]:
    """A record, or each of a sequence of them, with every record in it."""
    if isinstance(found, list | tuple):
        for each in found if found and hasattr(type(found[0]), "__annotations__") else ():
            yield from _records(each)
    elif names := getattr(found, "__struct_fields__", None) or getattr(found, "__dataclass_fields__", None):
        yield found
        for name in names:
            yield from _records(getattr(found, name))


def _model(where: str, spec: dict[str, Any]) -> None:
    if "features" in spec:
        _fits(f"{where}, spec", spec, _BuiltIn)
        return
    for name, shape, _ in _fits(f"{where}, spec", spec, _Users).parameters:
        _require(len(shape) <= 64 and all(0 <= n <= _MOST_LENGTH for n in shape), f"{where}, the shape of {name!r}")


def _fits(what: str, fields: dict[str, Any], kind: type[_Fields]) -> _Fields:
    """The fields that reports use, of their types."""
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        raise msgspec.ValidationError(f"{what}: {error}") from None


def _require(sound: bool, what: str) -> None:
    if not sound:
        raise msgspec.ValidationError(f"{what}: nothing that a run writes")
