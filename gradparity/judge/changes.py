"""What became worse, better or other from one run to another, block by block; and the blocks of one problem. Pure.

A block is a quantity of a parameter, a training run, the user's own steps or initialiser, or a backend's process, where
that failed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, TypeAlias

import msgspec

from gradparity.benchmark.schedule import is_twin
from gradparity.results import GOOD, NO_ANSWER, UNRESOLVED, ProblemResult, Training
from gradparity.results.initialisers import MODEL, InitialRun
from gradparity.results.own_training import OwnRun

#: ``worse`` alone is no success. ``changed``: neither is better, or nothing says so. ``new`` is good, and ``gone`` was
#: checked in the old run alone.
Kind: TypeAlias = Literal["worse", "better", "changed", "same", "new", "gone"]

#: In place of a verdict, where a run does not have that block.
ABSENT = "absent"
#: The block of a training with steps of the user's own.
OWN_TRAINING = "training with its own steps"
#: The block of an initialiser of the user's own.
INITIALISER = "its initialiser"
#: The block of a backend that failed, at whatever stage; one that did not is said to answer where it failed elsewhere.
PROCESS, ANSWERS = "its process", "answers"


class BlockChange(msgspec.Struct, frozen=True, kw_only=True):
    """The verdicts on one block in both runs, and what became of it."""

    block: str
    old: str
    new: str
    kind: Kind

    def __str__(self) -> str:
        return f"{self.block}: {self.old} -> {self.new}"


def blocks_of(problem: ProblemResult | None, backend: str) -> dict[str, str]:
    """The verdict on every block of one backend; one that is not good outranks another of the same block.

    A backend that failed has ``failed`` as that of its process, which otherwise is no block.
    """
    if problem is None:
        return {}
    failed = any(trouble.backend == backend for trouble in problem.troubles)
    mine = [f for f in problem.findings if f.backend == backend and not (failed and f.verdict == "failed")]
    found: list[tuple[str, str]] = [(f.block, f.verdict) for f in mine]
    found += [(training_block(ran), ran.verdict) for ran in problem.training if ran.backend == backend]
    found += [(PROCESS, "failed")] if failed else []
    found += [(OWN_TRAINING, verdict) for name, verdict in _own_steps(problem) if name == backend]
    starts = problem.initialisers
    found += (
        [(INITIALISER, starts.verdict_of(backend))]
        if starts and backend in {*_names(starts.runs), *starts.missing}
        else []
    )
    verdicts: dict[str, str] = {}
    for block, verdict in found:
        if block not in verdicts or verdict not in GOOD:
            verdicts[block] = verdict
    return verdicts


def training_block(ran: Training) -> str:
    """The block of a training run."""
    return f"training with {ran.method}"


def backends_of(problem: ProblemResult) -> list[str]:
    """Every backend of which a problem has a block, in the order in which they are found."""
    own, starts = problem.own_training, problem.initialisers
    names = [
        *(found.backend for found in problem.findings),
        *(ran.backend for ran in problem.training),
        *(trouble.backend for trouble in problem.troubles if not is_twin(trouble.backend)),
        *_names(own.runs if own else ()),
        *(name for name in _names(starts.runs if starts else ()) if name != MODEL),
    ]
    return list(dict.fromkeys(names))


def _names(runs: Sequence[OwnRun | InitialRun]) -> list[str]:
    return [run.backend for run in runs]


#: Words that are no verdict on a value.
_ALSO_GOOD = frozenset({"alone", ANSWERS})


def is_good(verdict: str, problem: ProblemResult) -> bool:
    """Whether a verdict is a success; where a formula is there to fail, all that is an answer is one."""
    return verdict not in NO_ANSWER if problem.expected else verdict in _ALSO_GOOD or verdict in GOOD


def changes(old: ProblemResult | None, new: ProblemResult | None, backend: str) -> list[BlockChange]:
    """What became of every block that either run has of a backend."""
    before, after = blocks_of(old, backend), blocks_of(new, backend)
    for one, other in ((before, after), (after, before)):
        if PROCESS in one and other:
            other.setdefault(PROCESS, ANSWERS)
    found = []
    for block in dict.fromkeys([*before, *after]):
        was, is_now = before.get(block, ABSENT), after.get(block, ABSENT)
        kind = _kind(was, is_now, _rank(was, old), _rank(is_now, new))
        found.append(BlockChange(block=block, old=was, new=is_now, kind=kind))
    return found


def _own_steps(problem: ProblemResult) -> Iterator[tuple[str, str]]:
    """Each backend with steps of its own: of runs that part, both diverge."""
    own = problem.own_training
    if own is None:
        return
    diverge = {name for found in own.divergences for name in found.backends}
    for run in own.runs:
        others = "unresolved" if own.verdict == "unresolved" else "alone" if own.verdict == "alone" else "agrees"
        yield run.backend, "diverges" if run.backend in diverge else "impure" if run.again else others


#: Of verdicts that are not good: how much is known to be wrong.
_RANKS: dict[str, int] = {UNRESOLVED: 2, "unstable": 1}
_FINE, _NONE = 3, -1


def _rank(verdict: str, problem: ProblemResult | None) -> int:
    """3 good, 2 neither known to be right nor to be wrong, 1 off by rounding alone, 0 wrong or no answer; -1 none."""
    if verdict == ABSENT or problem is None:
        return _NONE
    return _FINE if is_good(verdict, problem) else _RANKS.get(verdict, 0)


def _kind(before: str, after: str, old: int, new: int) -> Kind:
    if old == _NONE:
        return "new" if new == _FINE else "worse"  # a disagreement that the old run did not have
    if new == _NONE:
        return "gone"
    if new < old:
        return "worse"
    if new == old:
        return "same" if before == after else "changed"
    return "changed" if new == _RANKS[UNRESOLVED] else "better"  # what nothing is known of is not mended
