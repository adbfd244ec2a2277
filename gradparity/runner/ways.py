"""What a backend has no way to, why, and what would give it; and two ways to one quantity, judged together."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from gradparity.judge.verdicts import Values
from gradparity.model_spec.problem import AnyProblem
from gradparity.results import GOOD, Diagnosis, Finding, NotGiven, worst

#: Words of the frameworks' own messages, and what gives the derivative that they refuse.
_CURES = (
    (r"^it failed before", "See what failed."),
    ("its process had ended", "See what failed, or was left out."),
    (
        "ProgramFailed: the program",
        'Its "can" says that it does: a word that it does not answer does not belong there.',
    ),
    (
        "scaled_dot_product",
        "The plain kernel has it: call it under torch.nn.attention.sdpa_kernel(SDPBackend.MATH).",
    ),
    ("once_differentiable", "Take @once_differentiable off, and write that backward with operations of torch."),
    ("setup_context", "Give that autograd.Function a setup_context, and a jvp for forward mode."),
    ("custom_vjp", "Use jax.custom_jvp, from which JAX derives both modes."),
    ("callback", "Give the callback a jax.custom_jvp whose rule JAX can differentiate."),
    ("no other backend", "Write a loss(params, data, xp) that can be certified, or check it beside another backend."),
    ("time budget", "--budget SECONDS allows more."),
    ('does not say "can"', "A program whose answers have it is asked for it (docs/howto/external_program.md)."),
    ("no evaluation of GradBench", "It is no fault of the tool: the protocol asks for loss and gradient."),
    ("derived by hand", "Without it the backend's own derivatives are compared."),
    ("its program has no", "The backend's protocol says what such a method returns."),
)
_SCALARS = ("loss", "jvp")
_OTHERWISE = "Write that operation with others that the framework can differentiate twice."


def not_given(backend: str, without: Mapping[str, str]) -> list[NotGiven]:
    """What a backend was asked for and does not give, with what would give it; nothing of what nobody asked for."""
    return [
        NotGiven(
            backend=backend,
            quantity=quantity,
            reason=reason,
            cure=next((cure for said, cure in _CURES if re.search(said, reason)), _OTHERWISE),
        )
        for quantity, reason in without.items()
        if reason
    ]


def explained(findings: Sequence[Finding], instead: Mapping[str, str]) -> list[Finding]:
    """The findings, with how a quantity was obtained where it was not by the framework's own way to it."""
    return [
        msgspec.structs.replace(found, rule=f"{found.rule}; {instead[found.quantity]}")
        if found.quantity in instead
        else found
        for found in findings
    ]


def wider(backend: str, quantities: Values, problem: AnyProblem) -> list[Diagnosis]:
    """Said of a loss, or a JVP, of float64 where parameters and data are float32 throughout."""
    arrays = [*problem.params.values(), *problem.data.values()]
    wide = [name for name in _SCALARS if name in quantities and quantities[name][""].dtype == np.float64]
    if not wide or any(value.dtype == np.float64 for value in arrays):
        return []
    return [
        Diagnosis(
            name=f"a wider dtype on {backend}",
            finding=f"dtype float64 of its {' and '.join(wide)}, where parameters and data are float32: computed in "
            "another precision than asked for",
            cure="Look for .double(), or for a constant of float64 that NumPy or JAX promotes by.",
        )
    ]


def narrowed(quantities: Values, problem: AnyProblem) -> dict[str, dict[str, Any]]:
    """The values, with loss and JVP in the parameters' narrowest dtype: frameworks promote scalars differently."""
    dtype = np.dtype(problem.spec.dtype)
    return {
        quantity: {
            name: value.astype(dtype) if quantity in _SCALARS and value.dtype.itemsize > dtype.itemsize else value
            for name, value in tree.items()
        }
        for quantity, tree in quantities.items()
    }


def left_open(findings: Sequence[Finding], why: str) -> list[Finding]:
    """The findings, with that nothing tells a poor formula from a wrong rule where the other precision would have."""
    open_ = f"; unstable or wrong is open, for want of a run in {why}"
    return [
        msgspec.structs.replace(found, rule=found.rule + open_)
        if found.verdict == "wrong" and found.floors is not None
        else found
        for found in findings
    ]


def both(first: Sequence[Finding], second: Sequence[Finding], ways: Sequence[str]) -> Iterator[Finding]:
    """The worse finding of each block that two ways lead to; where one is good and one is not, with which it is.

    Where one way gives no number, the other decides: who goes that way sees it, and `differing` says so.
    """
    other = {(found.quantity, found.parameter): found for found in second}
    for found in first:
        twin = other.get((found.quantity, found.parameter))
        if twin is None or (found.verdict in GOOD and twin.verdict in GOOD):
            yield found
            continue
        shown = worst([found, twin])
        least = twin if shown is found else found
        if shown.verdict == "nonfinite" and least.verdict in GOOD:
            way, none = ways if least is found else reversed(ways)
            yield msgspec.structs.replace(least, rule=f"{least.rule}, by {way}; {none} gives no number")
            continue
        here, there = ways if shown is found else reversed(ways)
        apart = {found.verdict in GOOD, twin.verdict in GOOD} == {True, False}
        rule = f"by {here}: {shown.rule}; {there} agrees" if apart else shown.rule
        yield msgspec.structs.replace(shown, rule=rule)


def differing(
    backend: str, first: Sequence[Finding], second: Sequence[Finding], ways: Sequence[str]
) -> list[Diagnosis]:
    """Said of a backend whose users get another HVP by one way than by the other."""
    other = {found.block: found for found in second}
    pairs = {found.block: (found, other[found.block]) for found in first}
    apart = {block: pair for block, pair in pairs.items() if len({each.verdict in GOOD for each in pair}) == 2}
    if not apart:
        return []
    block, pair = next(iter(apart.items()))
    right = ways[[each.verdict in GOOD for each in pair].index(True)]
    bad = next(each for each in pair if each.verdict not in GOOD)
    where = f"[{', '.join(map(str, bad.worst_index))}]" if bad.worst_index else ""
    said = f"{' and '.join(ways)} give two answers in {', '.join(apart)}"
    other_is = "is no number" if bad.verdict == "nonfinite" else "is not"
    got = f", at {block}{where} {bad.got:.6g} where {bad.truth:.6g} is true" if None not in (bad.got, bad.truth) else ""
    return [
        Diagnosis(
            name=f"two HVPs on {backend}",
            finding=f"{said}: {right} is right, the other {other_is}{got}",
            cure="torch.autograd.functional and a second backward() go by double backward, torch.func.jvp of "
            "torch.func.grad by forward over reverse.",
        )
    ]


def prints(name: str, log: str) -> Diagnosis:
    """That the loss of a user's prints on this backend, into this log."""
    said = f"it printed while it was evaluated, into logs/{log}"
    cure = "Printing takes time, which is timed too: leave it out of the loss."
    return Diagnosis(name=f"the model prints on {name}", finding=said, cure=cure)
