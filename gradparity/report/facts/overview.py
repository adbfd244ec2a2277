"""The first screen of every report: do they agree, who disagrees and why, which to choose, what to know.

Terminal, Markdown, page and notebook say the same because they all show this. No colours and no markup here; texts that
came from elsewhere (names, exceptions) are as they came, and whoever prints them escapes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from gradparity.benchmark.schedule import is_twin
from gradparity.judge.speed.choice import doubts
from gradparity.report.facts import words
from gradparity.report.facts.faults import Fault, failure_notes, fault_notes, faults
from gradparity.report.facts.kinks import kinks
from gradparity.report.facts.standings import Standing, choices_table, standings, standings_table, times_table
from gradparity.report.facts.view import Kind, Note, Table
from gradparity.report.facts.words import listed
from gradparity.results import GOOD, NEUTRAL_IS_ODD, ProblemResult, RunResult

#: ``nothing``: no backend was held against anything.
State: TypeAlias = Literal["agrees", "disagrees", "unresolved", "failed", "incomplete", "nothing"]
#: A sign beside the words, so that a colour is never all that says it.
_SIGNS: dict[State, tuple[Kind, str]] = {
    "agrees": ("good", "✓"), "disagrees": ("bad", "✗"), "unresolved": ("warn", "~"), "failed": ("bad", "!"),
    "incomplete": ("warn", "…"), "nothing": ("warn", "·"),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Overview:
    """What a person asks first of a run. ``faults`` are who disagrees or failed, ``notes`` what else to know."""

    state: State
    headline: str
    faults: tuple[Note, ...]
    standings: Table | None
    choices: Table | None
    times: Table | None
    notes: tuple[Note, ...]
    receipt: str

    @property
    def sign(self) -> tuple[Kind, str]:
        """How the headline looks, and the symbol before it."""
        return _SIGNS[self.state]

    @property
    def tables(self) -> list[Table]:
        """Those that there are, in order."""
        return [table for table in (self.standings, self.choices, self.times) if table is not None]


def overview(result: RunResult) -> Overview:
    """The first screen of a result of any kind: check, run, bench or stress suite, whole or not finished."""
    found = faults(result)
    blamed = {fault.backend for fault in found if not fault.undecided}
    lines = standings(result, {fault.backend for fault in found} - blamed)
    timed = [problem for problem in result.problems if problem.timings]
    state = _state(result, found, lines)
    return Overview(
        state=state,
        headline=_headline(result, state, found, lines),
        faults=(*fault_notes(found), *failure_notes(result)),
        standings=standings_table(lines, problems=len(result.problems)) if lines else None,
        choices=choices_table(timed, result.settings.get("steps", 1)) if timed else None,
        times=times_table(result.problems),
        notes=tuple(_notes(result)),
        receipt=receipt_line(result),
    )


def _state(result: RunResult, found: Sequence[Fault], lines: Sequence[Standing]) -> State:
    if not result.complete:
        return "incomplete"
    if found:
        return "unresolved" if all(fault.unresolved for fault in found) else "disagrees"
    if result.troubles or (result.unanswered and lines):
        return "failed"
    return "agrees" if any(line.verdict for line in lines) else "nothing"


def _headline(result: RunResult, state: State, found: Sequence[Fault], lines: Sequence[Standing]) -> str:
    """One sentence, or two where a run has two things to say."""
    failed = [name for name in dict.fromkeys(t.backend for t in result.troubles) if not is_twin(name)]
    good = [line.backend for line in lines if line.verdict in GOOD]
    where, left = _asked(result, good)
    if not any(line.verdict for line in lines):
        said = _nothing(result)
    elif found:
        said = _disagree(result.problems, found, len(lines), where)
    elif good:
        said = _agree(result, good, where)
    else:
        said = f"Nothing could be checked on {where}: {listed(failed)} failed."
    if failed and (found or good):
        stages = list(dict.fromkeys(t.stage for t in result.troubles))
        said = f"{said.rstrip('.')}; {listed(failed)} failed in {listed(stages)}."
    if left and any(line.verdict for line in lines):
        said = f"{said.rstrip('.')}; {left}."
    missing = [*result.unanswered, *not_given(result.problems)] if lines else []
    if missing:
        said = f"{said.rstrip('.')}; not compared: {listed(missing)}."
    return said if state != "incomplete" else f"Not finished. So far: {said[0].lower()}{said[1:]}"


def _agree(result: RunResult, good: Sequence[str], where: str) -> str:
    certified = any(problem.findings and problem.pairwise is None for problem in result.problems)
    differ = [said for problem in result.problems for said in kinks(problem) if said.differ]
    if differ:
        kink = "a kink" if len(differ) == 1 else f"{len(differ)} kinks"
        return f"No backend is wrong on {where}, and they differ by convention at {kink}: {differ[0]}."
    if len(good) == 1:
        return f"{good[0]} agrees with {'the truth' if certified else 'each other'} on {where}."
    return f"All {len(good)} backends agree{'' if certified else ' with each other'} on {where}."


def _disagree(problems: Sequence[ProblemResult], found: Sequence[Fault], count: int, where: str) -> str:
    if all(fault.unresolved for fault in found):
        blocks = list(dict.fromkeys(block for fault in found for block in fault.blocks)) or ["training"]
        asked = list(dict.fromkeys(fault.backend for fault in found))
        verb = "is" if len(asked) == 1 else "are"
        return f"Not resolved on {where}: nothing here says whether {listed(asked)} {verb} right in {listed(blocks)}."
    odd = [each for problem in problems for each in problem.diagnoses if each.name == NEUTRAL_IS_ODD]
    if odd:
        return f"The neutral loss is the odd one on {where}: {odd[0].finding}."
    verdicts: dict[str, dict[str, None]] = {}
    for fault in found:
        if not fault.undecided:
            verdicts.setdefault(fault.backend, {}).update(dict.fromkeys(fault.verdicts))
    if not verdicts:
        names = listed(list(dict.fromkeys(fault.backend for fault in found)))
        relations = [p.pairwise.relation for p in problems if p.pairwise is not None and p.pairwise.relation]
        said = (
            f": {relations[0]}; nothing here says which is right"
            if relations
            else ", and nothing here says which is wrong"
        )
        alone = [fault.outlier for fault in found if fault.undecided and fault.outlier]
        if alone:
            differs = "differs" if len({fault.backend for fault in found}) == 1 else "differ"
            return f"{names} {differs} from the others on {where}: another loss, and nothing here says which is meant."
        return f"{names} differ on {where}{said}."
    named = [f"{name} ({', '.join(each)})" for name, each in verdicts.items()]
    agree = "does" if len(verdicts) == 1 else "do"
    return f"{len(verdicts)} of {words.counted(count, 'backend')} {agree} not agree on {where}: {listed(named)}."


def _nothing(result: RunResult) -> str:
    said = [each.finding for problem in result.problems for each in problem.diagnoses if "nothing" in each.name]
    left = [*result.left_out, *(what for problem in result.problems for what in problem.left_out)]
    if not result.complete:
        said = []  # whatever ended it did
    elif (left or not said) and limited(result) and not result.troubles:
        said = ["out of budget"]
    return f"Nothing was compared{': ' + said[0].rstrip('.') if said else ''}."


def limited(result: RunResult) -> bool:
    """Whether a time budget holds: one that was asked for, or that of a check."""
    return bool(result.settings.get("budget_s")) or result.command == "check"


def not_given(problems: Iterable[ProblemResult]) -> dict[str, tuple[str, str]]:
    """What was not compared, ``hvp of torch``, with why and what would give it: the first problem's words."""
    said: dict[str, tuple[str, str]] = {}
    for each in (each for problem in problems for each in problem.not_given):
        said.setdefault(str(each), (each.reason, each.cure))
    return said


def _asked(result: RunResult, good: Sequence[str]) -> tuple[str, str]:
    """What was compared, ``toy and iris``, ``12 problems``, ``the stress suite``, and how many problems were not.

    Of a problem that one of those who agree did not come to, nothing is said to agree.
    """
    labels = [problem.label for problem in result.problems]
    total = max(result.planned, len(labels))
    done = sum({f.backend for f in p.findings} | {*p.idle} >= {*good} and bool(p.findings) for p in result.problems)
    if done < total and total > 1:
        budget = ": out of budget" * (limited(result) and result.complete)
        return f"{done} of {total} problems", f"{total - done} not compared{budget}"
    if result.settings.get("stress"):
        model = result.settings.get("model")
        return f"the stress suite ({len(labels)} problems{f' of {model}' if model else ''})", ""
    return (listed(labels) if len(labels) <= words.NAMED else f"{len(labels)} problems") or "any problem", ""


def _notes(result: RunResult) -> Iterable[Note]:
    """What is left to know, the most consequential first."""
    budget = ", for the time budget" if limited(result) else ""
    left = [f"{problem.label}: {what}" for problem in result.problems for what in problem.left_out]
    for what in (*left, *result.left_out):
        yield _remark("Left out:", what + budget)
    if not result.settings.get("backends"):  # who named some has not asked for the others
        for info in result.backends:
            if info.cure:
                yield _remark(f"{info.name} is not installed:", "", info.cure)
    idle = [each for problem in result.problems for each in problem.idle.items()]
    for name, why in dict(reversed(idle)).items():  # of several problems the first's words
        yield _remark("Nothing to run:", f"{name}: {why}")
    for what, (reason, cure) in not_given(result.problems).items():
        yield _remark(f"Not compared, {what}:", words.sentence(reason), cure)
    for problem in result.problems:
        for kink in kinks(problem):
            yield _remark(f"Kink on {problem.label}:", f"{kink}.")
    yield from _expected(result.problems)
    diagnoses = [(problem.label, each) for problem in result.problems for each in problem.diagnoses]
    for name in dict.fromkeys(each.name for _, each in diagnoses):
        same = [(label, each) for label, each in diagnoses if each.name == name]
        first = same[0][1]  # the same of several problems once: the first's words, and where else it holds
        where = listed([label for label, _ in same])
        short = words.sentence(words.clause(first.finding))
        yield _remark(f"{name} on {where}:", words.sentence(first.finding), first.cure, short=short)
    for problem in result.problems:
        for said in doubts(timing for timing in problem.timings if timing.starts):
            yield _remark(f"{problem.label}:", said)


def _remark(name: str, text: str, *more: str, short: str = "") -> Note:
    return Note(name, text, [each for each in more if each], "warn", "·", short)


def _expected(problems: Iterable[ProblemResult]) -> Iterable[Note]:
    """Failures of a formula that the stress suite is there to show."""
    shown: dict[str, list[str]] = {}
    for problem in problems:
        if problem.expected and problem.findings:
            backends = {f.backend for f in problem.findings}
            failing = {f.backend for f in problem.findings if f.verdict == "nonfinite"}
            everybody = "as expected on all backends"
            how = everybody if failing == backends else f"on {len(failing)} of {len(backends)} backends"
            shown.setdefault(f"{problem.expected}: {how}", []).append(problem.label)
    for text, labels in shown.items():
        yield _remark(f"{listed(labels)}:", text)


def receipt_line(result: RunResult) -> str:
    """Versions and machine in a line."""
    machine, threads = result.machine, words.threads(result.problems)
    parts = [
        f"gradparity {result.gradparity_version}",
        words.versions(result),
        f"Python {machine.get('python', 'unknown')}",
        f"{machine.get('cpu', 'unknown CPU')}, {_cores(machine)}",
    ]
    return f"{'; '.join(filter(None, parts))}, {threads} thread{'s' * (threads != '1')} a backend"


def _cores(machine: dict[str, Any]) -> str:
    cores, usable = machine.get("cores", "?"), machine.get("usable_cores")
    return f"{cores} cores" if usable in (None, cores) else f"{usable} of {cores} cores"
