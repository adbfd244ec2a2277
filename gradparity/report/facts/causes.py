"""What does not agree on one problem, by cause: blocks that are off for one reason are one thing to read."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from gradparity.judge.verdicts import AGREES_FLOORS, most_floors
from gradparity.report.facts import words
from gradparity.report.facts.faults import of_both, undecided
from gradparity.report.facts.verdicts import blocks
from gradparity.report.facts.view import Note, Table
from gradparity.results import GOOD, Finding, ProblemResult, worst

#: Figures of a reason, which each block has of its own.
_FIGURES = re.compile(r"(?<![A-Za-z_])\d[\d.,]*(?:e[+-]?\d+)?")
#: The rule of an error with no other reason.
_BEYOND = f"error of more than {AGREES_FLOORS:g} noise floors"


@dataclass(frozen=True)
class Group:
    """Blocks of one or more backends that are off for one reason; ``findings`` are all of them."""

    backends: tuple[str, ...]
    why: str
    findings: tuple[Finding, ...]

    @property
    def count(self) -> str:
        """``20 blocks``."""
        return words.counted(len({found.block for found in self.findings}), "block")


def groups(problem: ProblemResult) -> list[Group]:
    """What does not agree, the reason with most blocks first; backends with one reason in the same blocks together."""
    own: dict[tuple[str, str, str], list[Finding]] = {}
    for found in problem.findings:
        if found.verdict not in GOOD:
            why = _why(found, problem)
            own.setdefault((found.backend, found.verdict, _FIGURES.sub("#", why)), []).append(found)
    together: dict[tuple[object, ...], list[Finding]] = {}
    for (_, verdict, shape), same in own.items():
        together.setdefault((verdict, shape, *(each.block for each in same)), []).extend(same)
    made = [
        Group(
            tuple(dict.fromkeys(each.backend for each in found)),
            _why(worst(found), problem),
            tuple(found),
        )
        for found in together.values()
    ]
    return sorted(made, key=lambda group: -len(group.findings))


def _why(found: Finding, problem: ProblemResult) -> str:
    """Its cause, else where its port diverges, else what the comparison of backends says, else the rule."""
    if found.cause:
        return found.cause
    pair = problem.pairwise is not None and len(problem.pairwise.backends) == 2
    rule = of_both(found.rule) if pair else found.rule
    if problem.divergences is not None and (rule.endswith(_BEYOND) or rule != found.rule):
        for lines in problem.divergences.lines:
            if found.backend in (lines.backend, *lines.also, *[lines.against] * pair) and lines.said:
                return next((said for said in lines.said if "diverge" in said), lines.said[0])
    return rule


def cause_notes(problem: ProblemResult) -> list[Note]:
    """``jax, 20 blocks: its loss is another function``, by how much they are off, and which they are."""
    unknown = undecided(problem)
    return [_note(group, differs=unknown >= {*group.backends}) for group in groups(problem)]


def _note(group: Group, *, differs: bool) -> Note:
    shown = worst(group.findings)
    relative = [f.relative_error for f in group.findings if f.relative_error is not None]
    size = f"relative error {min(relative):.2g} to {max(relative):.2g}" if relative else ""
    size = f"relative error {relative[0]:.2g}" if relative and min(relative) == max(relative) else size
    blocks = list(dict.fromkeys(found.block for found in group.findings))
    more = "; ".join(filter(None, [size, words.listed(blocks, 4)]))
    verdict = "differing" if differs and shown.verdict == "wrong" else shown.verdict
    name = f"{', '.join(group.backends)}, {group.count} {verdict}:"
    return Note(name, group.why, [more], words.kind(shown.verdict), words.mark(shown.verdict))


def cause_tables(problem: ProblemResult) -> list[Table]:
    """The blocks of each group, with the worst entry of each."""
    return [
        blocks(f"{', '.join(group.backends)}: {group.count}, the worst entry of each", group.findings, problem)
        for group in groups(problem)
    ]


def gist(problem: ProblemResult) -> Iterable[str]:
    """What a problem's headline says while it is folded: why blocks are off, or how far from its floor the worst is."""
    found = groups(problem)
    if found:
        first = found[0]
        yield f"{first.count}: {words.clause(first.why)}" + f" and {len(found) - 1} more reasons" * (len(found) > 2)
    floors = [(f.floors or 0.0) for f in problem.findings if f.verdict in GOOD and f.floors is not None]
    if not found and floors:
        yield f"at most {max(floors):.2g} of {most_floors(str(problem.spec.get('dtype', ''))):g} floors"
    chosen = problem.recommendation
    if chosen is not None and chosen.choice:
        yield f"choose {' or '.join(chosen.choice)} for {words.counted(chosen.steps, 'step')}"
