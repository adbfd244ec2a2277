"""Linear algebra that a neutral loss may use, in every framework, against the certified value and derivatives."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

from gradparity.judge.verdicts import AGREES_FLOORS
from gradparity.truth.derivatives.reverse import differentiate
from gradparity.truth.model.floor import Tape
from gradparity.truth.xp.namespace import xp as certified
from tests.conftest import configured
from tests.truth.test_namespace import close

RNG = np.random.default_rng(11)
TALL, SQUARE, WIDE = (
    RNG.standard_normal((4, 3)),
    RNG.standard_normal((3, 3)) + 2 * np.eye(3),
    RNG.standard_normal((2, 3)),
)


def squares(v: Any) -> Any:
    """v v^T of every column, which has no sign."""
    return v[:, :, None] * v[:, None, :]


def symmetric(a: Any) -> Any:
    return a + a.T


#: Of the namespace and one matrix.
CASES: dict[str, tuple[Any, Callable[[Any, Any], Any]]] = {
    "cholesky": (TALL, lambda xp, a: xp.linalg.cholesky(a.T @ a)),
    "cond": (TALL, lambda xp, a: xp.linalg.cond(a)),
    "cond 1": (SQUARE, lambda xp, a: xp.linalg.cond(a, 1)),
    "det": (SQUARE, lambda xp, a: xp.linalg.det(a)),
    "diagonal": (TALL, lambda xp, a: xp.linalg.diagonal(a)),
    "eigh": (SQUARE, lambda xp, a: squares(xp.linalg.eigh(symmetric(a))[1].T)),
    "eigvalsh": (SQUARE, lambda xp, a: xp.linalg.eigvalsh(symmetric(a))),
    "inv": (SQUARE, lambda xp, a: xp.linalg.inv(a)),
    "lstsq": (TALL, lambda xp, a: xp.linalg.lstsq(a, a[:, 0] ** 2)[0]),
    "lstsq of columns": (TALL, lambda xp, a: xp.linalg.lstsq(a, a**2)[1]),
    "lstsq wide": (WIDE, lambda xp, a: xp.linalg.lstsq(a, a[:, 0] ** 2)[0]),
    "lstsq of full rank": (TALL, lambda xp, a: xp.linalg.lstsq(a, a[:, 0] ** 2, rcond=1e-3)[0]),
    "pinv of full rank": (TALL, lambda xp, a: xp.linalg.pinv(a, rcond=1e-3)),
    "matmul": (TALL, lambda xp, a: xp.linalg.matmul(a.T, a)),
    "matrix_norm": (TALL, lambda xp, a: xp.linalg.matrix_norm(a)),
    "matrix_norm nuc": (TALL, lambda xp, a: xp.linalg.matrix_norm(a, ord="nuc")),
    "matrix_power": (SQUARE, lambda xp, a: xp.linalg.matrix_power(a, 3)),
    "matrix_transpose": (TALL, lambda xp, a: xp.linalg.matrix_transpose(a)),
    "multi_dot": (SQUARE, lambda xp, a: xp.linalg.multi_dot([a, a * a, a])),
    "norm": (TALL, lambda xp, a: xp.linalg.norm(a)),
    "norm 2": (TALL, lambda xp, a: xp.linalg.norm(a, 2)),
    "norm -2": (WIDE, lambda xp, a: xp.linalg.norm(a, -2)),
    "norm 1": (TALL, lambda xp, a: xp.linalg.norm(a, 1)),
    "norm inf": (TALL, lambda xp, a: xp.linalg.norm(a, np.inf)),
    "norm of rows": (TALL, lambda xp, a: xp.linalg.norm(a, axis=1)),
    "outer": (TALL, lambda xp, a: xp.linalg.outer(a[0], a[1])),
    "pinv": (TALL, lambda xp, a: xp.linalg.pinv(a)),
    "pinv wide": (WIDE, lambda xp, a: xp.linalg.pinv(a)),
    "qr": (TALL, lambda xp, a: xp.linalg.qr(a)[0]),
    "qr square": (SQUARE, lambda xp, a: xp.linalg.qr(a)[1]),
    "qr wide": (WIDE, lambda xp, a: xp.linalg.qr(a)[1]),
    "slogdet": (SQUARE, lambda xp, a: xp.linalg.slogdet(a)[1]),
    "solve": (SQUARE, lambda xp, a: xp.linalg.solve(a, a * a)),
    "svd": (TALL, lambda xp, a: squares(xp.linalg.svd(a, full_matrices=False)[2])),
    "svd of U": (TALL, lambda xp, a: squares(xp.linalg.svd(a, full_matrices=False)[0].T)),
    "svd wide": (WIDE, lambda xp, a: squares(xp.linalg.svd(a, full_matrices=False)[0].T)),
    "svd square": (SQUARE, lambda xp, a: squares(xp.linalg.svd(a)[2])),
    "svdvals": (WIDE, lambda xp, a: xp.linalg.svdvals(a)),
    "tensordot": (TALL, lambda xp, a: xp.linalg.tensordot(a, a, axes=2)),
    "trace": (SQUARE, lambda xp, a: xp.linalg.trace(a)),
    "vecdot": (TALL, lambda xp, a: xp.linalg.vecdot(a, a * a)),
    "vector_norm": (TALL, lambda xp, a: xp.linalg.vector_norm(a, axis=0)),
}  # fmt: skip


def loss(p: Any, d: Any, xp: Any) -> Any:
    """The squares of what a case gives, weighted irregularly: of all cases that have a parameter."""
    total: Any = 0.0
    for name, a in p.items():
        out = CASES[name][1](xp, a)
        weights = np.sin(1 + np.arange(int(np.prod(tuple(out.shape))))).reshape(tuple(out.shape))
        total = total + xp.sum(out * out * xp.asarray(weights))
    return total


PARAMS = {name: matrix for name, (matrix, _) in CASES.items()}
DIRECTION = {name: np.cos(3 * matrix) for name, matrix in PARAMS.items()}


@cache
def truth() -> tuple[Any, Any]:
    """Gradient and H v, and their floors."""
    found = differentiate(loss, PARAMS, {}, DIRECTION)
    assert found is not None
    assert found.settled
    blocks = {key: each.as_longdouble() for key, each in found.blocks.items()}
    return blocks, Tape(loss, PARAMS, {}, DIRECTION).floor(blocks, "float64", seed=0, seconds=0)


@cache
def answer(backend: str) -> tuple[Any, Any]:
    """Gradient and H v."""
    framework = configured(backend)
    xp = framework.namespace()
    if backend == "jax":
        import jax

        def derivatives(p: Any, v: Any) -> Any:
            return jax.jvp(jax.grad(lambda p: loss(p, {}, xp)), (p,), (v,))

        # One program, barely optimised: compiling each well takes minutes.
        compiled = jax.jit(derivatives).lower(PARAMS, DIRECTION).compile({"xla_backend_optimization_level": 0})
        gradient, product = compiled(PARAMS, DIRECTION)
    else:
        params, direction = framework.put(PARAMS), framework.put(DIRECTION)
        program = framework.program(lambda p, d: loss(p, d, xp))
        gradient, product = program.value_and_gradient(params, {})[1], program.hvp(params, {}, direction)
    return framework.get(gradient), framework.get(product)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("backend", [pytest.param("jax", marks=pytest.mark.slow), "torch", "autograd"])
def test_a_name_has_the_certified_derivatives_in_every_framework(backend: str, name: str) -> None:
    blocks, floor = truth()
    for quantity, found in zip(("gradient", "hvp"), answer(backend), strict=True):
        error = np.abs(found[name] - blocks[quantity, name])
        assert np.all(error <= AGREES_FLOORS * floor[quantity, name]), (error, floor[quantity, name])


@pytest.mark.parametrize("name", CASES)
def test_a_name_has_numpys_value(name: str) -> None:
    matrix, case = CASES[name]
    close(case(certified, matrix), case(configured("numpy").namespace(), matrix), rtol=1e-11)


def test_every_name_is_among_the_cases() -> None:
    names = {name for name in dir(certified.linalg) if not name.startswith("_")}
    assert {name.partition(" ")[0] for name in CASES} == names
