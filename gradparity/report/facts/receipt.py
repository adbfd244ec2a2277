"""The receipt: what ran where, with what, how often; all that the figures hold for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gradparity.formatting import duration, size
from gradparity.report.facts import words
from gradparity.report.facts.view import Cell, Head, Note, Table, heads, missing, pairs
from gradparity.results import ProblemResult, RunResult, Timed, Timing


def receipt_tables(result: RunResult) -> list[Table]:
    """Versions, the run, the machine."""
    versions = Table(
        "Backends and versions",
        heads("backend", "versions", "threads"),
        [
            [Cell(info.name), Cell(_listed(info.versions)), Cell(words.threads(result.problems))]
            for info in result.backends
        ],
    )
    return [versions, pairs("Run", _run(result)), pairs("Machine", _machine(result.machine))]


def receipt_details(result: RunResult) -> list[Table]:
    """Settings, environment, problems, raw counts: for who looks closer."""
    found = [pairs("Settings", [(name, _said(value)) for name, value in result.settings.items()])]
    if result.environment:
        found.append(pairs("Environment variables", result.environment.items()))
    found.append(_problems(result.problems))
    return [*found, _counts(result.problems)] if any(problem.timings for problem in result.problems) else found


def receipt_notes(result: RunResult) -> list[Note]:
    """What was left out, and what is missing."""
    left = [*result.left_out, *(f"{problem.label}: {what}" for problem in result.problems for what in problem.left_out)]
    text = "the run ended before everything was measured; what is here was found until then."
    return [
        *([] if result.complete else [Note("Not complete:", text, kind="warn", mark="!")]),
        *(Note("Left out:", what, kind="warn", mark="-") for what in left),
        *(
            Note(f"{info.name} is missing.", "", [f"Add it with: {info.cure}"], "warn", "-")
            for info in result.backends
            if info.cure
        ),
    ]


def _listed(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in versions.items()) or "-"


def _run(result: RunResult) -> list[tuple[str, str]]:
    sessions = result.sessions
    return [
        ("command", f"gradparity {result.command}"),
        ("gradparity", result.gradparity_version),
        ("schema of results.json", str(result.schema_version)),
        ("complete", "yes" if result.complete else "no"),
        ("problems", str(len(result.problems))),
        *(
            (
                f"session {number}" if len(sessions) > 1 else "started",
                f"{each.started}, {duration(1e9 * each.seconds)}",
            )
            for number, each in enumerate(sessions, 1)
        ),
    ]


def _machine(machine: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        (
            name.removesuffix("_bytes").replace("_", " "),
            size(value) if name.endswith("_bytes") and isinstance(value, int) else _said(value),
        )
        for name, value in machine.items()
    ]


def _said(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_said, value)) or "none"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={_said(each)}" for name, each in value.items()) or "none"
    if value is None:
        return "none"
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def _problems(problems: list[ProblemResult]) -> Table:
    rows = [[Cell(p.label), Cell(words.model(p)), Cell(p.source), Cell(p.truth), Cell(p.digest[:16])] for p in problems]
    return Table("Problems", heads("problem", "model", "data", "truth", "digest of the data"), rows)


def _counts(problems: list[ProblemResult]) -> Table:
    """Raw counts of every kind of call that was timed."""
    figures = ("process pairs", "rounds", "discarded", "blocks", "calls a block", "warm-up calls", "cpu/wall alone")
    kinds = (("step", "step"), ("loop", "loop"), ("primal", "loss alone"), ("collected", "collector on"))
    rows = [
        [Cell(problem.label), Cell(timing.backend), Cell(name), *_count(timing, timed)]
        for problem in problems
        for timing in (*problem.timings, *([problem.twin] if problem.twin else []))
        for attribute, name in kinds
        if (timed := getattr(timing, attribute)) is not None
    ]
    columns = [Head("problem"), Head("backend"), Head("call"), *(Head(name, figures=True) for name in figures)]
    note = "A reference's blocks stand in the rounds of the others; results.json has every raw block."
    return Table("Raw counts of the timing", columns, rows, [note])


def _count(timing: Timing, timed: Timed) -> list[Cell]:
    found, one = timed.ratio, timing.one_thread
    return [
        words.count(found.pairs if found else None),
        words.count(len(timed.rounds)),
        words.count(found.discarded if found else None),
        words.count(4 * len(timed.rounds) + len(timed.blocks)),
        Cell(", ".join(map(str, timed.inner)) or "-", max(timed.inner, default=0)),
        words.count(sum(warm_up.calls for warm_up in timed.warm_ups)),
        Cell(f"{one.cpu_per_wall:.2f}", one.cpu_per_wall, "tied to one core" if one.pinned else "")
        if one is not None
        else missing(),
    ]
