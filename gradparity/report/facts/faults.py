"""What is off and what failed, the same fault on many problems as one. Pure facts, for every kind of report."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gradparity.formatting import large
from gradparity.results import Finding, ProblemResult, RunResult, Training, worst


@dataclass(frozen=True, kw_only=True)
class Off:
    """One backend with one fault, on all ``problems`` where it shows; figures are those of the worst block of them.

    ``quantity`` is ``training`` where every value agrees and a training run does not. ``blocks`` are all that are off.
    ``why`` is the cause where one is known, and otherwise the rule that decided. ``undecided``: backends differ, and
    nothing says that it is this one. Figures are ``None`` where there is none or it is not finite.
    """

    backend: str
    problems: tuple[str, ...]
    verdicts: tuple[str, ...]
    quantity: str
    parameter: str
    index: tuple[int, ...]
    blocks: tuple[str, ...]
    floors: float | None
    error_ulps: float | None
    floor_ulps: float | None
    relative_error: float | None
    got: float | None
    truth: float | None
    why: str
    cause_known: bool
    undecided: bool = False
    training: str = ""
    partings: tuple[str, ...] = ()
    outlier: str = ""

    @property
    def reasons(self) -> tuple[str, ...]:
        """All that is known of why, each once: the cause or rule, the outlier's finding, where values part."""
        why = "" if self.partings and self.why.startswith(("diverges at", "parts at")) else self.why
        training = f"training {self.training}" if self.training else ""
        return tuple(dict.fromkeys(said for said in (why, self.outlier, *self.partings, training) if said))

    @property
    def figures(self) -> tuple[str, ...]:
        """How far it is off, in words: floors, ulps, the value and what was expected."""
        found = [f"{large(self.floors)} floors"] if self.floors is not None else []
        found += [f"{large(self.error_ulps)} ulp"] if self.error_ulps is not None else []
        if self.got is not None and self.truth is not None:
            what = "expected" if self.outlier else "true"
            found.append(f"{self.got:.6g} where {self.truth:.6g} is {what}")
        return tuple(found)

    @property
    def block(self) -> str:
        """The worst block with its worst entry: ``gradient w[3]``."""
        index = f"[{', '.join(map(str, self.index))}]" if self.index else ""
        return f"{self.quantity} {self.parameter}".strip() + index


@dataclass(frozen=True, kw_only=True)
class Failure:
    """One backend that could not be measured, or not to the end: at which stage, why, and on which problems."""

    backend: str
    problems: tuple[str, ...]
    stage: str
    reason: str


@dataclass(frozen=True)
class _Fault:
    """One backend off on one problem."""

    backend: str
    problem: ProblemResult
    findings: list[Finding]
    trainings: list[Training]

    @property
    def decided(self) -> list[Finding]:
        """Blocks of which something says that it is this backend that is off; all, where nothing says so of any."""
        pairwise = self.problem.pairwise
        matrix = pairwise.matrix if pairwise is not None else []
        unknown = {(each.quantity, each.parameter) for each in matrix if not each.agreeing}
        own = {each.parameter for each in (pairwise.own if pairwise else []) if each.consistent is False}
        known = [
            f
            for f in self.findings
            if (f.quantity, f.parameter) not in unknown or (f.quantity == "gradient" and f.parameter in own)
        ]
        return known or self.findings

    @property
    def shown(self) -> Finding | None:
        return worst(self.decided) if self.findings else None

    @property
    def cause(self) -> str:
        """The worst block's, else the first that any block has."""
        shown = self.shown
        return next((f.cause for f in [*([shown] if shown else []), *self.findings] if f.cause), "")

    @property
    def why(self) -> str:
        if self.shown is not None:
            return self.cause or self.shown.rule
        first = self.trainings[0]
        return ": ".join(filter(None, (first.reason, first.detail))) or "training parts from the reference"

    @property
    def undecided(self) -> bool:
        """Whether the backends that are held against each other have no majority in any block that is off."""
        pairwise = self.problem.pairwise
        if pairwise is None or any(outlier.backend == self.backend for outlier in pairwise.outliers):
            return False
        agreeing = {(each.quantity, each.parameter): each.agreeing for each in pairwise.matrix}
        return not any(agreeing.get((f.quantity, f.parameter), True) for f in self.findings)


def off(result: RunResult) -> tuple[Off, ...]:
    """Every backend that gave values which are off, those that may not be to blame last; failures are not among them.

    A backend is off twice where it is so for two reasons on different problems.
    """
    groups: dict[tuple[str, str, bool], list[_Fault]] = {}
    for fault in _faults(result.problems):
        groups.setdefault((fault.backend, fault.why, fault.shown is None), []).append(fault)
    return tuple(sorted(map(_merged, groups.values()), key=lambda fault: fault.undecided))


def alike(faults: Iterable[Off]) -> tuple[tuple[Off, ...], ...]:
    """Backends with one fault together, the worst first: the same verdicts, blocks and reason on the same problems.

    Where values part, and what says that it is this backend, is of one backend: such a fault stays alone.
    """
    groups: dict[tuple[object, ...], list[Off]] = {}
    for fault in faults:
        key = fault.problems, fault.verdicts, fault.blocks, fault.why, fault.training, fault.undecided
        own = fault.backend if fault.partings or fault.outlier else ""
        groups.setdefault((*key, own), []).append(fault)
    return tuple(tuple(sorted(group, key=lambda fault: -(fault.floors or 0.0))) for group in groups.values())


def failures(result: RunResult) -> tuple[Failure, ...]:
    """Every backend that failed, once for each stage and reason."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for problem in result.problems:
        for trouble in problem.troubles:
            groups.setdefault((trouble.backend, trouble.stage, trouble.reason), []).append(problem.label)
    return tuple(
        Failure(backend=backend, problems=tuple(dict.fromkeys(problems)), stage=stage, reason=reason)
        for (backend, stage, reason), problems in groups.items()
    )


def _faults(problems: Iterable[ProblemResult]) -> Iterable[_Fault]:
    for problem in problems:
        bad = [each for each in problem.not_good if each.verdict != "failed"]
        for backend in dict.fromkeys(each.backend for each in bad):
            own = [each for each in bad if each.backend == backend]
            yield _Fault(
                backend,
                problem,
                [each for each in own if isinstance(each, Finding)],
                [each for each in own if isinstance(each, Training)],
            )


def _merged(faults: list[_Fault]) -> Off:
    first = faults[0]
    findings = [found for fault in faults for found in fault.findings]
    trainings = [ran for fault in faults for ran in fault.trainings]
    partings = (
        str(parting)
        for fault in faults
        for parting in (fault.problem.divergences.found if fault.problem.divergences is not None else ())
        if parting.backend == first.backend
    )
    outliers = (
        outlier.finding + (f" ({outlier.cause})" if outlier.cause else "")
        for fault in faults
        for outlier in (fault.problem.pairwise.outliers if fault.problem.pairwise is not None else ())
        if outlier.backend == first.backend
    )
    decided = [found for fault in faults for found in fault.decided]
    shown = worst(decided) if decided else None
    return Off(
        backend=first.backend,
        problems=tuple(fault.problem.label for fault in faults),
        verdicts=tuple(dict.fromkeys([*(f.verdict for f in findings), *(ran.verdict for ran in trainings)])),
        quantity=shown.quantity if shown else "training",
        parameter=shown.parameter if shown else trainings[0].optimiser,
        index=shown.worst_index if shown else (),
        blocks=tuple(dict.fromkeys(f"{f.quantity} {f.parameter}".strip() for f in findings)),
        floors=shown.floors if shown else trainings[0].floors,
        error_ulps=shown.error_ulps if shown else None,
        floor_ulps=shown.floor_ulps if shown else None,
        relative_error=shown.relative_error if shown else None,
        got=shown.got if shown else trainings[0].final_loss,
        truth=shown.truth if shown else trainings[0].reference_loss,
        why=first.why,
        cause_known=bool(first.cause) if shown else bool(trainings[0].reason),
        undecided=all(fault.undecided for fault in faults),
        training=_parts(trainings),
        partings=tuple(dict.fromkeys(partings)),
        outlier=next(outliers, ""),
    )


def _parts(trainings: list[Training]) -> str:
    """Where training parts first: ``from step 1 on (gd, own loop)``."""
    parted = [ran for ran in trainings if ran.first_divergence is not None]
    if not parted:
        return ""
    first = min(parted, key=lambda ran: ran.first_divergence or 0)
    return f"parts at step {first.first_divergence} in {first.diverged} ({optimiser(first)})"


def optimiser(ran: Training) -> str:
    """What a report calls a training run: ``gd``, or ``gd, own loop`` where the backend has its own."""
    return f"{ran.optimiser}, own loop" if ran.own_loop else ran.optimiser
