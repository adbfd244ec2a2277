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
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from gradparity.judge.distances import BlockAnswers
from gradparity.judge.figures import LOWER_PRECISION, finite
from gradparity.judge.verdicts import AGREES_FLOORS, judge_block, judge_values
from gradparity.model_spec.errors import InputError
from gradparity.numerics.perturbation import Floors
from gradparity.numerics.richardson import Derivative
from gradparity.results import Disagreement, Finding, Outlier, OwnDerivative, Pairwise
from gradparity.truth.reference import Reference

Array: TypeAlias = npt.NDArray[Any]
Key: TypeAlias = tuple[str, str]

#: A gradient is denied by its own loss beyond so many times the error of the extrapolated derivative, which itself
#: covers all but one of 7,807 drawn functions (`gradparity.numerics.richardson.DEVIATIONS`).
OWN_ERRORS = 2.0

ANOTHER_RULE = "its gradient is not the derivative of its own loss"
ANOTHER_LOSS = "its loss is a different function than the others'"
ANOTHER_EACH = "the losses are different functions"
UNDECIDED = "nothing here says which is wrong"


@dataclass(frozen=True)
class Answers:
    """What one backend gave: its values, their floors, and the derivatives of its own loss.

    ``values`` are by quantity (``loss``, ``gradient``, ``jvp``, ``hvp``) and parameter, ``floors`` what
    `gradparity.numerics.perturbation.floor_from` made of them. ``own`` has a `Derivative` for each parameter, of the
    float64 loss along that parameter's direction.
    """

    values: Mapping[str, Mapping[str, Array]]
    floors: Floors
    own: Mapping[str, Derivative] = field(default_factory=dict)


def judge_pairwise(
    answers: Mapping[str, Answers],
    directions: Mapping[str, Mapping[str, Array]],
    *,
    dtype: str,
    sizes: Mapping[str, int] | None = None,
) -> tuple[Pairwise, list[Finding]]:
    """The matrix of disagreements with who differs and why, and a finding for every backend and block.

    Args:
        answers: at least two backends' answers, by name.
        directions: for each parameter the direction that its ``own`` derivatives were taken along, as
            `gradparity.numerics.richardson.block_directions` gives them.
        dtype: the precision that was asked for.
        sizes: lengths that a sum and a mean may differ by, such as ``{"rows of X": 200}``.

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
    comparison = _Comparison(answers, directions, dtype, sizes or {})
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
    ) -> None:
        self.answers, self.dtype, self.sizes = answers, dtype, sizes
        self.blocks = {key: _block(key, answers, dtype) for key in _keys(answers)}
        self.own = [
            own_derivative(
                name, parameter, self.blocks.get(("gradient", parameter)), directions[parameter][parameter], own
            )
            for name in answers
            for parameter, own in answers[name].own.items()
        ]
        self.denied = {(each.backend, each.parameter): each for each in self.own if each.consistent is False}
        self.primal = self._primal_blocks()
        narrow = _noisier(answers)
        voters = [name for name in answers if name not in narrow]
        for (quantity, parameter), block in self.blocks.items():
            shape = np.shape(directions[parameter][parameter]) if parameter in directions else None
            block.vote([n for n in voters if quantity != "gradient" or (n, parameter) not in self.denied], shape)
        for block in self.primal.values():
            block.vote([name for name in voters if name in block.values])

    def _primal_blocks(self) -> dict[Key, BlockAnswers]:
        """The derivatives of the backends' own losses as one more quantity, with the error of each as its floor."""
        usable = {
            name: {parameter: d for parameter, d in answer.own.items() if d.usable}
            for name, answer in self.answers.items()
        }
        as_answers = {
            name: Answers(
                {"primal": {parameter: np.asarray(d.value, self.dtype) for parameter, d in own.items()}},
                {
                    ("primal", parameter): np.asarray(
                        np.hypot(OWN_ERRORS * d.error / AGREES_FLOORS, abs(d.value) * np.finfo(self.dtype).eps),
                        np.longdouble,
                    )
                    for parameter, d in own.items()
                },
            )
            for name, own in usable.items()
        }
        return {key: _block(key, as_answers, self.dtype) for key in _keys(as_answers)}

    def another_loss(self, name: str) -> str:
        """In what the loss of a backend differs from a majority's, or ``""``."""
        for (quantity, parameter), block in [(("loss", ""), self.blocks.get(("loss", ""))), *self.primal.items()]:
            if block is not None and name in block.values and block.off(name):
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
                name, self.answers[name].values, reference, self.dtype, sizes=self.sizes, against="the median"
            )
            against_majority = {(finding.quantity, finding.parameter): finding for finding in found}
        return [
            self._explained(
                self._by_majority(against_majority[key], block) if key in decided else self._alone(name, block)
            )
            for key, block in self.blocks.items()
            if key[0] in self.answers[name].values  # what a backend has no way to is no error of its
        ]

    def _by_majority(self, finding: Finding, block: BlockAnswers) -> Finding:
        among = [name for name in block.agreeing if name != finding.backend]
        if finding.backend in block.agreeing:
            alone = "the only answer that is not wrong by itself"
            rule = f"pairwise: {f'agrees with {_list(among)}' if among else alone}"
            return msgspec.structs.replace(finding, verdict="agrees", rule=rule, cause="")
        return msgspec.structs.replace(finding, rule=f"pairwise, against {_list(among)}: {finding.rule}")

    def _alone(self, name: str, block: BlockAnswers) -> Finding:
        """The finding on a block for which there is no majority."""
        value = self.answers[name].values.get(block.key[0], {}).get(block.key[1])
        itself = np.zeros((), np.longdouble) if value is None else np.nan_to_num(value.astype(np.longdouble))
        floor = block.floors.get(name, itself)
        finding = judge_block(name, *block.key, value, itself, floor, self.dtype, "no other backend's answer known to")
        if value is None or finding.verdict == "nonfinite" or value.dtype != np.dtype(self.dtype):
            return finding
        others = {other: block.apart[name, other] for other in block.values if other != name}
        apart = [other for other, floors in others.items() if floors > AGREES_FLOORS]
        said = _list([f"{other} by {_floors(others[other])}" for other in apart])
        rule = f"pairwise: differs from {said}, and {UNDECIDED}" if apart else f"pairwise: no majority, {UNDECIDED}"
        if apart and self._losses_differ(block.key, [name, *apart]):
            rule = f"pairwise: differs from {said}: {ANOTHER_EACH}, and {UNDECIDED}"
        floors = max((f for f in others.values() if math.isfinite(f)), default=None)
        figures = dict.fromkeys(("absolute_error", "relative_error", "error_ulps", "truth"))  # of nobody's truth
        return msgspec.structs.replace(finding, verdict="wrong", rule=rule, floors=floors, **figures)

    def _losses_differ(self, key: Key, names: Sequence[str]) -> bool:
        """Whether a difference is one of losses: of their values, or of gradients that are each that of its own."""
        if key == ("loss", ""):
            return True
        consistent = {each.backend for each in self.own if each.parameter == key[1] and each.consistent}
        return key[0] == "gradient" and consistent.issuperset(names)

    def _explained(self, finding: Finding) -> Finding:
        """With what the backend's own loss says of the gradient, and whether it is the loss that differs."""
        own = self.denied.get((finding.backend, finding.parameter)) if finding.quantity == "gradient" else None
        if own is not None:
            rule = (
                f"{ANOTHER_RULE}: along a direction in {finding.parameter} it gives {own.along:.12g}, and values of "
                f"the loss {own.value:.12g} to within {own.error:.1g}"
            )
            agreed = finding.verdict == "agrees"
            others = "; the other backends' gradients are the same" if agreed else f"; {finding.rule}"
            return msgspec.structs.replace(finding, verdict="wrong", rule=rule + others)
        undecided = not self.blocks[finding.quantity, finding.parameter].agreeing
        if finding.verdict != "wrong" or undecided or _is_leak(finding):
            return finding
        off = self.another_loss(finding.backend)
        if off and finding.quantity == "loss":
            return msgspec.structs.replace(finding, rule=f"{ANOTHER_LOSS}: {finding.rule}")
        if off:
            return msgspec.structs.replace(finding, rule=f"{ANOTHER_LOSS} ({off} differs): {finding.rule}")
        return finding

    def pairwise(self, findings: Sequence[Finding]) -> Pairwise:
        """The matrix, the evidence of every backend's own loss, and who differs."""
        names = list(self.answers)
        matrix = [
            Disagreement(quantity=key[0], parameter=key[1], floors=block.matrix(names), agreeing=block.agreeing)
            for key, block in [*self.blocks.items(), *self.primal.items()]
        ]
        outliers = [outlier for name in names if (outlier := self._outlier(name, findings)) is not None]
        return Pairwise(backends=names, matrix=matrix, own=self.own, outliers=outliers)

    def _outlier(self, name: str, findings: Sequence[Finding]) -> Outlier | None:
        bad = [
            f
            for f in findings
            if f.backend == name and f.verdict != "agrees" and self.blocks[f.quantity, f.parameter].agreeing
        ]
        blocks = [f.block for f in bad]
        cause = "; ".join(dict.fromkeys(f.cause for f in bad if f.cause))
        denied = [each.parameter for each in self.own if each.backend == name and each.consistent is False]
        off = self.another_loss(name)
        loss = f"{ANOTHER_LOSS}: {off} differs"
        if any(f.quantity == "loss" and _is_leak(f) for f in bad):
            words = f"computes in a lower precision than {self.dtype}, in {_list(blocks)}"
            return Outlier(backend=name, kind="precision", cause=cause, finding=words)
        if denied:
            words = f"{ANOTHER_RULE}, in {_list(denied)}" + (f"; and {loss}" if off else "")
            return Outlier(backend=name, kind="gradient", cause=cause, finding=words)
        if off:
            return Outlier(backend=name, kind="loss", cause=cause, finding=loss)
        if not blocks:
            return None
        return Outlier(backend=name, kind="unknown", cause=cause, finding=f"differs from the others in {_list(blocks)}")


def own_derivative(
    name: str, parameter: str, block: BlockAnswers | None, direction: Array, own: Derivative
) -> OwnDerivative:
    """A backend's gradient along a direction in one parameter, against what its own loss makes of it."""
    along, consistent = None, None
    value = None if block is None else block.values.get(name)
    if block is not None and value is not None and value.shape == direction.shape and np.isfinite(value).all():
        product = np.vdot(value.astype(np.longdouble), direction.astype(np.longdouble))
        # Entries move together when an input does: no cancellation is counted on.
        allowed = OWN_ERRORS * own.error + AGREES_FLOORS * np.sum(block.floors[name] * np.abs(direction))
        along, consistent = float(product), bool(abs(product - own.value) <= allowed) if own.usable else None
    return OwnDerivative(
        backend=name,
        parameter=parameter,
        kind=own.kind,
        along=along,
        value=finite(own.value),
        error=finite(own.error),
        consistent=consistent,
        evaluations=own.evaluations,
    )


def _block(key: Key, answers: Mapping[str, Answers], dtype: str) -> BlockAnswers:
    quantity, parameter = key
    has = {name: a for name, a in answers.items() if parameter in a.values.get(quantity, {})}
    values = {name: a.values[quantity][parameter] for name, a in has.items()}
    return BlockAnswers(key, values, {name: a.floors[key] for name, a in has.items()}, dtype)


def _is_leak(finding: Finding) -> bool:
    return finding.cause.startswith("float32 leak")


def _noisier(answers: Mapping[str, Answers]) -> set[str]:
    """Backends whose own loss is so much noisier than another's that it is computed in a lower precision."""
    noise = {
        name: float(np.median([d.noise for d in answer.own.values()])) for name, answer in answers.items() if answer.own
    }
    least = min(filter(math.isfinite, noise.values()), default=math.nan)
    return {name for name, value in noise.items() if value > LOWER_PRECISION * least}


def _keys(answers: Mapping[str, Answers]) -> list[Key]:
    """Every block that any backend has, in the order of quantities and parameters."""
    found = dict.fromkeys(
        (quantity, parameter) for a in answers.values() for quantity, tree in a.values.items() for parameter in tree
    )
    quantities = list(dict.fromkeys(quantity for quantity, _ in found))
    return sorted(found, key=lambda key: quantities.index(key[0]))


def _list(words: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def _floors(value: float) -> str:
    return f"{value:.3g} floors" if math.isfinite(value) else "more than can be compared"
