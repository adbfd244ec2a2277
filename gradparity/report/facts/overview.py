"""The first screen of every report: do they agree, who disagrees and why, which to choose, what to know.

Terminal, Markdown, page and notebook say the same because they all show this. No colours and no markup here; texts that
came from elsewhere (names, exceptions) are as they came, and whoever prints them escapes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from gradparity.benchmark.schedule import is_twin
from gradparity.judge.speed.choice import doubts
from gradparity.report.facts import campaign_said as together
from gradparity.report.facts import words
from gradparity.report.facts.baseline import baseline_notes, baseline_said
from gradparity.report.facts.campaign import Campaign, campaign
from gradparity.report.facts.faults import Fault, failure_notes, fault_notes, faults
from gradparity.report.facts.initialisers import initialisers_notes, initialisers_remarks, initialisers_said
from gradparity.report.facts.kinks import kinks
from gradparity.report.facts.own_training import (
    own_steps_left,
    own_training_notes,
    own_training_said,
    rules_alone,
    unheld_steps,
)
from gradparity.report.facts.receipt import receipt_line
from gradparity.report.facts.standings import Standing, choices_table, standings, standings_table, times_table
from gradparity.report.facts.view import Kind, Note, Table
from gradparity.report.facts.words import listed
from gradparity.results import GOOD, NEUTRAL_IS_ODD, NO_ANSWER, ProblemResult, RunResult

#: ``nothing``: no backend was held against anything.
State: TypeAlias = Literal["agrees", "known", "disagrees", "unresolved", "failed", "incomplete", "nothing"]
#: A sign beside the words, so that a colour is never all that says it.
_SIGNS: dict[State, tuple[Kind, str]] = {
    "agrees": ("good", "✓"), "known": ("good", "✓"), "disagrees": ("bad", "✗"), "unresolved": ("warn", "~"),
    "failed": ("bad", "!"), "incomplete": ("warn", "…"), "nothing": ("warn", "·"),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Overview:
    """What a person asks first of a run. ``faults`` are who disagrees or failed, ``notes`` what else to know.

    ``lines`` are what ``standings`` has as a table. Of many models ``campaign`` has them, and their ``causes`` are in
    place of faults.
    """

    state: State
    headline: str
    faults: tuple[Note, ...]
    campaign: Campaign | None
    causes: Table | None
    lines: tuple[Standing, ...]
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
        return [table for table in (self.causes, self.standings, self.choices, self.times) if table is not None]


def overview(result: RunResult) -> Overview:
    """The first screen of a result of any kind: check, run, bench or stress suite, whole or not finished."""
    found = faults(result)
    blamed = {fault.backend for fault in found if not fault.undecided}
    lines = standings(result, {fault.backend for fault in found} - blamed)
    timed = [problem for problem in result.problems if problem.timings]
    state, many = _state(result, found, lines), campaign(result)
    each = () if many is not None else (
        *fault_notes(found),
        *own_training_notes(result),
        *(note for problem in result.problems for note in initialisers_notes(problem)),
        *failure_notes(result),
    )  # fmt: skip
    table = together.tally(many, result.problems) if many else standings_table(lines, problems=result.problems)
    return Overview(
        state=state,
        headline=_headline(result, state, found, lines, many),
        faults=(*baseline_notes(result), *each),
        campaign=many,
        causes=None if many is None else together.causes_table(many),
        lines=tuple(lines),
        standings=table if lines else None,
        choices=choices_table(timed, result.settings.get("steps", 1)) if timed else None,
        times=times_table(result.problems),
        notes=tuple(_notes(result) if many is None else (*_missing(result), *together.notes(result))),
        receipt=receipt_line(result),
    )


def _state(result: RunResult, found: Sequence[Fault], lines: Sequence[Standing]) -> State:
    if not result.complete:
        return "incomplete"
    if result.baseline is not None and not result.baseline.ok:
        return "disagrees"
    if result.ok:
        return "known" if result.baseline is not None and result.baseline.known else "agrees"
    if result.baseline is not None:  # all that is known of it is known, and it is not all
        return "failed" if lines else "nothing"
    if found:
        return "unresolved" if all(fault.unresolved for fault in found) else "disagrees"
    if result.differs_as_written:
        own = [each.verdict for problem in result.problems for each in problem.as_written]
        return "unresolved" if {*own} <= {"agrees", "alone", "unresolved"} else "disagrees"
    silent = result.troubles or (result.unanswered and lines) or result.unasked
    return "failed" if silent or any(line.verdict for line in lines) else "nothing"


def _headline(
    result: RunResult, state: State, found: Sequence[Fault], lines: Sequence[Standing], many: Campaign | None
) -> str:
    """One sentence, or two where a run has two things to say."""
    lost = [*(t.backend for t in result.troubles), *(line.backend for line in lines if line.verdict == "failed")]
    failed = [name for name in dict.fromkeys(lost) if not is_twin(name)]
    good = [line.backend for line in lines if line.verdict in GOOD]
    where, left, compared = _asked(result, good)
    if not any(line.verdict for line in lines):
        said = _nothing(result)
    elif many is not None:
        said, found, failed, left = together.headline(many), (), [], ""
    elif found:
        said = _disagree(result.problems, found, len(lines), where, compared)
    elif good:
        said = _agree(result, good, where)
    else:
        said = _only_failed(result.problems, failed, where)
    for own in filter(None, (own_training_said(result), initialisers_said(result)) if found or good else ()):
        said = f"{said.rstrip('.')}; {own}."
    if result.troubles and failed and (found or good):
        stages = list(dict.fromkeys(t.stage for t in result.troubles))
        said = f"{said.rstrip('.')}; {listed(failed)} failed in {listed(stages)}."
    if left and any(line.verdict for line in lines):
        said = f"{said.rstrip('.')}; {left}."
    missing = [*result.unanswered, *_quantities(result.problems), *unheld_steps(result)] if lines else []
    if missing:
        said = f"{said.rstrip('.')}; not compared: {listed(missing)}."
    against = baseline_said(result)
    said = f"{said.rstrip('.')}; {against}." if against else said
    return said if state != "incomplete" else f"Not finished. So far: {said[0].lower()}{said[1:]}"


def _only_failed(problems: Sequence[ProblemResult], failed: Sequence[str], where: str) -> str:
    """What is said where no backend is good on all problems, and none disagrees: some may be, on some."""
    if not any(found.verdict not in NO_ANSWER for problem in problems for found in problem.findings):
        return f"Nothing could be checked on {where}: {listed(failed)} failed."
    labels = [problem.label for problem in problems if problem.troubles]
    some = listed(labels) if len(labels) <= words.NAMED else f"{len(labels)} of {len(problems)} problems"
    return f"{listed(failed)} failed on {some}; what else was checked agrees."


def _agree(result: RunResult, good: Sequence[str], where: str) -> str:
    certified = any(problem.findings and problem.pairwise is None for problem in result.problems)
    differ = [said for problem in result.problems for said in kinks(problem) if said.differ]
    if differ:
        kink = "a kink" if len(differ) == 1 else f"{len(differ)} kinks"
        return f"No backend is wrong on {where}, and they differ by convention at {kink}: {differ[0]}."
    if len(good) == 1:
        return f"{good[0]} agrees with {'the truth' if certified else 'the others'} on {where}."
    who = "Both" if len(good) == 2 else f"All {len(good)}"
    return f"{who} backends agree{'' if certified else ' with each other'} on {where}."


def _disagree(problems: Sequence[ProblemResult], found: Sequence[Fault], count: int, where: str, compared: str) -> str:
    """Who disagrees: of several problems each with on how many, so that nobody is taken to disagree on all of them."""

    def on(faults: Iterable[Fault]) -> str:
        labels = list(dict.fromkeys(label for fault in faults for label in fault.problems))
        shown = f" ({listed(labels)})" if len(labels) <= words.NAMED else ""
        most = max(sum(bool(problem.findings) for problem in problems), len(labels))
        return f"{len(labels)} of {words.counted(most, 'problem')}{compared}{shown}" if len(problems) > 1 else where

    where = on(found)
    if all(fault.unresolved for fault in found):
        blocks = list(dict.fromkeys(block for fault in found for block in fault.blocks)) or ["training"]
        if len({fault.problems for fault in found}) > 1 < len({tuple(fault.blocks) for fault in found}):
            blocks = ["all that is compared"]
        asked = list(dict.fromkeys(fault.backend for fault in found))
        verb = "is" if len(asked) == 1 else "are"
        return f"Not resolved on {where}: nothing here says whether {listed(asked)} {verb} right in {listed(blocks)}."
    odd = [each for problem in problems for each in problem.diagnoses if each.name == NEUTRAL_IS_ODD]
    if odd:
        return f"The neutral loss is the odd one on {where}: {odd[0].finding}."
    decided: dict[str, list[Fault]] = {}
    for fault in found:
        if not fault.undecided:
            decided.setdefault(fault.backend, []).append(fault)
    if not decided:
        names = listed(list(dict.fromkeys(fault.backend for fault in found)))
        relations = {p.pairwise.relation if p.pairwise is not None else "" for p in problems if p.not_good}
        relation = relations.pop() if len(relations) == 1 else ""
        said = (
            f": {relation}; nothing here says which is right" if relation else ", and nothing here says which is wrong"
        )
        if all(fault.outlier for fault in found):
            differs = "differs" if len({fault.backend for fault in found}) == 1 else "differ"
            return f"{names} {differs} from the others on {where}: another loss, and nothing here says which is meant."
        return f"{names} differ on {where}{said}."
    verdicts = {
        name: dict.fromkeys(each for fault in mine for each in fault.verdicts) for name, mine in decided.items()
    }
    named = [f"{name} ({', '.join(each)})" for name, each in verdicts.items()]
    said = f"{len(decided)} of {words.counted(count, 'backend')} {'does' if len(decided) == 1 else 'do'} not agree"
    if len(problems) == 1:
        return f"{said} on {where}: {listed(named)}."
    where_each = [on(mine) for mine in decided.values()]
    if len(decided) > 1 == len({*where_each}):
        return f"{said}, each on {where_each[0]}: {listed(named)}."
    places = [f"{name} on {its}" for name, its in zip(named, where_each, strict=True)]
    left = f", and {len(places) - words.NAMED} more" * (len(places) > words.NAMED)
    return f"{said}: {', '.join(places[: words.NAMED])}{left}."


def _nothing(result: RunResult) -> str:
    said = [each.finding for problem in result.problems for each in problem.diagnoses if "nothing" in each.name]
    left = [*result.left_out, *(what for problem in result.problems for what in problem.left_out)]
    if not result.complete:
        said = []  # whatever ended it did
    elif (left or not said) and not result.troubles:
        idle = {name: why for problem in reversed(result.problems) for name, why in problem.idle.items()}
        if idle and not left and result.planned <= len(result.problems):
            said = ["; ".join(f"{name} takes no part, {why.rstrip('.')}" for name, why in idle.items())]
        elif limited(result):
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


def _quantities(problems: Iterable[ProblemResult]) -> list[str]:
    """What was not compared, in few words: ``jvp and hvp of a and b``, with on which problems, if not on all."""
    problems, lacking = list(problems), dict[str, dict[str, list[str]]]()
    for problem in problems:
        for each in problem.not_given:
            lacking.setdefault(each.backend, {}).setdefault(each.quantity, []).append(problem.label)
    whose: dict[tuple[str, str], list[str]] = {}
    for backend, quantities in lacking.items():
        for labels in quantities.values():
            what = listed([quantity for quantity, where in quantities.items() if where == labels])
            some = listed(labels) if len(labels) <= words.NAMED else f"{len(labels)} of {len(problems)} problems"
            names = whose.setdefault((what, f" on {some}" * (len(labels) < len(problems))), [])
            names += [backend] * (backend not in names)
    return [
        " of ".join(filter(None, [what, listed(list(filter(None, names)))])) + on for (what, on), names in whose.items()
    ]


def _asked(result: RunResult, good: Sequence[str]) -> tuple[str, str, str]:
    """What was compared, ``toy and iris``, ``12 problems``, ``the stress suite``; how many were not; what they are of.

    Of a problem that one of those who agree did not come to, nothing is said to agree.
    """
    labels = [problem.label for problem in result.problems]
    total = max(result.planned, len(labels))
    done = sum({f.backend for f in p.findings} | {*p.idle} >= {*good} and bool(p.findings) for p in result.problems)
    if done < total and total > 1:
        left_out = total > len(labels) or result.left_out or any(problem.left_out for problem in result.problems)
        budget = ": out of budget" * bool(limited(result) and result.complete and left_out)
        return f"{done} of {total} problems", f"{total - done} not compared{budget}", " compared"
    if result.settings.get("stress"):
        model = result.settings.get("model")
        suite = f"the stress suite ({len(labels)} problems{f' of {model}' if model else ''})"
        return suite, "", " of the stress suite"
    return (listed(labels) if len(labels) <= words.NAMED else f"{len(labels)} problems") or "any problem", "", ""


def _notes(result: RunResult) -> Iterable[Note]:
    """What is left to know, the most consequential first."""
    budget = ", for the time budget" if limited(result) else ""
    left = [f"{problem.label}: {what}" for problem in result.problems for what in problem.left_out]
    for what in (*left, *result.left_out):
        yield _remark("Left out:", what + budget)
    yield from _missing(result)
    idle = [each for problem in result.problems for each in problem.idle.items()]
    for name, why in dict(reversed(idle)).items():  # of several problems the first's words
        yield _remark("Nothing to run:", f"{name}: {why}")
    for what, (reason, cure) in not_given(result.problems).items():
        yield _remark(f"Not compared, {what}:", words.sentence(reason), cure)
    yield from (_remark(f"jvp of {n}:", words.sentence(how)) for n, how in words.jvps_by_gradient(result.problems))
    for problem in result.problems:
        for kink in kinks(problem):
            yield _remark(f"Kink on {problem.label}:", f"{kink}.")
    for problem in result.problems:
        for name, rule in rules_alone(problem):
            said = "no other run of own steps is there to hold it against."
            yield _remark(f"{name} trains alone on {problem.label}:", said, f"It follows {rule}")
        for said in own_steps_left(problem, int(result.settings.get("steps") or 0)):
            yield _remark(f"own steps on {problem.label}:", said)
        for said in initialisers_remarks(problem):
            yield _remark(f"initialisers on {problem.label}:", said)
    yield from _expected(result.problems)
    diagnoses = [(problem.label, each) for problem in result.problems for each in problem.diagnoses]
    for name in dict.fromkeys(each.name for _, each in diagnoses):
        same = [(label, each) for label, each in diagnoses if each.name == name]
        first = same[0][1]  # the same of several problems once: the first's words, and where else it holds
        where = listed([label for label, _ in same])
        whose = f"on {same[0][0]}: " * (len({each.finding for _, each in same}) > 1)
        short = words.sentence(whose + words.clause(first.finding))
        yield _remark(f"{name} on {where}:", words.sentence(whose + first.finding), first.cure, short=short)
    for problem in result.problems:
        for said in doubts(timing for timing in problem.timings if timing.starts):
            yield _remark(f"{problem.label}:", said)


def _missing(result: RunResult) -> Iterable[Note]:
    if not result.settings.get("backends"):  # who named some has not asked for the others
        for info in result.backends:
            if info.cure:
                yield _remark(f"{info.name} is not available:", "", info.cure)


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
