"""Strips as shapes at places of a line, in per cent: drawn by the page itself, so that they need no script."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from gradparity.formatting import duration
from gradparity.report.facts.strips import Spot, Strip, Strips
from gradparity.report.facts.view import Kind
from gradparity.report.page.figures import decades

#: Where the axis begins and ends: beyond it is what is exact, or no finite number.
_FIRST, _LAST = 4.0, 96.0
#: Steps of that many per cent, of which each has a dot of a kind at most.
_APART = 0.5
_MOST_TICKS = 5
#: Pixels from the upper edge of a strip to its middle, and from the interval of one problem to that of the next.
_MIDDLE, _BESIDE = 10, 6
#: What tells the problems of a strip of times apart.
_SHAPES = ("dot", "square", "diamond")


@dataclass(frozen=True)
class Dot:
    """One shape at ``x`` per cent, ``y`` pixels. ``wide`` is where its interval begins and how wide it is."""

    x: float
    y: int
    kind: Kind
    shape: str
    wide: tuple[float, float] | None = None


@dataclass(frozen=True)
class Track:
    """A strip that is drawn: dots, those that do not agree last and so on top, and the shaded stretch."""

    strip: Strip
    dots: Sequence[Dot]
    floor: tuple[float, float] | None


@dataclass(frozen=True)
class Drawn:
    """All strips with the ticks that they share; ``edges`` says what stands left and right of the axis."""

    strips: Strips
    tracks: Sequence[Track]
    ticks: Sequence[tuple[float, str]]
    shapes: Sequence[tuple[str, str]]
    edges: tuple[str, str]


def drawn(found: Strips | None) -> Drawn | None:
    """The strips in per cent of their width."""
    if found is None:
        return None
    values = [value for strip in found.strips for value in _values(strip)]
    low, high = decades(values)
    if high - low < 1:
        low, high = (low + high - 1) / 2, (low + high + 1) / 2

    def place(value: float) -> float:
        return at(math.log10(value))

    def at(power: float) -> float:
        share = (power - low) / (high - low)
        return round(_FIRST + (_LAST - _FIRST) * min(1.0, max(0.0, share)), 2)

    tracks = []
    for strip in found.strips:
        dots: dict[tuple[int, Kind, str], Dot] = {}
        for spot in strip.spots:
            dot = _dot(spot, place, times=found.key == "steps", of=len(found.shapes))
            dots.setdefault((round(dot.x / _APART), dot.kind, dot.shape), dot)
        ordered = sorted(dots.values(), key=lambda dot: bool(dot.kind))
        floor = None if strip.floor is None else (place(strip.floor[0]) - 0.4, place(strip.floor[1]) + 0.4)
        tracks.append(Track(strip, ordered, None if floor is None else (floor[0], round(floor[1] - floor[0], 2))))
    spots = [spot for strip in found.strips for spot in strip.spots]
    edges = ("exact" * any(spot.value == 0 for spot in spots), "not finite" * any(_lost(spot) for spot in spots))
    shapes = [(_SHAPES[index % len(_SHAPES)], name) for index, name in enumerate(found.shapes)]
    ticks = [(at(power + math.log10(scale)), text) for power, scale, text in _ticks(low, high, found.key == "steps")]
    return Drawn(found, tracks, ticks, shapes, edges)


def _values(strip: Strip) -> Iterable[float]:
    for spot in strip.spots:
        yield from (value for value in (spot.value, spot.low, spot.high) if value and 0 < value < math.inf)
    yield from strip.floor or ()


def _lost(spot: Spot) -> bool:
    return spot.value is None or not math.isfinite(spot.value)


def _dot(spot: Spot, place: Callable[[float], float], *, times: bool, of: int) -> Dot:
    y = _MIDDLE + round(_BESIDE * (spot.shape - (of - 1) / 2)) if of else _MIDDLE  # each problem's interval is seen
    shape = _SHAPES[spot.shape % len(_SHAPES)] if times else "cross" if spot.kind == "bad" else "dot"
    shape = "diamond" if spot.kind == "warn" else shape
    if _lost(spot):
        return Dot(100.0, y, spot.kind, shape)
    value = spot.value or 0.0
    if value <= 0:
        return Dot(0.0, y, spot.kind, "ring")
    wide = None
    if spot.low and spot.high and 0 < spot.low <= spot.high < math.inf:
        wide = (place(spot.low), round(place(spot.high) - place(spot.low), 2))
    return Dot(place(value), y, spot.kind, shape, wide)


def _ticks(low: float, high: float, times: bool) -> Iterable[tuple[int, int, str]]:
    """Powers of ten, few enough to be read; of times also 2 and 5 of each, where there is room."""
    first, last = math.ceil(low), math.floor(high)
    every = max(1, math.ceil((last - first) / _MOST_TICKS))
    scales = (1, 2, 5) if last - first < 1 else (1,)
    for power in range(first - 1, last + 1):
        for scale in scales:
            at = power + math.log10(scale)
            if low <= at <= high and (power - first) % every == 0:
                said = duration(10.0**power * scale).replace(".00 ", " ").replace(".0 ", " ") if times else ""
                yield power, scale, said or (f"{scale * 10.0**power:g}" if -4 < power < 4 else f"{scale}e{power}")
