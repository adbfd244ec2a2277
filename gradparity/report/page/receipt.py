"""The receipt: what ran where, with what, how often; all that the figures hold for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gradparity.formatting import duration, size
from gradparity.report.page import words
from gradparity.report.page.view import Block, Cell, Head, Note, Table, heads, missing
from gradparity.results import ProblemResult, RunResult, Timed, Timing


def receipt(result: RunResult) -> list[Block]:
    """Versions, machine, settings, environment, raw counts, and what was left out."""
    left = [Note("Left out", what, kind="warn", mark="-") for what in _left_out(result)]
    if not result.complete:
        text = "The run ended before everything was measured: what is here was found until then."
        left.insert(0, Note("Not complete", text, kind="warn", mark="!"))
    absent = [
        Note(f"{info.name} is missing", "", f"Add it with: {info.cure}", "warn", "-")
        for info in result.backends
        if info.cure
    ]
    versions = Table(
        "Backends and versions",
        heads("backend", "versions", "threads"),
        [[Cell(info.name), Cell(_versions(info.versions) or "-"), Cell(_threads(result))] for info in result.backends],
    )
    tables = [versions, _pairs("Run", _run(result)), _pairs("Machine", _machine(result.machine))]
    environment: Mapping[str, str] = getattr(result, "environment", None) or {}
    folded = [_pairs("Settings", [(name, _said(value)) for name, value in result.settings.items()])]
    if environment:
        folded.append(_pairs("Environment variables", list(environment.items())))
    folded.append(_problems(result))
    if any(problem.timings for problem in result.problems):
        folded.append(_counts(result))
    return [Block("receipt-what", "", notes=[*left, *absent], tables=tables, folded=folded)]


def _left_out(result: RunResult) -> Iterable[str]:
    yield from result.left_out
    for problem in result.problems:
        yield from (f"{problem.label}: {what}" for what in problem.left_out)


def _threads(result: RunResult) -> str:
    counts = sorted({problem.threads for problem in result.problems}) or [1]
    return " or ".join(map(str, counts))


def _versions(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in versions.items())


def _run(result: RunResult) -> list[tuple[str, str]]:
    return [
        ("command", f"gradparity {result.command}"),
        ("gradparity", result.gradparity_version),
        ("schema of results.json", str(result.schema_version)),
        ("complete", "yes" if result.complete else "no"),
        ("problems", str(len(result.problems))),
        *(
            (f"session {number}" if len(result.sessions) > 1 else "started", f"{each.started}, {_took(each.seconds)}")
            for number, each in enumerate(result.sessions, 1)
        ),
    ]


def _took(seconds: float) -> str:
    return duration(1e9 * seconds)


def _machine(machine: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(name.removesuffix("_bytes").replace("_", " "), _measure(name, value)) for name, value in machine.items()]


def _measure(name: str, value: Any) -> str:
    if name.endswith("_bytes") and isinstance(value, int):
        return size(value)
    return _said(value)


def _said(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_said, value)) or "none"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={_said(each)}" for name, each in value.items()) or "none"
    if value is None:
        return "none"
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def _pairs(caption: str, pairs: Iterable[tuple[str, str]]) -> Table:
    return Table(caption, heads("what", "value"), [[Cell(name), Cell(value)] for name, value in pairs], fixed=True)


def _problems(result: RunResult) -> Table:
    return Table(
        "Problems",
        heads("problem", "model", "data", "truth", "digest of the data"),
        [
            [Cell(p.label), Cell(words.model(p)), Cell(p.source), Cell(p.truth), Cell(p.digest[:16])]
            for p in result.problems
        ],
    )


def _counts(result: RunResult) -> Table:
    """Raw counts of every kind of call that was timed."""
    figures = ("process pairs", "rounds", "discarded", "blocks", "calls a block", "warm-up calls", "cpu/wall alone")
    kinds = (("step", "step"), ("loop", "loop"), ("primal", "loss alone"), ("collected", "collector on"))
    rows = [
        [Cell(problem.label), Cell(timing.backend), Cell(name), *_count(timing, timed)]
        for problem in result.problems
        for timing in (*problem.timings, *([problem.twin] if problem.twin else []))
        for attribute, name in kinds
        if (timed := getattr(timing, attribute)) is not None
    ]
    columns = [Head("problem"), Head("backend"), Head("call"), *(Head(name, figures=True) for name in figures)]
    note = "A reference's blocks stand in the rounds of the others; results.json has every raw block."
    return Table("Raw counts of the timing", columns, rows, [note])


def _count(timing: Timing, timed: Timed) -> list[Cell]:
    found = timed.ratio
    one = timing.one_thread
    blocks = 4 * len(timed.rounds) + len(timed.blocks)
    alone = missing()
    if one is not None:
        alone = Cell(f"{one.cpu_per_wall:.2f}", one.cpu_per_wall, "tied to one core" if one.pinned else "")
    return [
        missing() if found is None else Cell(str(found.pairs), found.pairs),
        Cell(str(len(timed.rounds)), len(timed.rounds)),
        missing() if found is None else Cell(str(found.discarded), found.discarded),
        Cell(str(blocks), blocks),
        Cell(", ".join(map(str, timed.inner)) or "-", max(timed.inner, default=0)),
        Cell(f"{sum(w.calls for w in timed.warm_ups):,}", sum(w.calls for w in timed.warm_ups)),
        alone,
    ]


def problem_lines(problem: ProblemResult) -> list[str]:
    """What stands under a problem's name."""
    return [
        line
        for line in (words.model(problem), problem.source, f"Truth: {problem.truth}" if problem.truth else "")
        if line
    ]
