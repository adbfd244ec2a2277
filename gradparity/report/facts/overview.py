"""The first screen of every report as plain facts: do they agree, who is off and why, which to choose, what to know.

Terminal, Markdown and HTML say the same because they all say this. No colours and no markup here; texts that came from
elsewhere (names, exceptions) are as they came, and whoever prints them escapes them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from gradparity.benchmark.schedule import is_twin
from gradparity.judge.speed.choice import doubts
from gradparity.report.facts.faults import Failure, Off, failures, off
from gradparity.report.facts.standings import Choice, Clocked, Standing, choices, standings
from gradparity.results import ProblemResult, RunResult

__all__ = ["Choice", "Clocked", "Failure", "Note", "Off", "Overview", "Standing", "State", "overview"]

#: ``nothing``: no backend was held against anything.
State: TypeAlias = Literal["agrees", "disagrees", "failed", "incomplete", "nothing"]
#: So many names are written out, and of more the number is told.
_NAMED = 3
#: Where the first clause of a text ends: not at a decimal point, which no space follows.
_CLAUSE = re.compile(r"[:;.] ")


@dataclass(frozen=True, kw_only=True)
class Note:
    """Something to know beside verdicts and times: a ``subject``, what there is to say of it, and what to do."""

    kind: Literal["missing", "left out", "idle", "expected", "diagnosis", "unstable"]
    subject: str
    text: str
    cure: str = ""

    @property
    def short(self) -> str:
        """The text's first clause, for who has little room; what to do is said in ``cure``."""
        return _CLAUSE.split(self.text, maxsplit=1)[0]


@dataclass(frozen=True, kw_only=True)
class Overview:
    """What a person asks first of a run. ``problems`` are the labels of all, ``asked`` what it was a run of."""

    state: State
    headline: str
    asked: str
    problems: tuple[str, ...]
    off: tuple[Off, ...]
    failures: tuple[Failure, ...]
    standings: tuple[Standing, ...]
    choices: tuple[Choice, ...]
    notes: tuple[Note, ...]
    receipt: str


def overview(result: RunResult) -> Overview:
    """The first screen of a result of any kind: check, run, bench or stress suite, whole or not finished."""
    faults, troubles = off(result), failures(result)
    blamed = {fault.backend for fault in faults if not fault.undecided}
    unknown = {fault.backend for fault in faults} - blamed
    lines = tuple(
        replace(line, verdict="undecided") if line.backend in unknown and line.verdict == "wrong" else line
        for line in standings(result)
    )
    state = _state(result, faults, troubles, lines)
    return Overview(
        state=state,
        headline=_headline(result, state, faults, troubles, lines),
        asked=_asked(result),
        problems=tuple(problem.label for problem in result.problems),
        off=faults,
        failures=troubles,
        standings=lines,
        choices=choices(result),
        notes=tuple(_notes(result)),
        receipt=_receipt(result),
    )


def _state(result: RunResult, faults: Sequence[Off], troubles: Sequence[Failure], lines: Sequence[Standing]) -> State:
    if not result.complete:
        return "incomplete"
    if faults:
        return "disagrees"
    if troubles:
        return "failed"
    return "agrees" if any(line.verdict for line in lines) else "nothing"


def _headline(
    result: RunResult, state: State, faults: Sequence[Off], troubles: Sequence[Failure], lines: Sequence[Standing]
) -> str:
    """One sentence, or two where a run has two things to say."""
    failed = [name for name in dict.fromkeys(t.backend for t in troubles) if not is_twin(name)]
    bad = list(dict.fromkeys(fault.backend for fault in faults))
    good = [line.backend for line in lines if line.verdict == "agrees"]
    where = _asked(result)
    if not any(line.verdict for line in lines):
        said = _nothing(result)
    elif bad:
        said = _off(faults, bad, len(lines), where)
    elif good:
        said = _agree(result, good, where)
    else:
        said = f"Nothing could be checked on {where}: {listed(failed)} failed."
    if failed and (bad or good):
        stages = list(dict.fromkeys(t.stage for t in troubles))
        said = f"{said.rstrip('.')}; {listed(failed)} failed in {listed(stages)}."
    return said if state != "incomplete" else f"Not finished. So far: {said[0].lower()}{said[1:]}"


def _agree(result: RunResult, good: Sequence[str], where: str) -> str:
    against = "with each other" if _pairwise_only(result) else "with the truth"
    if len(good) == 1:
        return f"{good[0]} agrees {against} on {where}."
    return f"All {len(good)} backends agree{f' {against}' if _pairwise_only(result) else ''} on {where}."


def _off(faults: Sequence[Off], bad: list[str], count: int, where: str) -> str:
    if all(fault.undecided for fault in faults):
        return f"{listed(bad)} differ on {where}, and nothing here says which is off."
    bad = list(dict.fromkeys(fault.backend for fault in faults if not fault.undecided))
    verdicts = {
        name: dict.fromkeys(v for fault in faults if fault.backend == name for v in fault.verdicts) for name in bad
    }
    named = [f"{name} ({', '.join(verdicts[name])})" for name in bad]
    agree = "does" if len(bad) == 1 else "do"
    return f"{len(bad)} of {count} backend{'s' * (count != 1)} {agree} not agree on {where}: {listed(named)}."


def _nothing(result: RunResult) -> str:
    said = [each.finding for problem in result.problems for each in problem.diagnoses if "nothing" in each.name]
    return f"Nothing was compared{': ' + said[0].rstrip('.') if said else ''}."


def _pairwise_only(result: RunResult) -> bool:
    return all(problem.pairwise is not None for problem in result.problems if problem.findings)


def _asked(result: RunResult) -> str:
    """What the run was of, as the end of a sentence: ``toy and iris``, ``12 problems``, ``the stress suite``."""
    labels = [problem.label for problem in result.problems]
    if result.settings.get("stress"):
        model = result.settings.get("model")
        return f"the stress suite ({len(labels)} problems{f' of {model}' if model else ''})"
    return (_and(labels) if len(labels) <= _NAMED else f"{len(labels)} problems") or "any problem"


def _notes(result: RunResult) -> Iterable[Note]:
    """What is left to know, the most consequential first."""
    budget = "for the time budget" if result.settings.get("budget_s") else ""
    for problem in result.problems:
        for what in problem.left_out:
            yield Note(kind="left out", subject=problem.label, text=what, cure=budget)
    for what in result.left_out:
        yield Note(kind="left out", subject=what, text="", cure=budget)
    if not result.settings.get("backends"):  # who named some has not asked for the others
        for info in result.backends:
            if info.cure:
                yield Note(kind="missing", subject=info.name, text="is not installed", cure=info.cure)
    yield from _grouped("idle", ((name, why, "", p) for p in result.problems for name, why in p.idle.items()))
    yield from _expected(result.problems)
    yield from _grouped(
        "diagnosis", ((each.name, each.finding, each.cure, p) for p in result.problems for each in p.diagnoses)
    )
    for problem in result.problems:
        for said in doubts(timing for timing in problem.timings if timing.starts):
            yield Note(kind="unstable", subject=problem.label, text=said)


def _grouped(kind: Literal["idle", "diagnosis"], rows: Iterable[tuple[str, str, str, ProblemResult]]) -> Iterable[Note]:
    """The same of several problems once: the first's words, and where else it holds."""
    found: dict[str, list[tuple[str, str, str]]] = {}
    for name, text, cure, problem in rows:
        found.setdefault(name, []).append((problem.label, text, cure))
    for name, each in found.items():
        labels, texts, cures = zip(*each, strict=True)
        where = f" on {listed(labels)}" if kind == "diagnosis" else ""
        yield Note(kind=kind, subject=f"{name}{where}", text=texts[0], cure=cures[0])


def _expected(problems: Iterable[ProblemResult]) -> Iterable[Note]:
    """Failures of a formula that the stress suite is there to show."""
    shown: dict[str, list[str]] = {}
    for problem in problems:
        if problem.expected and problem.findings:
            backends = {f.backend for f in problem.findings}
            failing = {f.backend for f in problem.findings if f.verdict == "nonfinite"}
            how = (
                "as expected on all backends"
                if failing == backends
                else f"on {len(failing)} of {len(backends)} backends"
            )
            shown.setdefault(f"{problem.expected}: {how}", []).append(problem.label)
    for text, labels in shown.items():
        yield Note(kind="expected", subject=listed(labels), text=text)


def _receipt(result: RunResult) -> str:
    machine, threads = result.machine, sorted({problem.threads for problem in result.problems} or {1})
    parts = [
        f"gradparity {result.gradparity_version}",
        *([versions(result)] if versions(result) else []),
        f"Python {machine.get('python', 'unknown')}",
        f"{machine.get('cpu', 'unknown CPU')}, {_cores(machine)}",
    ]
    return f"{'; '.join(parts)}, {' or '.join(map(str, threads))} thread{'s' * (threads != [1])} a backend"


def _cores(machine: dict[str, Any]) -> str:
    cores, usable = machine.get("cores", "?"), machine.get("usable_cores")
    return f"{cores} cores" if usable in (None, cores) else f"{usable} of {cores} cores"


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


def listed(names: Sequence[str]) -> str:
    """``a, b and c``, or ``a, b, c and 4 more``."""
    shown = [*names[:_NAMED], *([f"{len(names) - _NAMED} more"] if len(names) > _NAMED else [])]
    return _and(shown)


def _and(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else "".join(words)
