"""The sections of a page, from a result: what compares all problems first, then each problem."""

from __future__ import annotations

from dataclasses import replace

from gradparity.report.page import clock, correctness, differences, receipt, sizes, totals, training, words
from gradparity.report.page.figures import Looks
from gradparity.report.page.view import Block, Kind, Section
from gradparity.results import ProblemResult, RunResult

#: Problems up to which all are open from the start; of more, only those with something to see.
MOST_OPEN = 3
#: Findings up to which every one is on the page: some 600 bytes each, and a page is to stay under 6 MB.
MOST_FINDINGS = 4000


def sections(result: RunResult, *, lean: bool = False) -> list[Section]:
    """Everything below the first screen but the receipt; if ``lean``, problems that agree have no plots."""
    looks = looks_of(result)
    keys = [f"p{index}" for index in range(1, len(result.problems) + 1)]
    together = _together(result, keys, looks)
    every = sum(len(problem.findings) for problem in result.problems) <= MOST_FINDINGS
    few = len(result.problems) <= MOST_OPEN
    each = [
        problem_section(problem, key, looks, opened=few, every=every)
        for problem, key in zip(result.problems, keys, strict=True)
    ]
    if lean:
        each = [_lean(section) if section.kind != "bad" else section for section in each]
    return [*([together] if together else []), *each]


def _lean(section: Section) -> Section:
    kept = [replace(block, plots=(), folded=()) for block in section.blocks]
    return replace(section, blocks=[block for block in kept if block])


def looks_of(result: RunResult) -> Looks:
    """One look for each backend of the run."""
    named = [info.name for info in result.backends]
    return Looks([*named, *(name for problem in result.problems for name in words.backends(problem))])


def _together(result: RunResult, keys: list[str], looks: Looks) -> Section | None:
    if len(result.problems) < 2:
        return None
    blocks = [sizes.everywhere(result, keys), sizes.where(result), sizes.over_size(result, looks)]
    return Section("all", "All problems", blocks=[block for block in blocks if block])


def problem_section(problem: ProblemResult, key: str, looks: Looks, *, opened: bool, every: bool) -> Section:
    """One problem: verdicts, reasons, training, time."""
    status, kind, mark = _status(problem)
    errors = correctness.errors(problem, key, looks)
    blocks = [
        differences.troubles(problem),
        correctness.verdicts(problem),
        correctness.disagreements(problem),
        differences.partings(problem),
        differences.pairwise(problem),
        errors if every else replace(errors, plots=(), folded=()),
        training.training(problem, key, looks),
        totals.totals(problem, key, looks),
        clock.steps(problem, key, looks),
        clock.formulations(problem),
        clock.distance(problem, key, looks),
        clock.starts(problem, key),
    ]
    kept: list[Block] = [replace(block, key=f"{key}-{block.key}") for block in blocks if block]
    return Section(
        key,
        problem.label,
        receipt.problem_lines(problem),
        status,
        kind,
        mark,
        opened=opened or kind == "bad",
        blocks=kept,
    )


def _status(problem: ProblemResult) -> tuple[str, Kind, str]:
    """The problem in a word: agrees, or who does not and how."""
    failed = [found.backend for found in problem.troubles]
    off: dict[str, list[str]] = {name: ["failed"] for name in failed}
    for name in words.backends(problem):
        if bad := words.bad_verdicts(problem, name):
            off[name] = bad
    if off:
        groups: dict[str, list[str]] = {}
        for name, verdicts in off.items():
            groups.setdefault(", ".join(verdicts), []).append(name)
        said = "; ".join(f"{', '.join(names)}: {verdict}" for verdict, names in groups.items())
        return said, "bad", words.MARKS["wrong"]
    if not problem.findings:
        return ("timed only" if problem.timings else "nothing was found"), "muted", "-"
    if problem.expected:
        return "as expected", "good", words.MARKS["agrees"]
    return "agrees", "good", words.MARKS["agrees"]
