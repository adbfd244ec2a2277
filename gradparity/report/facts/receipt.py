"""The receipt: what ran where, with what, how often; all that the figures hold for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gradparity.formatting import duration, size
from gradparity.report.facts import words
from gradparity.report.facts.view import Cell, Column, Figures, Note, Table, pairs, tabulated
from gradparity.results import BackendInfo, OneThread, ProblemResult, RunResult, Timed, Timing


def receipt_line(result: RunResult) -> str:
    """Versions and machine in a line."""
    machines, threads = result.machines or {"": result.machine}, words.threads(result.problems)
    (name, machine), *others = machines.items()
    named = words.listed([*machines]) if len(machines) <= words.NAMED else f"{len(machines)} machines"
    where = f"{machine.get('cpu', 'unknown CPU')}, {_cores(machine)}{f' of {name}' * bool(name)}"
    parts = [
        f"gradparity {result.gradparity_version}",
        words.versions(result),
        f"Python {machine.get('python', 'unknown')}",
        f"measured on {named}" if others else where,
    ]
    return f"{'; '.join(filter(None, parts))}, {threads} thread{'s' * (threads != '1')} a backend{words.ranks(result)}"


def _cores(machine: dict[str, Any]) -> str:
    cores, usable = machine.get("cores", "?"), machine.get("usable_cores")
    return f"{cores} cores" if usable in (None, cores) else f"{usable} of {cores} cores"


def receipt_tables(result: RunResult) -> list[Table]:
    """Versions, the run, the machine."""
    columns: list[Column[BackendInfo]] = [
        Column("backend", lambda info: Cell(info.name)),
        Column("versions", lambda info: Cell(", ".join(f"{name} {v}" for name, v in info.versions.items()) or "-")),
        Column("threads", lambda _: Cell(words.threads(result.problems))),
    ]
    versions = tabulated("Backends and versions", result.backends, columns)
    own = pairs("Machine" if not result.machines else "Machine that asked", _machine(result.machine))
    return [versions, pairs("Run", _run(result)), own, *([_machines(result)] if result.machines else [])]


def receipt_details(result: RunResult) -> list[Table]:
    """Settings, environment, problems, raw counts: for who looks closer."""
    found = [pairs("Settings", [(name, _said(value)) for name, value in result.settings.items()])]
    if result.environment:
        found.append(pairs("Environment variables", result.environment.items()))
    if not result.many:  # whose models are in a table of their own
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


def _machines(result: RunResult) -> Table:
    """Those of a campaign, with how many problems each has measured."""
    fields = ("cpu", "usable_cores", "memory_bytes", "system", "python")
    shown = {
        name: dict(_machine({field: each.get(field) for field in fields})) for name, each in result.machines.items()
    }
    measured = Counter(problem.place.machine for problem in result.problems if problem.place is not None)

    def told(field: str) -> Column[str]:
        return Column(field, lambda name: Cell(shown[name][field]))

    columns = [
        Column("machine", lambda name: Cell(name)),
        *(told(field.removesuffix("_bytes").replace("_", " ")) for field in fields),
        Figures("problems", lambda name: words.count(measured[name])),
    ]
    note = "All backends of a problem are of one machine: times of two are in no ratio."
    return tabulated("Machines that measured", list(result.machines), columns, [note])


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
    columns: list[Column[ProblemResult]] = [
        Column("problem", lambda p: Cell(p.label)),
        Column("model", lambda p: Cell(words.model(p))),
        Column("data", lambda p: Cell(p.source)),
        Column("truth", lambda p: Cell(p.truth)),
        Column("digest of the data", lambda p: Cell(p.digest[:16])),
    ]
    if any(problem.place is not None for problem in problems):
        columns.append(Column("measured on", lambda p: Cell(p.place.machine if p.place is not None else "")))
    return tabulated("Problems", problems, columns)


def _counts(problems: list[ProblemResult]) -> Table:
    """Raw counts of every kind of call that was timed."""
    kinds = (
        *(("step", "step"), ("loop", "loop"), ("primal", "loss alone"), ("collected", "collector on")),
        ("communication", "communication alone"),
    )
    counted = [
        (problem, timing, name, timed)
        for problem in problems
        for timing in problem.clocks
        for attribute, name in kinds
        if (timed := getattr(timing, attribute)) is not None
    ]
    columns: list[Column[tuple[ProblemResult, Timing, str, Timed]]] = [
        Column("problem", lambda c: Cell(c[0].label)),
        Column("backend", lambda c: Cell(c[1].backend)),
        Column("call", lambda c: Cell(c[2])),
        Figures("process pairs", lambda c: words.count(c[3].ratio.pairs if c[3].ratio else None)),
        Figures("rounds", lambda c: words.count(len(c[3].rounds))),
        Figures("discarded", lambda c: words.count(c[3].ratio.discarded if c[3].ratio else None)),
        Figures("blocks", lambda c: words.count(4 * len(c[3].rounds) + len(c[3].blocks))),
        Figures("calls a block", lambda c: Cell(", ".join(map(str, c[3].inner)) or "-", max(c[3].inner, default=0))),
        Figures("warm-up calls", lambda c: words.count(sum(warm_up.calls for warm_up in c[3].warm_ups))),
        Figures("cpu/wall alone", lambda c: _alone(c[1].one_thread)),
    ]
    note = "A reference's blocks stand in the rounds of the others; results.json has every raw block."
    return tabulated("Raw counts of the timing", counted, columns, [note])


def _alone(proof: OneThread | None) -> Cell:
    note = "tied to one core" if proof and proof.pinned else ""
    return replace(words.share(proof.cpu_per_wall if proof else None), note=note)
