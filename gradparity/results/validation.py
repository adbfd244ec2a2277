"""What the types of a result cannot say, checked when one is read from disk: no report divides by zero on it.

Only what no run writes is refused: a time of zero, an interval below it, a backend that was timed and never started,
a count beyond 64 bits, a model without its dtype.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

import msgspec

from gradparity.benchmark.protocol import Block
from gradparity.benchmark.stats import Comparison, Control, MedianInterval
from gradparity.results.run import ProblemResult, RunResult
from gradparity.results.timing import Timed, Timing

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


class _Settings(msgspec.Struct):
    """What reports and comparisons say of the settings."""

    steps: int = 1
    threads: int = 1
    thread_counts: list[int] | None = None
    model: str | None = None
    profile: _Scalar = None
    numerics: _Scalar = None
    reduction: _Scalar = None
    l2: _Scalar = None
    logit_scale: _Scalar = None
    seed: _Scalar = None


class _Machine(msgspec.Struct):
    """What they say of the machine."""

    cpu: _Scalar = None
    cores: _Scalar = None
    usable_cores: _Scalar = None
    system: _Scalar = None
    python: _Scalar = None


class _BuiltIn(msgspec.Struct):
    """Of a built-in model."""

    features: int
    formulation: str
    dtype: str
    reduction: str
    numerics: _Scalar = None
    projection: int | None = None
    l2: _Scalar = None
    logit_scale: _Scalar = None


class _Users(msgspec.Struct):
    """Of a model of the user's."""

    parameters: list[tuple[str, list[int], str]]
    dtype: str = "float64"
    formulation: str = "as_written"


def require_sound(result: RunResult) -> None:
    """Raise unless every report can be made of the result.

    Raises:
        msgspec.ValidationError: naming what is wrong, and of which problem.
    """
    _fits("settings", result.settings, _Settings)
    _fits("machine", result.machine, _Machine)
    for problem in result.problems:
        where = f"problem {problem.name!r}"
        _model(where, problem.spec)
        _require(0 <= problem.rows <= _MOST_WHOLE and 0 <= problem.threads <= _MOST_WHOLE, f"{where}, rows or threads")
        _clock(where, problem)
        for ran in problem.training:
            steps = [*ran.recorded_steps, *([ran.first_divergence] if ran.first_divergence is not None else [])]
            _require(all(0 <= step < len(ran.losses) for step in steps), f"{where}, training: a step without a loss")
        for divergence in problem.divergences.found if problem.divergences is not None else ():
            _require(bool(divergence.against), f"{where}, a divergence from nobody")


def _clock(where: str, problem: ProblemResult) -> None:
    for control in (problem.control, problem.loop_control):
        if control is not None:
            _control(where, control)
    if problem.limits is not None:
        _interval(where, problem.limits.read_bytes_per_s)
        _interval(where, problem.limits.flops_per_s)
    for formulated in problem.formulations:
        _interval(where, formulated.step_ns)
        _comparison(where, formulated.ratio)
    for timing in (*problem.timings, *([problem.twin] if problem.twin is not None else [])):
        _timing(f"{where}, {timing.backend}", timing)


def _timing(where: str, timing: Timing) -> None:
    _require(any(start.pair is not None for start in timing.starts), f"{where}, timed and never started")
    for timed in (timing.step, timing.loop, timing.primal, timing.collected):
        if timed is not None:
            _timed(where, timed)


def _timed(where: str, timed: Timed) -> None:
    if timed.step_ns is not None:
        _interval(where, timed.step_ns)
    if timed.ratio is not None:
        _comparison(where, timed.ratio)
    _blocks(where, timed.blocks)
    for each in timed.rounds:
        _require(max(abs(each.pair), abs(each.index)) <= _MOST_WHOLE, f"{where}, a round's number")
        _blocks(where, (*each.reference, *each.challenger))


def _blocks(where: str, blocks: Iterable[Block]) -> None:
    for block in blocks:
        _require(block.wall_ns >= 1 and block.inner >= 1, f"{where}, a block without time or calls")
        counts = (block.wall_ns, block.inner, block.cpu_ns, block.minor_faults, block.context_switches)
        _require(max(*counts, block.stolen_ns or 0) <= _MOST_WHOLE, f"{where}, a block's counts")


def _interval(where: str, found: MedianInterval) -> None:
    _require(_LEAST <= found.low <= found.median <= found.high <= _MOST, f"{where}, the interval of a median")


def _comparison(where: str, found: Comparison) -> None:
    ratios = [value for value in (found.ratio, found.low, found.high) if value is not None]
    _require(all(_LEAST <= value <= _MOST for value in ratios), f"{where}, a ratio")
    _require(found.half_width is None or 0 <= found.half_width <= _MOST_LOG, f"{where}, the half-width of a ratio")


def _control(where: str, found: Control) -> None:
    sound = 0 <= found.floor <= _MOST_LOG and 1e-9 <= found.between_sd <= _MOST_LOG and found.between_df >= 1
    _require(sound, f"{where}, the A/A control")


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
