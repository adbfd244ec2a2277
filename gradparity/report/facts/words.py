"""Words and figures of every report: verdicts with a symbol, numbers of any size, names of blocks, runs and models."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from gradparity.backends import registered
from gradparity.benchmark.stats import Comparison, MedianInterval
from gradparity.formatting import BY_GRADIENT, apart, duration, large, ratio, shortened, three
from gradparity.report.facts.view import Cell, Kind, Note, missing
from gradparity.results import GOOD, Finding, ProblemResult, RunResult, Timed

#: How every verdict looks, and a symbol, so that none is told by its colour alone; all are in common fonts.
_LOOKS: Mapping[str, tuple[Kind, str]] = {
    "agrees": ("good", "✓"), "kink": ("good", "∧"), "unstable": ("warn", "≈"), "wrong": ("bad", "✗"),
    "unresolved": ("warn", "~"),
    "nonfinite": ("bad", "∞"), "impure": ("bad", "↻"), "nondeterministic": ("warn", "?"), "failed": ("bad", "!"),
    "faster": ("good", "▲"), "slower": ("", "▼"), "equivalent": ("", "="), "undecided": ("", "?"),
    "reference": ("muted", "•"), "disagrees": ("bad", "✗"), "not compared": ("warn", "?"), "known": ("warn", "•"),
}  # fmt: skip
#: So many names are written out, and of more the number is told.
NAMED = 3
#: Characters of a sentence of ours that quotes expressions and places of two ports, each of which is short, or tells
#: which rule each block follows.
MOST_QUOTING = 1200
#: From so many ulps on, all digits of float64, what agrees has a true value that is nothing beside its block's.
_NO_FIGURE = 2.0**53
#: Where the first clause of a text ends: not at a decimal point, which no space follows.
_CLAUSE = re.compile(r"[:;.] ")


def mark(verdict: str) -> str:
    """The symbol of a verdict."""
    return _LOOKS.get(verdict, _LOOKS["wrong"])[1]


def kind(verdict: str) -> Kind:
    """How a verdict looks."""
    return _LOOKS.get(verdict, _LOOKS["wrong"])[0]


def verdict_cell(verdict: str, value: float | None = None, note: str = "") -> Cell:
    """A verdict with its symbol; nothing where there is none."""
    return Cell(verdict, value, note, kind=kind(verdict), mark=mark(verdict)) if verdict else missing()


def _figures(said: Callable[[float], str]) -> Callable[[float | None], Cell]:
    """What makes a cell of a number, or of none."""
    return lambda value: missing() if value is None else Cell(said(value), value)


#: Three significant digits, with an exponent where it takes one.
figure = _figures("{:.3g}".format)
#: A relative error with the two digits that it is good for.
relative = _figures("{:.2g}".format)
#: A figure that may be of any size.
sized = _figures(large)
#: A whole number.
count = _figures("{:,}".format)
#: A share, or CPU over wall-clock time.
share = _figures("{:.2f}".format)
#: How many times.
times = _figures(ratio)
#: A time given in nanoseconds.
nanoseconds = _figures(duration)


def held(got: float | None, expected: float | None, *, same: bool = False) -> tuple[Cell, Cell]:
    """What was got and what it is held to: unless they are the ``same``, with the digits in which they differ."""
    if got is None or expected is None or same or got == expected:
        return figure(got), figure(expected)
    one, two = apart(got, expected, digits=3)
    return Cell(one, got), Cell(two, expected)


def seconds(value: float | None, note: str = "") -> Cell:
    """A time given in seconds."""
    return missing() if value is None else Cell(duration(1e9 * value), value, note)


def loss(value: float | None) -> Cell:
    """A loss with the digits that two backends are compared in."""
    return Cell("not finite", math.inf, kind="bad") if value is None else Cell(f"{value:.12g}", value)


def step(found: MedianInterval | None) -> Cell:
    """A median with its interval."""
    if found is None:
        return missing()
    return Cell(duration(found.median), found.median, f"[{duration(found.low)}, {duration(found.high)}]")


def compared(found: Comparison | None) -> Cell:
    """A ratio with its interval."""
    if found is None or found.ratio is None:
        return missing()
    return Cell(ratio(found.ratio), found.ratio, interval(found.low, found.high) or "no interval")


def jvps_by_gradient(problems: Iterable[ProblemResult]) -> list[tuple[str, str]]:
    """Whose JVP is its gradient times the direction, and why: of several problems the first's words."""
    found = (finding for problem in problems for finding in problem.findings if finding.quantity == "jvp")
    said: dict[str, str] = {}
    for each in found:
        _, by, why = each.rule.partition(f"{BY_GRADIENT}: ")
        if by:
            said.setdefault(each.backend, by + why)
    return list(said.items())


def reference(timed: Sequence[str], problem: ProblemResult) -> str:
    """Whom the speed of those that were timed is told by; ``""`` where the reference was not timed itself."""
    return problem.reference if problem.reference in timed else ""


def speed_head(reference: str) -> str:
    """The head of a column of speeds."""
    return f"speed, {reference} = 1" if reference else "speed"


def speed(found: Timed | None, *, reference: bool) -> Cell:
    """How many times as fast as the reference, which itself is 1; nothing of one that was timed without it."""
    if found is None:
        return missing()
    known = found.ratio is not None or found.speed is not None
    return compared(found.ratio) if known else Cell("1", 1.0) if reference else missing()


def interval(low: float | None, high: float | None) -> str:
    """``[1.97, 2.03]``; nothing where an end is not known."""
    return "" if low is None or high is None else f"[{three(low)}, {three(high)}]"


def ulps(found: Finding) -> float | None:
    """The error in units in the last place of the true value; ``None`` where that is nothing."""
    zero = found.truth is not None and abs(found.truth) < sys.float_info.min
    pointless = found.error_ulps is not None and found.error_ulps >= _NO_FIGURE and found.verdict in GOOD
    return None if zero or pointless else found.error_ulps


def entry(found: Finding) -> str:
    """The block and the entry of it that decided: ``gradient W[0, 1]``."""
    index = f"[{', '.join(map(str, found.worst_index))}]" if found.worst_index else ""
    return found.block + index


def backends(problem: ProblemResult) -> list[str]:
    """Everybody who was asked, in the order of the findings."""
    named = [found.backend for found in problem.findings] + [ran.backend for ran in problem.training]
    return list(dict.fromkeys([*named, *(timing.backend for timing in problem.timings)]))


def bad_verdicts(problem: ProblemResult, backend: str) -> list[str]:
    """What a backend got but good verdicts, each once."""
    return list(dict.fromkeys(found.verdict for found in problem.not_good if found.backend == backend))


def model(problem: ProblemResult) -> str:
    """The model in a line: its size, formulation, dtype; ``""`` where it is not known."""
    spec: Mapping[str, Any] = problem.spec
    if "features" in spec:
        width = f", L = {spec['projection']}" if "projection" in spec else ", no projection"
        return (
            f"{problem.rows:,} rows, {spec['features']} features{width}; {spec.get('formulation', '')}, "
            f"{spec.get('dtype', '')}, {spec.get('reduction', '')} over rows"
        )
    arrays = spec.get("parameters", [])
    if not arrays:  # it was never drawn
        return ""
    entries = sum(math.prod(shape) for _, shape, _ in arrays)
    dtypes = " and ".join(dict.fromkeys(dtype for _, _, dtype in arrays))
    return f"{counted(entries, 'parameter')} in {counted(len(arrays), 'array')}, {dtypes}"


def problem_lines(problem: ProblemResult) -> list[str]:
    """What stands under a problem's name: its model, where its data is from, how the truth is known, where it ran."""
    truth = f"Truth: {problem.truth}" if problem.truth else ""
    place = f"Measured on {problem.place.machine}" if problem.place is not None and problem.place.machine else ""
    return [line for line in (model(problem), problem.source, truth, place) if line]


def versions(result: RunResult) -> str:
    """Every package that computed; where two backends have two versions of one, with whose it is."""
    found: dict[str, dict[str, list[str]]] = {}
    for info in result.backends:
        for name, version in info.versions.items():
            found.setdefault(name, {}).setdefault(version, []).append(info.name)
    return ", ".join(
        name + " " + version + (f" ({', '.join(whose)})" if len(by_version) > 1 else "")
        for name, by_version in sorted(found.items())
        for version, whose in by_version.items()
    )


def threads(problems: Iterable[ProblemResult]) -> str:
    """The number of threads a backend, or ``1 or 2`` where there are several."""
    return " or ".join(map(str, sorted({problem.threads for problem in problems} or {1})))


def ranks(result: RunResult) -> str:
    """``, 2 ranks``, where a sharded backend has run."""
    ran = {found.backend for problem in result.problems for found in problem.findings}
    several = any(each.sharded for name, each in registered().items() if name in ran)
    return f", {counted(result.settings.get('ranks', 1), 'rank')}" if several else ""


def counted(number: int, noun: str) -> str:
    """``1 step``, ``1,000 steps``."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def listed(names: Sequence[str], most: int = NAMED) -> str:
    """``a, b and c``, or ``a, b, c and 4 more``."""
    shown = [*names[:most], *([f"{len(names) - most} more"] if len(names) > most else [])]
    return f"{', '.join(shown[:-1])} and {shown[-1]}" if len(shown) > 1 else "".join(shown)


def clause(text: str) -> str:
    """The first clause of a text, for who has little room."""
    return _CLAUSE.split(text, maxsplit=1)[0]


def brief(note: Note) -> str:
    """A note's name and the first clause of its text, cut where they are long."""
    text = clause(note.short or note.text).partition(" (")[0].rstrip(".:")
    return shortened(" ".join(filter(None, [note.name, text])), 90)


def sentence(text: str) -> str:
    """The text with a full stop, unless it has one."""
    return text if text.endswith(".") or not text else f"{text}."
