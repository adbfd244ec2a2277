"""What an atlas holds answers to, against mpmath; and which functions it knows."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest

from gradparity import special
from gradparity.model_spec.errors import InputError
from gradparity.truth.functions import chosen, functions, known

mp = mpmath.mp
#: Functions as mpmath has them, with points in their ordinary part and in both tails.
REFERENCES: dict[str, tuple[Callable[..., Any], tuple[float, ...]]] = {
    "softplus": (lambda x: mpmath.log1p(mpmath.exp(x)), (-40.5, 0.3, 41.0)),
    "sigmoid": (lambda x: 1 / (1 + mpmath.exp(-x)), (-40.5, 0.3, 41.0)),
    "tanh": (mpmath.tanh, (-19.0, 1e-9, 0.7)),
    "erf": (mpmath.erf, (-5.5, 1e-9, 0.7)),
    "erfc": (mpmath.erfc, (-2.0, 26.0)),
    "erfinv": (mpmath.erfinv, (-0.999, 0.3)),
    "gelu": (lambda x: x * mpmath.ncdf(x), (-12.0, 0.5, 9.0)),
    "log_ndtr": (lambda x: mpmath.log(mpmath.ncdf(x)), (-21.0, 0.1, 8.0)),
    "digamma": (mpmath.digamma, (0.2, 1.5, 40.0, -2.3)),
    "polygamma(1, x)": (lambda x: mpmath.polygamma(1, x), (0.2, 1.5, 40.0, -2.3)),
    "gammaln": (lambda x: mpmath.log(abs(mpmath.gamma(x))), (0.2, 1.5, 40.0, -2.3)),
    "i0": (lambda x: mpmath.besseli(0, x), (-3.0, 0.5, 30.0)),
    "i1e": (lambda x: mpmath.exp(-x) * mpmath.besseli(1, x), (0.5, 30.0)),
    "sinc": (lambda x: mpmath.sin(mpmath.pi * x) / (mpmath.pi * x), (0.3, 1e-3, 7.25)),
    "logit": (lambda x: mpmath.log(x / (1 - x)), (1e-9, 0.3)),
    "arctanh": (mpmath.atanh, (-0.999, 0.3)),
}


@pytest.mark.parametrize("name", REFERENCES)
def test_value_and_derivatives_are_those_of_mpmath(name: str) -> None:
    reference, points = REFERENCES[name]
    function = chosen([name])[0]
    for x in points:
        found = known(function, np.float64(x), np.float64(0))
        assert found.status == "known"
        with mpmath.workdps(120):
            for order, truth in enumerate(found.truths):
                assert truth is not None
                assert truth.rad() <= abs(truth) * 2.0**-69  # far under an ulp, which is 2^-53 of it
                expected = mpmath.diff(reference, mpmath.mpf(x), order)
                middle = mpmath.mpf(truth.mid().str(60, radius=False))
                assert abs(middle - expected) <= abs(expected) * mpmath.mpf(2) ** -60


def test_a_truth_moves_as_far_as_its_derivative_says() -> None:
    (function,) = chosen(["exp"])
    for x in (np.float64(1.75), np.float32(1.75)):
        half_an_ulp = float(np.spacing(x)) / 2
        moves = known(function, x, x).moves
        assert [float(each) for each in moves] == pytest.approx([np.exp(1.75) * half_an_ulp] * 3, rel=1e-6)


@pytest.mark.parametrize(
    ("name", "x", "status", "slopes"),
    [
        ("relu", 0.0, "kink", (0.0, 1.0)),
        ("abs", 0.0, "kink", (-1.0, 1.0)),
        ("clip(x, -1, 1)", 1.0, "kink", (1.0, 0.0)),
        ("norm of (x, y)", 0.0, "kink", (-1.0, 1.0)),
        ("max of (x, y)", 0.0, "kink", (0.0, 1.0)),
        ("log", 0.0, "edge", None),
        ("log", -1.0, "outside", None),
        ("digamma", -2.0, "outside", None),
    ],
)
def test_kinks_and_edges_are_told_apart_from_points_without_a_value(
    name: str, x: float, status: str, slopes: tuple[float, float] | None
) -> None:
    found = known(chosen([name])[0], np.float64(x), np.float64(0))
    assert found.status == status
    if slopes is not None:
        assert found.left is not None
        assert found.truths[1] is not None
        assert (float(found.left), float(found.truths[1])) == slopes


def test_every_function_of_numbers_in_special_is_known() -> None:
    shaped = {
        *("softmax", "log_softmax", "logsumexp", "glu", "one_hot", "cumlogsumexp", "segment_sum", "conv"),
        *("avg_pool", "max_pool", "expm", "solve_triangular"),
    }
    named = {name for name, f in vars(special).items() if inspect.isfunction(f) and not name.startswith("_")}
    assert named - shaped <= {function.name for function in functions()}


def test_functions_are_each_known_once_and_answer_to_other_names() -> None:
    found = functions()
    assert len({function.label for function in found}) == len(found)
    assert chosen(["abs"]) == chosen(["absolute"])
    assert [each.label for each in chosen(["pow"])] == ["power(x, y)", "power(y, x)"]
    assert not {"ravel", "zeros_like", "sum", "cumsum", "asarray", "less"} & {each.name for each in found}


def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(InputError, match="sofplus"):
        chosen(["sofplus"])
