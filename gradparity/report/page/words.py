"""The page's words and figures: verdicts with a symbol, numbers of any size, names of blocks and runs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from gradparity.benchmark.stats import Comparison, MedianInterval
from gradparity.formatting import duration, large, printable, ratio, three
from gradparity.report.facts.faults import optimiser
from gradparity.report.page.view import Cell, Kind, missing
from gradparity.results import GOOD, Finding, ProblemResult, Training

#: A symbol for every verdict, so that none is told by its colour alone; all are in the fonts of common systems.
MARKS: Mapping[str, str] = {
    "agrees": "✓",
    "kink": "∧",
    "unstable": "≈",
    "wrong": "✗",
    "nonfinite": "∞",
    "impure": "↻",
    "nondeterministic": "?",
    "failed": "!",
    "faster": "▲",
    "slower": "▼",
    "equivalent": "=",
    "undecided": "?",
    "reference": "•",
}
_KINDS: Mapping[str, Kind] = {
    **dict.fromkeys(("agrees", "kink", "faster"), "good"),
    **dict.fromkeys(("unstable", "nondeterministic"), "warn"),
    **dict.fromkeys(("slower", "equivalent", "undecided"), ""),
    "reference": "muted",
}


def mark(verdict: str) -> str:
    """The symbol of a verdict."""
    return MARKS.get(verdict, "✗")


def kind(verdict: str) -> Kind:
    """How a verdict looks."""
    return _KINDS.get(verdict, "bad")


def verdict_cell(verdict: str) -> Cell:
    """A verdict with its symbol."""
    return Cell(verdict, kind=kind(verdict), mark=mark(verdict))


def figure(value: float | None) -> Cell:
    """Three significant digits, with an exponent where it takes one."""
    return missing() if value is None else Cell(f"{value:.3g}", value)


def sized(value: float | None, unit: str = "") -> Cell:
    """A figure that may be of any size, with its unit."""
    return missing() if value is None else Cell(f"{large(value)} {unit}".strip(), value)


def seconds(value: float | None) -> Cell:
    """A time given in seconds."""
    return missing() if value is None else Cell(duration(1e9 * value), value)


def loss(value: float | None) -> Cell:
    """A loss with the digits that two backends are compared in."""
    return Cell("not finite", math.inf, kind="bad") if value is None else Cell(f"{value:.12g}", value)


def step(found: MedianInterval | None) -> Cell:
    """A median with its interval below."""
    if found is None:
        return missing()
    return Cell(duration(found.median), found.median, note=f"{duration(found.low)} to {duration(found.high)}")


def compared(found: Comparison | None) -> Cell:
    """A ratio with its interval below."""
    if found is None or found.ratio is None:
        return missing()
    if found.low is None or found.high is None:
        return Cell(ratio(found.ratio), found.ratio, note="no interval")
    return Cell(ratio(found.ratio), found.ratio, note=f"[{three(found.low)}, {three(found.high)}]")


def block(found: Finding) -> str:
    """``gradient W``, or ``loss``."""
    return f"{found.quantity} {found.parameter}".strip()


def entry(found: Finding) -> str:
    """The block and the entry of it that decided: ``gradient W[0, 1]``."""
    index = f"[{', '.join(map(str, found.worst_index))}]" if found.worst_index else ""
    return block(found) + index


def run_name(ran: Training) -> str:
    """A training run by backend and optimiser."""
    return f"{ran.backend}, {optimiser(ran)}"


def backends(problem: ProblemResult) -> list[str]:
    """Everybody who was asked, in the order of the findings."""
    named = [found.backend for found in problem.findings] + [ran.backend for ran in problem.training]
    return list(dict.fromkeys([*named, *(timing.backend for timing in problem.timings)]))


def bad_verdicts(problem: ProblemResult, backend: str) -> list[str]:
    """What a backend got but good verdicts, each once."""
    return list(dict.fromkeys(found.verdict for found in problem.not_good if found.backend == backend))


def good(verdict: str) -> bool:
    """Whether a verdict leaves the exit code at 0."""
    return verdict in GOOD


def model(problem: ProblemResult) -> str:
    """The model in a line: its size, formulation, dtype."""
    spec: Mapping[str, Any] = problem.spec
    if "features" in spec:
        width = f", L = {spec['projection']}" if "projection" in spec else ", no projection"
        return (
            f"{problem.rows:,} rows, {spec['features']} features{width}; {spec.get('formulation', '')}, "
            f"{spec.get('dtype', '')}, {spec.get('reduction', '')} over rows"
        )
    arrays = spec.get("parameters", [])
    count = sum(math.prod(shape) for _, shape, _ in arrays)
    dtypes = " and ".join(dict.fromkeys(dtype for _, _, dtype in arrays))
    return f"{count:,} parameter{'s' * (count != 1)} in {len(arrays)} array{'s' * (len(arrays) != 1)}, {dtypes}"


def plain(text: str) -> str:
    """Text from outside on one line, without control sequences."""
    return printable(text)
