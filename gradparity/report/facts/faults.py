"""Which backends disagree and why, the same fault on many problems as one; and which failed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from msgspec import structs

from gradparity.formatting import apart, large
from gradparity.report.facts import words
from gradparity.report.facts.view import Note
from gradparity.results import UNRESOLVED, Finding, ProblemResult, RunResult, Training, worst
from gradparity.results.divergence import Divergences

#: What one of two backends is said to be of the other.
_FROM = re.compile(r"^pairwise: differs from \S+ by")
#: How the cause of a block begins where values diverge at a tap, which `Fault.divergences` say in full.
_AT_A_TAP = "diverges at"


@dataclass(frozen=True)
class Fault:
    """One backend with one fault, on all ``problems`` where it shows: in the same blocks, for the same reasons.

    ``findings`` and ``trainings`` are all that do not agree. Of the ``decided`` findings something says that it is this
    backend that is to blame; where nothing says so of any, they are all. ``undecided``: backends differ, and nothing
    says that it is this one. ``outlier`` is what the comparison of backends says of it, ``lines`` where ports
    diverge and what would make them agree, ``divergences`` what taps say. Figures are those of the problem ``at``.
    """

    backend: str
    problems: tuple[str, ...]
    findings: tuple[Finding, ...]
    decided: tuple[Finding, ...]
    trainings: tuple[Training, ...]
    lines: tuple[str, ...]
    divergences: tuple[str, ...]
    outlier: str
    undecided: bool
    at: str = ""

    @property
    def shown(self) -> Finding | None:
        """The worst block; ``None`` where every value agrees and a training run does not."""
        return worst(self.decided) if self.decided else None

    @property
    def why(self) -> str:
        """The worst block's cause, else the first that any block has, else the rule that decided."""
        if self.shown is None:
            first = self.trainings[0]
            return ": ".join(filter(None, (first.reason, first.detail))) or "training diverges from the reference"
        if self.shown.cause:
            return self.shown.cause
        return next((f"{f.cause} (in {f.block})" for f in self.findings if f.cause), self.shown.rule)

    @property
    def verdicts(self) -> list[str]:
        """All of its verdicts, each once."""
        judged: tuple[Finding | Training, ...] = (*self.findings, *self.trainings)
        return list(dict.fromkeys(each.verdict for each in judged))

    @property
    def unresolved(self) -> bool:
        """Whether nothing says that anything of it is wrong."""
        return set(self.verdicts) == {UNRESOLVED}

    @property
    def blocks(self) -> list[str]:
        """All of its blocks, each once."""
        return list(dict.fromkeys(found.block for found in self.findings))

    @property
    def reasons(self) -> list[str]:
        """All that is known of why, each once: where ports diverge, the cause or rule, the outlier's finding, taps."""
        why = "" if self.divergences and self.why.startswith(_AT_A_TAP) else self.why
        why = "" if self.lines and self.shown is not None and why == self.shown.rule else why
        same = bool(self.outlier) and why.startswith(self.outlier.partition(":")[0])
        outlier = "" if same else self.outlier
        return list(
            dict.fromkeys(filter(None, (*self.lines, why, outlier, *self.divergences, _diverges(self.trainings))))
        )

    @property
    def floors(self) -> float | None:
        """The worst block's error over its noise floor; of a training run the largest, where it left its floor."""
        if self.shown is not None:
            return self.shown.floors
        return self.trainings[0].floors if self.trainings[0].first_divergence is not None else None

    @property
    def size(self) -> list[str]:
        """How far the worst block is from the truth: relative error, floors, ulps, the value and what was expected."""
        found, first = self.shown, next(iter(self.trainings), None)
        relative, ulps = (found.relative_error, words.ulps(found)) if found else (None, None)
        got, truth = (found.got, found.truth) if found else (None, None)
        if found is None and first is not None and first.first_divergence is not None:
            got, truth = first.final_loss, first.reference_loss
        sides = found.sides if found else None
        expected = "the others'" if self.undecided else "expected" if self.outlier else "true"
        figures = (
            "" if relative is None else f"relative error {relative:.2g}",
            "" if self.floors is None else f"{large(self.floors)} floors",
            "" if ulps is None else f"{large(ulps)} ulp",
            "" if got is None or truth is None else "{} where {} is {}".format(*apart(got, truth), expected),
            ""
            if got is None or sides is None
            else "{} where anything from {} to {} is right".format(*apart(got, *sides)),
        )
        return [each for each in figures if each]


def faults(result: RunResult) -> list[Fault]:
    """Every backend that gave values which disagree, those that may not be to blame last; failures are not among them.

    A backend is there twice where something that is said of it on one problem is not so on another.
    """
    groups: dict[tuple[object, ...], list[Fault]] = {}
    for fault in (each for problem in result.problems for each in faults_on(problem)):
        said = fault.shown is None, fault.why, *fault.reasons, *fault.verdicts, *fault.blocks, fault.undecided
        optimisers = tuple(ran.optimiser for ran in fault.trainings)
        groups.setdefault((fault.backend, optimisers, *said), []).append(fault)
    return sorted(map(_merged, groups.values()), key=lambda fault: fault.undecided)


def undecided(problem: ProblemResult) -> set[str]:
    """Backends that differ from others on this problem while nothing says that it is they who are wrong."""
    return {fault.backend for fault in faults_on(problem) if fault.undecided}


def fault_notes(found: Iterable[Fault]) -> list[Note]:
    """A note for each fault; backends with one fault are together, the worst first.

    They have the same verdicts, blocks and reason on the same problems. Where values diverge, and what says that it is
    this backend, is of one backend: such a fault stays alone.
    """
    groups: dict[tuple[object, ...], list[Fault]] = {}
    for fault in found:
        own = fault.backend if fault.divergences or fault.outlier else ""
        why = fault.lines or (fault.why,)
        what = fault.problems, *fault.verdicts, *fault.blocks, *why, _diverges(fault.trainings), fault.undecided
        groups.setdefault((own, *what), []).append(fault)
    return [_note(sorted(group, key=lambda fault: -(fault.floors or 0.0))) for group in groups.values()]


def failure_notes(result: RunResult) -> list[Note]:
    """Every backend that failed, once for each stage and reason."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for problem in result.problems:
        for trouble in problem.troubles:
            groups.setdefault((trouble.backend, trouble.stage, trouble.reason), []).append(problem.label)
    return [
        Note(
            f"{backend} failed",
            f"in {stage} on {words.listed(list(dict.fromkeys(labels)))}: {reason}",
            kind="bad",
            mark=words.mark("failed"),
        )
        for (backend, stage, reason), labels in groups.items()
    ]


def _note(group: Sequence[Fault]) -> Note:
    fault, several = group[0], len(group) > 1
    verb = ("differ" if several else "differs") if fault.undecided else ("disagree" if several else "disagrees")
    if fault.unresolved:
        verb = "are unresolved" if several else "is unresolved"
    shown = fault.shown
    block, many = f"training {fault.trainings[0].optimiser}" if shown is None else shown.block, len(fault.problems) > 1
    entry = block if shown is None else words.entry(shown)
    most = several and not (fault.undecided and len({each.floors for each in group}) == 1)
    which = [f"{fault.backend} the most"] * most + [f"{entry} on {fault.at}"] * many
    left = len(fault.blocks) - 1
    how = "" if fault.undecided or fault.unresolved else f": {', '.join(fault.verdicts)}"
    text = f"on {words.listed(fault.problems)}{how} in {block if many else entry}"
    text += f" ({', '.join([*fault.size, *which])})" * (bool(fault.size) and not fault.unresolved)
    text += f", and {words.counted(left, 'more block')}" * (left > 0)
    verdict = fault.verdicts[0]
    return Note(
        f"{', '.join(each.backend for each in group)} {verb}",
        text,
        fault.reasons,
        words.kind(verdict),
        words.mark(verdict),
    )


def faults_on(problem: ProblemResult) -> Iterable[Fault]:
    """A fault for each backend that disagrees on one problem."""
    bad = [each for each in problem.not_good if each.verdict != "failed"]
    pairwise, met = problem.pairwise, problem.divergences or Divergences()
    agreeing = {(each.quantity, each.parameter): each.agreeing for each in (pairwise.matrix if pairwise else ())}
    two = pairwise is not None and len(pairwise.backends) == 2
    for backend in dict.fromkeys(each.backend for each in bad):
        mine = [each for each in bad if each.backend == backend]
        findings = tuple(each for each in mine if isinstance(each, Finding))
        outliers = [each for each in (pairwise.outliers if pairwise else ()) if each.backend == backend]
        undecided = (
            pairwise is not None
            and all(each.kind == "loss" for each in outliers)  # a vote says whose is another, not which is meant
            and (bool(outliers) or not any(agreeing.get((f.quantity, f.parameter), True) for f in findings))
        )
        if two and undecided:  # what one is from the other, the other is from it: said once
            findings = tuple(structs.replace(each, rule=of_both(each.rule)) for each in findings)
        denied = [o for o in (pairwise.own if pairwise else ()) if o.consistent is False and o.backend == backend]
        own = {(each.quantity, each.parameter) for each in denied}
        decided = tuple(
            f for f in findings if agreeing.get((f.quantity, f.parameter), True) or (f.quantity, f.parameter) in own
        )
        yield Fault(
            backend=backend,
            problems=(problem.label,),
            findings=findings,
            decided=decided or findings,
            trainings=tuple(each for each in mine if isinstance(each, Training)),
            lines=tuple(
                said
                for each in met.lines
                if backend in (each.backend, *each.also) or (undecided and backend == each.against)
                for said in each.said
            ),
            divergences=tuple(str(each) for each in met.found if each.backend == backend),
            outlier=next((o.finding + f" ({o.cause})" * (o.cause not in ("", o.finding)) for o in outliers), ""),
            undecided=undecided,
        )


def of_both(rule: str) -> str:
    """The rule by which one of two backends differs from the other, in words that hold for both."""
    return _FROM.sub("they differ by", rule)


def _merged(group: Sequence[Fault]) -> Fault:
    """One fault of one backend, from those on each problem."""
    merged = Fault(
        backend=group[0].backend,
        problems=tuple(label for fault in group for label in fault.problems),
        findings=tuple(found for fault in group for found in fault.findings),
        decided=tuple(found for fault in group for found in fault.decided),
        trainings=tuple(ran for fault in group for ran in fault.trainings),
        lines=group[0].lines,
        divergences=group[0].divergences,
        outlier=group[0].outlier,
        undecided=group[0].undecided,
    )
    return replace(merged, at=next(fault.problems[0] for fault in group if fault.shown is merged.shown))


def _diverges(trainings: Iterable[Training]) -> str:
    """Where training diverges first: ``training diverges at step 1 in loss (gd, own loop)``."""
    known = [(ran.first_divergence, ran) for ran in trainings if ran.first_divergence is not None]
    if not known:
        return ""
    step, first = min(known, key=lambda pair: pair[0])
    return f"training diverges at step {step} in {first.diverged} ({first.method})"
