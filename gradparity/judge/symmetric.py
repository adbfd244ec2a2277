"""The gradient of a symmetric argument: triangular or symmetrised, by a convention that frameworks differ in. Pure.

A function of a symmetric matrix that reads one of its triangles has no entries of a gradient in the other; its
symmetrised gradient ``(G + G^T) / 2`` has the same product with every symmetric direction, and is as right. That the
argument is read as symmetric is seen from the parameter, which is a symmetric matrix and no diagonal one, and from the
truth: one of its triangles is exactly zero, or it is symmetric itself. A transpose, ``G^T``, is none of these forms.

References: Giles, An extended collection of matrix derivative results, 2008; pytorch/pytorch#18825, jax-ml/jax#40421.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gradparity.model_spec.symmetry import is_symmetric
from gradparity.numerics.extended import Extended
from gradparity.truth.reference import Reference

CONVENTION = "by the other convention for a symmetric argument, which a triangle or both halves stand for"


def other_form(truth: Extended) -> Extended | None:
    """The symmetrised form of a triangular gradient, the lower triangle's of a symmetric one; else ``None``."""
    lower, upper = np.tril(truth, -1), np.triu(truth, 1)
    if lower.any() != upper.any():
        return np.asarray((truth + truth.T) / 2)
    if lower.any() and np.array_equal(truth, truth.T):
        return np.asarray(np.tril(truth) + lower)
    return None


def by_convention(
    reference: Reference,
    quantities: Mapping[str, Mapping[str, npt.NDArray[Any]]],
    params: Mapping[str, npt.NDArray[Any]],
    floors: float,
) -> tuple[Reference, set[tuple[str, str]]]:
    """The reference of one backend, and the blocks in which it has the other form of a gradient or its derivative."""
    found: dict[tuple[str, str], tuple[Extended, Extended]] = {}
    for key, truth in reference.truth.items():
        quantity, parameter = key
        got = quantities.get(quantity, {}).get(parameter)
        if quantity not in ("gradient", "hvp") or got is None or got.shape != truth.shape:
            continue
        if not is_symmetric(params[parameter]) or not (np.isfinite(truth).all() and np.isfinite(got).all()):
            continue
        form, floor = other_form(truth), np.maximum(reference.floor[key], reference.floor[key].T)
        if form is not None and (np.abs(got - form) <= floors * floor).all():
            found[key] = form, floor
    if not found:
        return reference, set()
    truths, widths = dict(reference.truth), dict(reference.floor)
    for key, (form, floor) in found.items():
        truths[key], widths[key] = form, floor
    return replace(reference, truth=truths, floor=widths), set(found)
