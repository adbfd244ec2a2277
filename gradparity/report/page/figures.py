"""What all plots share: axes, the look of each backend, text that is safe inside a plot. Plain dicts for Plotly.

Colours are names (``theme:grid``), which the page's script replaces by those of the theme in use.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any, TypeAlias

from gradparity.formatting import duration, printable

Figure: TypeAlias = dict[str, Any]

#: Looks of the backends that everybody has, so that they are the same in every report.
_USUAL = {"numpy": 0, "autograd": 1, "jax": 2, "torch": 3, "torch-compile": 4}
_SYMBOLS = (
    "circle", "square", "diamond", "triangle-up", "x", "star", "pentagon", "hexagram", "triangle-down", "bowtie",
)  # fmt: skip
_DASHES = ("solid", "10px,3px", "5px,3px", "2px,3px", "9px,3px,2px,3px", "14px,4px", "6px,2px,2px,2px,2px,2px")
#: Series colours in ``page.css``.
COLOURS = 9


class Looks:
    """A colour, a symbol and a dash for each backend: the same in all plots of a page."""

    def __init__(self, names: Iterable[str]) -> None:
        others = [name for name in dict.fromkeys(names) if name not in _USUAL]
        self._slots = {**_USUAL, **{name: len(_USUAL) + index for index, name in enumerate(others)}}

    def slot(self, name: str) -> int:
        """Which of the looks."""
        return self._slots.get(name, len(_USUAL))

    def colour(self, name: str) -> str:
        """The name of its colour."""
        return f"theme:series-{self.slot(name) % COLOURS}"

    def symbol(self, name: str, *, hollow: bool = False) -> str:
        """Its marker."""
        return _SYMBOLS[self.slot(name) % len(_SYMBOLS)] + ("-open" if hollow else "")

    def size(self, name: str) -> int:
        """Pixels of its marker: a triangle looks smaller than a square."""
        return 11 if "triangle" in self.symbol(name) or "star" in self.symbol(name) else 9

    def marker(self, name: str, *, hollow: bool = False) -> Figure:
        """Its marker in its colour."""
        return {"color": self.colour(name), "symbol": self.symbol(name, hollow=hollow), "size": self.size(name)}

    def curve(self, name: str) -> Figure:
        """Its line in its colour."""
        return {"color": self.colour(name), "width": 2.2, "dash": _DASHES[self.slot(name) % len(_DASHES)]}


def label(text: str) -> str:
    """Text for a plot, where Plotly reads a little HTML and ``%{...}``: it shows as it is."""
    return escape(printable(" ".join(text.split())), quote=False).replace("%{", "%\u200b{")


def layout(*, x: Figure, y: Figure, **more: Any) -> Figure:
    """A layout without a title: headings are the page's."""
    font = {"family": "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif", "size": 13, "color": "theme:ink"}
    return {
        "xaxis": {**_AXIS, **x},
        "yaxis": {**_AXIS, **y},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": font,
        "margin": {"l": 8, "r": 16, "t": 12, "b": 8},
        "hoverlabel": {
            "align": "left", "bgcolor": "theme:raised", "bordercolor": "theme:line",
            "font": {"color": "theme:ink", "size": 13},
        },
        "hovermode": "closest",
        "legend": {
            "orientation": "h", "x": 0, "y": -0.02, "yref": "container", "yanchor": "bottom", "traceorder": "normal",
            "itemsizing": "constant", "font": {"size": 13},
        },
        **more,
    }  # fmt: skip


_AXIS: Figure = {
    "automargin": True,
    "gridcolor": "theme:grid",
    "linecolor": "theme:line",
    "showline": True,
    "ticks": "outside",
    "ticklen": 4,
    "tickcolor": "theme:line",
    "zeroline": False,
}


def axis(text: str, **more: Any) -> Figure:
    """A linear axis with its title."""
    return {"title": {"text": text, "standoff": 10, "font": {"size": 13}}, **more}


def names_axis(names: Sequence[str]) -> Figure:
    """A row for each of the names, the first one on top."""
    shown = [label(name) for name in reversed(names)]
    return axis("", type="category", categoryorder="array", categoryarray=shown, ticks="")


def log_axis(text: str, values: Iterable[float], least: float = 0.0, **more: Any) -> Figure:
    """A logarithmic axis around the positive ones of the values, from ``least`` on; ticks at decades, or at 1, 2, 5."""
    low, high = decades(values)
    low = max(low, math.log10(least)) if least else low
    every = max(1, math.ceil((high - low) / 8))
    small = low > -4 and high < 7
    return axis(
        text,
        type="log",
        range=[low, high],
        dtick=every if high - low > 2.2 else "D2",
        **(
            {"tickformat": "~g" if high <= 3.5 else "~s"}
            if small
            else {"exponentformat": "power", "showexponent": "all"}
        ),
        **more,
    )


def time_axis(text: str, values_ns: Iterable[float], **more: Any) -> Figure:
    """A logarithmic axis of times in nanoseconds, ticks as a person says them: 1 us, 10 us, 1 ms."""
    low, high = decades(values_ns)
    for scales in ((1,), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 8), range(10, 100), range(100, 1000, 2)):
        powers = range(math.floor(low), math.ceil(high) + 1)
        places = [scale / scales[0] * 10.0**power for power in powers for scale in scales]
        places = [place for place in places if low <= math.log10(place) <= high]
        if len(places) > 2:
            break
    places = [places[index] for index in thin(len(places), 8)]
    words = [duration(place).replace(".00 ", " ").replace(".0 ", " ") for place in places]
    return axis(text, type="log", range=[low, high], tickvals=places, ticktext=words, **more)


def decades(values: Iterable[float]) -> tuple[float, float]:
    """Ends of a logarithmic axis, as powers of ten, with a little room; of nothing, one decade around 1."""
    powers = [math.log10(value) for value in values if 0 < value < math.inf]
    if not powers:
        return -0.5, 0.5
    low, high = min(powers), max(powers)
    room = max(0.12, 0.05 * (high - low))
    return low - room, high + room


def line(x: Sequence[float], y: Sequence[float], name: str, dash: str = "dash") -> Figure:
    """A limit: a thin line that is no backend's."""
    looks = {"color": "theme:muted", "width": 1.5, "dash": dash}
    return scatter("lines", x, y, name=name, hoverinfo="skip", line=looks)


def scatter(mode: str, x: Sequence[Any], y: Sequence[Any], **more: Any) -> Figure:
    """A curve (``lines``), markers, or both."""
    return {"type": "scatter", "mode": mode, "x": list(x), "y": list(y), **more}


def points(
    x: Sequence[Any], y: Sequence[Any], hover: Sequence[str], marker: Figure, *, mode: str = "markers", **more: Any
) -> Figure:
    """Markers that each say what they are to who points at them."""
    return scatter(mode, x, y, marker=marker, hoverinfo="text", hovertext=list(hover), **more)


def whiskers(ends: Sequence[tuple[float, float, float]], colour: str, thickness: float) -> Figure:
    """Intervals around points, each from its low end, its middle and its high end."""
    return {
        "type": "data", "symmetric": False, "array": [high - middle for _, middle, high in ends],
        "arrayminus": [middle - low for low, middle, _ in ends], "color": colour, "thickness": thickness, "width": 5,
    }  # fmt: skip


def labelled(text: str, x: float, row: int = 0, *, log: bool = False) -> Figure:
    """Words above the plot at a place of its x axis; ``row`` counts upwards, so that neighbours do not collide."""
    return {
        "text": text, "x": math.log10(x) if log else x, "y": 1, "yref": "paper", "yanchor": "bottom",
        "yshift": 2 + 17 * row, "showarrow": False, "font": {"color": "theme:ink", "size": 13},
    }  # fmt: skip


def upright(x: float, dash: str = "dot", width: float = 1.3) -> Figure:
    """A thin vertical line over the whole height."""
    return {
        "type": "line", "x0": x, "x1": x, "y0": 0, "y1": 1, "yref": "paper", "layer": "below",
        "line": {"color": "theme:muted", "width": width, "dash": dash},
    }  # fmt: skip


def band(low: float, high: float) -> Figure:
    """A shaded stretch of the x axis over the whole height."""
    return {
        "type": "rect", "x0": low, "x1": high, "y0": 0, "y1": 1, "yref": "paper", "layer": "below",
        "fillcolor": "theme:band", "line": {"width": 0},
    }  # fmt: skip


def rounded(values: Iterable[float | None], digits: int = 7) -> list[float | None]:
    """Values with as many digits as a plot can show, and ``None`` where there is no finite one."""
    return [None if v is None or not math.isfinite(v) else float(f"{v:.{digits}g}") for v in values]


def thin(count: int, most: int, keep: Iterable[int] = ()) -> list[int]:
    """Indices of at most about ``most`` of so many points, evenly, with both ends and those to keep."""
    if count <= most:
        return list(range(count))
    chosen = {round(index * (count - 1) / (most - 1)) for index in range(most)}
    return sorted(chosen | {index for index in keep if 0 <= index < count})
