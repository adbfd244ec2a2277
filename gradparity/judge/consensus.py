"""Several backends held against each other, and each against its own loss, where no truth is known. Pure.

Two questions are kept apart. *Is a backend's gradient the derivative of its own loss?* Its values alone answer that
(`gradparity.numerics.richardson`), without any other backend. *Is its loss the same function as the others'?* For that
the largest set of backends that agree with each other has to be a majority; its median then takes the place of the
truth, and causes are looked for as usual. A gradient that its own loss denies has no vote, nor has a
backend whose loss is noisier than another's by as much as a lower precision is. Where neither question is answered,
two backends differ and nothing says which is wrong: then that is the finding.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from gradparity.judge.causes.precision import by_block
from gradparity.judge.declared import as_declared, which_is_meant
from gradparity.judge.distances import BlockAnswers
from gradparity.judge.figures import index_of
from gradparity.judge.own import (
    BENEATH,
    DENIED,
    OWN_ERRORS,
    SOURCE,
    Answers,
    beneath,
    block_of,
    keys_of,
    noisier,
    open_question,
    own_derivatives,
    primal_blocks,
    shared_stop,
    stopped_at,
)
from gradparity.judge.relations import counted, listed, one_relation, relation
from gradparity.judge.ties import Ties
from gradparity.judge.verdicts import AGREES_FLOORS, judge_block, judge_values
from gradparity.model_spec.errors import InputError
from gradparity.results import GOOD, UNRESOLVED, Disagreement, Finding, Outlier, Pairwise
from gradparity.truth.reference import Reference

Array: TypeAlias = npt.NDArray[Any]
Key: TypeAlias = tuple[str, str]

ANOTHER_RULE = DENIED["gradient"]
ANOTHER_LOSS = "its loss is a different function than the others'"
ANOTHER_EACH = "the losses are different functions"
UNDECIDED = "nothing here says which is wrong"


def judge_pairwise(
    answers: Mapping[str, Answers],
    directions: Mapping[str, Mapping[str, Array]],
    *,
    dtype: str,
    sizes: Mapping[str, int] | None = None,
    leaks: Mapping[str, Mapping[str, str]] | None = None,
    dtypes: Mapping[str, str] | None = None,
) -> tuple[Pairwise, list[Finding]]:
    """The matrix of disagreements with who differs and why, and a finding for every backend and block.

    Args:
        answers: at least two backends' answers, by name.
        directions: for each parameter the direction that its ``own`` derivatives were taken along, as
            `gradparity.numerics.richardson.block_directions` gives them.
        dtype: the precision that was asked for.
        dtypes: by parameter, where they are not all ``dtype``.
        sizes: lengths that a sum and a mean may differ by, such as ``{"rows of X": 200}``.
        leaks: backends that are known to compute in a lower precision, with the words for it by block.

    Returns:
        What the comparison shows, and one finding a backend and block.

    Raises:
        InputError: there are fewer than two backends to compare.
    """
    if len(answers) < 2:
        raise InputError(
            "backends of a model without a neutral loss",
            got=", ".join(answers) or "none",
            expected="two or more, since nothing else is known of its gradient",
            cure="Add another backend, or write a neutral loss(params, data, xp).",
        )
    comparison = _Comparison(answers, directions, dtype, sizes or {}, leaks or {}, dtypes or {})
    findings = [finding for name in answers for finding in comparison.findings(name)]
    return comparison.pairwise(findings), findings


class _Comparison:
    """Everything about all blocks that the findings of one backend are made from."""

    def __init__(
        self,
        answers: Mapping[str, Answers],
        directions: Mapping[str, Mapping[str, Array]],
        dtype: str,
        sizes: Mapping[str, int],
        leaks: Mapping[str, Mapping[str, str]],
        dtypes: Mapping[str, str],
    ) -> None:
        self.ties = Ties(answers)
        self.answers = answers = self.ties.beside()
        self.dtype, self.sizes, self.dtypes = dtype, sizes, dtypes
        self.blocks = {key: block_of(key, answers, dtypes.get(key[1], dtype)) for key in keys_of(answers)}
        self.own = as_declared(answers, own_derivatives(answers, self.blocks, directions), self.blocks, sizes)
        #: Where each backend stops its gradient that does, and where all do: the same for all is nobody's mistake.
        self.stops = {n: at for n in answers if (at := stopped_at(n, answers[n], self.own, self.blocks))}
        self.shared = shared_stop(list(answers), self.stops, self.own, self.blocks, sizes)
        self.denied = {
            (each.backend, each.quantity, each.parameter): each
            for each in self.own
            if each.consistent is False and not self.shared
        }
        self.primal = primal_blocks(answers, dtype)
        self.meant = which_is_meant(answers, self.own, self.blocks, self.primal)
        self.narrow = noisier(answers) | set(leaks)
        self.leaks = leaks
        voters = [name for name in answers if name not in self.narrow]
        for (quantity, parameter), block in self.blocks.items():
            shape = np.shape(directions[parameter][parameter]) if parameter in directions else None
            clear = [name for name in voters if (name, quantity, parameter) not in self.denied]
            able = [name for name in clear if self._may_vote(name, quantity)] or clear
            block.vote(
                able, shape, wide=[name for name in block.values if open_question(self.answers[name], name, block)]
            )
        for block in self.primal.values():
            block.vote([name for name in voters if name in block.values])

    def _may_vote(self, name: str, quantity: str) -> bool:
        """Whether no other quantity speaks against this one: an HVP is as wrong as the gradient that it is of."""
        return quantity not in ("jvp", "hvp") or not any(key[:2] == (name, "gradient") for key in self.denied)

    def another_loss(self, name: str) -> str:
        """In what the loss of a backend differs from a majority's, or ``""``."""
        for (quantity, parameter), block in [(("loss", ""), self.blocks.get(("loss", ""))), *self.primal.items()]:
            if block is None or name not in block.values or block.values[name].dtype != np.dtype(block.dtype):
                continue  # of a loss of another dtype that is said, and not that it is another function
            if block.off(name):
                return "its value" if quantity == "loss" else f"its derivative along {parameter}"
        return ""

    def findings(self, name: str) -> list[Finding]:
        """A finding on every block of one backend."""
        given = self.answers[name].values
        decided = {key: block for key, block in self.blocks.items() if block.agreeing and key[0] in given}
        against_majority: dict[Key, Finding] = {}
        if decided:
            truth = {key: block.median for key, block in decided.items()}
            floor = {key: block.floor_for(name) for key, block in decided.items()}
            reference = Reference(truth, floor, "the median of those that agree with each other; nothing is certified")
            found = judge_values(
                name,
                self.answers[name].values,
                reference,
                self.dtype,
                sizes=self.sizes,
                dtypes=self.dtypes,
                against="the median",
            )
            against_majority = {(finding.quantity, finding.parameter): finding for finding in found}
        return [
            self.ties.settled(
                self._explained(
                    self._by_majority(against_majority[key], block) if key in decided else self._alone(name, block)
                ),
                block,
            )
            for key, block in self.blocks.items()
            if key[0] in self.answers[name].values  # what a backend has no way to is no error of its
        ]

    def _by_majority(self, finding: Finding, block: BlockAnswers) -> Finding:
        off = beneath(self.answers, finding.backend, block) if finding.backend in block.agreeing else []
        among = [name for name in block.agreeing if name not in (finding.backend, *off)]
        if finding.verdict == UNRESOLVED:
            return finding
        if len(off) > len(among):
            return msgspec.structs.replace(finding, verdict=UNRESOLVED, rule=BENEATH.format(listed(off)), cause="")
        if finding.backend in block.agreeing:
            rule = f"agrees with {listed(among)}" if among else "the only answer that is not wrong by itself"
            return msgspec.structs.replace(finding, verdict="agrees", rule=f"pairwise: {rule}", cause="")
        return msgspec.structs.replace(finding, rule=f"pairwise, against {listed(among)}: {finding.rule}")

    def _alone(self, name: str, block: BlockAnswers) -> Finding:
        """The finding on a block for which there is no majority."""
        value = self.answers[name].values.get(block.key[0], {}).get(block.key[1])
        itself = (
            np.zeros((), np.longdouble)
            if value is None
            else np.nan_to_num(value.astype(np.longdouble), posinf=0.0, neginf=0.0)
        )
        floor = block.floors.get(name, itself)
        finding = judge_block(name, *block.key, value, itself, floor, block.dtype, "no other backend's answer known to")
        if value is not None and not np.isfinite(value).all():
            where = index_of(np.argmin(np.isfinite(value)), value.shape)
            rule = f"pairwise: {value[where]}, which is held against nothing"
            return msgspec.structs.replace(finding, verdict="nonfinite", rule=rule, worst_index=where, truth=None)
        if value is None or value.dtype != np.dtype(block.dtype):
            return finding
        others = {other: block.apart[name, other] for other in block.values if other != name}
        apart = [other for other, floors in others.items() if floors > AGREES_FLOORS]
        known = [other for other in apart if (other, *block.key) not in self.denied]
        asked = dict.fromkeys([name, *block.values])
        open_ = [
            f"{each}: {why}" for each in asked if not known and (why := open_question(self.answers[each], each, block))
        ]
        if open_ and (name, *block.key) not in self.denied:
            none = dict.fromkeys(("absolute_error", "relative_error", "error_ulps", "floors", "truth"))
            return msgspec.structs.replace(finding, verdict=UNRESOLVED, rule=f"pairwise: {open_[0]}", cause="", **none)
        said = listed([f"{other} by {counted(others[other])}" for other in apart])
        rule = f"pairwise: differs from {said}, and {UNDECIDED}" if apart else f"pairwise: no majority, {UNDECIDED}"
        if apart and self._losses_differ(block.key, [name, *apart]):
            rule = f"pairwise: differs from {said}: {ANOTHER_EACH}, and {UNDECIDED}"
        far = block.far_from(name)
        if far:
            rule = f"pairwise: far from {listed(far)}, which are closer to each other: differs from {said}"
        elif block.near and name in block.near:
            others_far = [other for other in apart if other not in block.near]
            rule = (
                f"pairwise: differs from {said}; {listed(others_far)} is the one far off, and {UNDECIDED} of the rest"
            )
        floors = max((f for f in others.values() if math.isfinite(f)), default=None)
        figures = dict.fromkeys(("absolute_error", "relative_error", "error_ulps", "truth"))  # of nobody's truth
        cause = relation(block, name, apart[0], self.sizes) if apart else ""
        return msgspec.structs.replace(finding, verdict="wrong", rule=rule, floors=floors, cause=cause, **figures)

    def _losses_differ(self, key: Key, names: Sequence[str]) -> bool:
        """Whether a difference is one of losses: of their values, or of gradients that are each that of its own."""
        if key == ("loss", ""):
            return True
        own = {
            e.backend: e for e in self.own if (e.quantity, e.parameter) == key and e.consistent and e.kind == "smooth"
        }
        if key[0] != "gradient" or not own.keys() >= set(names):
            return False
        values = [own[name].value or 0.0 for name in names]
        known = OWN_ERRORS * max(own[name].error or 0.0 for name in names)
        return max(values) - min(values) > 2 * known  # and not an error that the losses' values do not resolve

    def _explained(self, finding: Finding) -> Finding:
        """With what the backend's own loss says of the gradient, and whether it is the loss that differs."""
        if self.shared:
            return msgspec.structs.replace(finding, rule=f"{finding.rule}; {self.stop_words}")
        if finding.backend in self.leaks and finding.verdict == "wrong":
            said = self.leaks[finding.backend].get(finding.block, "")
            return msgspec.structs.replace(finding, cause=finding.cause or said)
        own = self.denied.get((finding.backend, finding.quantity, finding.parameter))
        stop = self.stops.get(finding.backend, "")
        if (
            stop
            and finding.quantity != "loss"
            and finding.verdict in ("agrees", "wrong")
            and (own is not None or finding.verdict == "wrong")
        ):
            return msgspec.structs.replace(
                finding, verdict=UNRESOLVED, rule=self._which_is_meant(finding.backend), cause=""
            )
        if own is not None:
            where = f"along a direction in {finding.parameter}" if finding.parameter else "along the tangents"
            where += ", from one side of a kink," if own.kind == "kink" else ""
            rule = (
                f"{DENIED[finding.quantity]}: {where} it gives {own.along:.12g}, and values of "
                f"{SOURCE[finding.quantity]} {own.value:.12g} to within {own.error:.1g}"
            )
            others = "; the other backends' are the same" if finding.verdict == "agrees" else f"; {finding.rule}"
            return msgspec.structs.replace(finding, verdict="wrong", rule=rule + others)
        if finding.verdict == "wrong" and finding.quantity != "loss" and finding.backend in self.meant:
            return msgspec.structs.replace(finding, verdict=UNRESOLVED, rule=self.meant[finding.backend], cause="")
        undecided = not self.blocks[finding.quantity, finding.parameter].agreeing
        if finding.verdict != "wrong" or undecided or _is_leak(finding):
            return finding
        off = self.another_loss(finding.backend)
        if off and finding.quantity == "loss":
            return msgspec.structs.replace(finding, rule=f"{ANOTHER_LOSS}: {finding.rule}")
        if off:
            return msgspec.structs.replace(finding, rule=f"{ANOTHER_LOSS} ({off} differs): {finding.rule}")
        return finding

    @property
    def stop_words(self) -> str:
        """The question that a gradient raises which all stop alike; ``""`` where none is."""
        return f"all {len(self.answers)} backends stop the gradient at {self.shared}: intended?" if self.shared else ""

    def _which_is_meant(self, name: str) -> str:
        """The question that is left where one backend stops the gradient, and others do not."""
        stopping = [n for n, at in self.stops.items() if at == self.stops[name]]
        others = [other for other in self.answers if other not in self.stops]
        do = "stops" if len(stopping) == 1 else "stop"
        go = f"{listed(others)} {'does' if len(others) == 1 else 'do'} not: which is meant?" if others else "intended?"
        return f"{listed(stopping)} {do} the gradient at {self.stops[name]}, and {go}"

    def pairwise(self, findings: Sequence[Finding]) -> Pairwise:
        """The matrix, the evidence of every backend's own loss, and who differs."""
        names = list(self.answers)
        matrix = [
            Disagreement(quantity=key[0], parameter=key[1], floors=block.matrix(names), agreeing=block.agreeing)
            for key, block in [*self.blocks.items(), *self.primal.items()]
        ]
        outliers = [outlier for name in names if (outlier := self._outlier(name, findings)) is not None]
        return Pairwise(
            backends=names,
            matrix=matrix,
            own=self.own,
            outliers=outliers,
            relation=one_relation(names, self.blocks, findings),
            stopped=self.stop_words,
        )

    def _outlier(self, name: str, findings: Sequence[Finding]) -> Outlier | None:
        bad = [
            f
            for f in findings
            if f.backend == name
            and f.verdict not in (*GOOD, UNRESOLVED)
            and self.blocks[f.quantity, f.parameter].agreeing
        ]
        blocks = [f.block for f in bad]
        cause = by_block({f.block: f.cause for f in bad if f.cause not in self.leaks.get(name, {}).values()}, blocks)
        denied = {quantity: [key[2] for key in self.denied if key[:2] == (name, quantity)] for quantity in DENIED}
        if name in self.stops and not self.shared:
            return None
        off = self.another_loss(name)
        loss = f"{ANOTHER_LOSS}: {off} differs, and nothing here says which is meant"
        if name in self.leaks:
            block, words = next(iter(self.leaks[name].items()))
            return Outlier(backend=name, kind="precision", cause=cause, finding=f"{words} (in {block})")
        if any(f.quantity == "loss" and _is_leak(f) for f in bad):
            words = f"computes in a lower precision than {self.dtype}, in {listed(blocks)}"
            return Outlier(backend=name, kind="precision", cause=cause, finding=words)
        if any(denied.values()):
            said = [f"{DENIED[q]}, in {listed(p)}" if p != [""] else DENIED[q] for q, p in denied.items() if p]
            words = "; ".join(said) + (f"; and {loss}" if off else "")
            return Outlier(backend=name, kind="gradient", cause=cause, finding=words)
        if off:
            return Outlier(backend=name, kind="loss", cause=cause, finding=loss)
        if not blocks or name in self.meant:
            return None
        return Outlier(
            backend=name, kind="unknown", cause=cause, finding=f"differs from the others in {listed(blocks)}"
        )


def _is_leak(finding: Finding) -> bool:
    return " leak: " in finding.cause
