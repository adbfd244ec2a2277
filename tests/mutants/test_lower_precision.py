"""A port that computes in a lower precision somewhere is named with it, and a formula that is off by as much is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gradparity.judge.causes.block import WrongBlock
from gradparity.judge.causes.patterns import FORMATS, explain
from gradparity.judge.causes.precision import EITHER, spacings, with_precision
from gradparity.judge.verdicts import judge_values
from gradparity.numerics.perturbation import along_line, floor_from, perturbed
from gradparity.truth.reference import Reference

Cast = Callable[[Any], Any]


def to_bits(values: Any, bits: int) -> Any:
    """Rounded to so many significant bits, to even: IEEE 754, section 4.3.1; exponents are not limited."""
    fraction, exponent = np.frexp(values)
    return np.ldexp(np.rint(np.ldexp(fraction, bits)), exponent - bits)


def problem(seed: int) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng([seed, 41])
    params = {"W": 0.5 * rng.standard_normal((4, 6)), "v": rng.standard_normal(6)}
    tangents = {name: rng.standard_normal(value.shape) for name, value in params.items()}
    return params, {"X": rng.standard_normal((12, 4)), "y": rng.standard_normal(12)}, tangents


def evaluated(params: Any, data: Any, tangents: Any, change: Cast = lambda h: h, dtype: Any = np.float64) -> Any:
    """``mean((tanh(X W) v - y)^2)`` and its gradient by hand, through a change of the hidden values."""
    wide = np.longdouble if dtype is np.longdouble else np.float64
    W, v, X, y = (np.asarray(value, wide) for value in (params["W"], params["v"], data["X"], data["y"]))
    h = change(np.tanh(X @ W))
    residual = h @ v - y
    slope = 2 * residual / len(y)
    gradient = {"W": X.T @ (np.outer(slope, v) * (1 - h * h)), "v": h.T @ slope}
    return {"loss": {"": np.asarray(np.mean(residual**2))}, "gradient": gradient}


def causes(seed: int, change: Cast, seen: Any = None) -> set[str]:
    inputs = problem(seed)
    truth = evaluated(*inputs, dtype=np.longdouble)
    right, got = evaluated(*inputs), evaluated(*inputs, change)
    draws = [evaluated(*moved) for moved in perturbed(*inputs, seed=seed)]
    line = [evaluated(*moved) for moved in along_line(*inputs, seed=seed)]
    floor = floor_from(right, draws, "float64", line)
    reference = Reference({(q, p): v for q, tree in truth.items() for p, v in tree.items()}, floor, "by hand")
    found = judge_values("port", got, reference, "float64")
    assert {f.verdict for f in found} == {"wrong"}
    lines = {
        name: [evaluated(*moved, change) for moved in along_line(*inputs, seed=seed, spacing=spacing)]
        for name, spacing in spacings("float64").items()
    }
    named = with_precision(found, {"port": got}, reference.truth, reference.floor, {"port": lines}, seen=seen)
    return {f.cause.partition(":")[0] for f in named}


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("name", FORMATS)
def test_a_rounding_inside_is_named_from_its_size(name: str, seed: int) -> None:
    named = causes(seed, lambda h: to_bits(h, FORMATS[name])) - {""}
    assert named
    assert named <= {f"{name} leak", *([] if name == "float32" else [f"{EITHER} leak"])}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("decimals", [2, 3, 6, 7])
def test_a_rounding_to_decimals_is_no_format_where_no_value_has_its_dtype(decimals: int, seed: int) -> None:
    named = causes(seed, lambda h: np.round(h, decimals), seen={"port": ["float64", "int64"]})
    assert all(each.startswith("its answers scatter by") for each in named - {""})
    assert decimals == 2 or named != {""}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", FORMATS)
def test_a_format_is_the_one_that_values_on_the_way_have(name: str, seed: int) -> None:
    dtype = {"float16 or TF32": "float16"}.get(name, name)
    named = causes(seed, lambda h: to_bits(h, FORMATS[name]), seen={"port": ["float64", dtype]}) - {""}
    assert named == {f"{dtype} leak"}


SMOOTH: dict[str, Cast] = {
    "an eps of 1e-8": lambda h: h / np.sqrt(1 + 1e-8 * h),
    "a shift of 1e-7": lambda h: h + 1e-7,
    "a constant of seven digits": lambda h: h * (3.141593 / np.pi) ** 0.5 + 1e-9,
    "a row that weighs 1 + 1e-10": lambda h: h * (1 + 1e-10 * (np.arange(len(h)) == 3))[:, None],
    "a threshold": lambda h: np.where(h > 0.3, h + 3e-9, h),
    "a cubic of 1e-3": lambda h: h + 1e-3 * h**3,
    "a clamp": lambda h: np.clip(h, -0.9, 0.9),
}


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("change", SMOOTH)
def test_a_formula_that_is_off_by_as_much_is_no_leak(change: str, seed: int) -> None:
    assert not {words for words in causes(seed, SMOOTH[change]) if "leak" in words}


@pytest.mark.parametrize("seed", [17, 22, 28, 35, 38, 46, 57])
def test_a_wrong_rule_beside_a_formula_that_bends_over_a_rounding_of_the_format_is_no_leak(seed: int) -> None:
    """Divided by the unbiased deviation for the biased, x near 1000: bfloat16 numbers are 4 apart there."""
    rng = np.random.default_rng([seed, 43])
    inputs = (
        {"m": np.array(0.5)},
        {"x": 1000 + rng.standard_normal(10), "y": rng.standard_normal(10)},
        {"m": np.ones(())},
    )

    def deviation(params: Any, data: Any, tangents: Any, ddof: int = 0, wide: Any = np.float64) -> Any:
        m, x, y = (np.asarray(each, wide) for each in (params["m"], data["x"], data["y"]))
        z = (x - x.mean()) / x.std(ddof=ddof)
        left = m * z - y
        blocks = {"loss": {"": np.mean(left**2)}, "gradient": {"m": 2 * np.mean(left * z)}}
        return {quantity: {name: np.asarray(v) for name, v in tree.items()} for quantity, tree in blocks.items()}

    truth, got = deviation(*inputs, wide=np.longdouble), deviation(*inputs, ddof=1)
    draws = [deviation(*moved) for moved in perturbed(*inputs, seed=seed)]
    floor = floor_from(
        deviation(*inputs), draws, "float64", [deviation(*each) for each in along_line(*inputs, seed=seed)]
    )
    lines = {
        name: [deviation(*moved, ddof=1) for moved in along_line(*inputs, seed=seed, spacing=spacing)]
        for name, spacing in spacings("float64").items()
    }
    known = {(q, p): np.asarray(v, np.longdouble) for q, tree in truth.items() for p, v in tree.items()}
    found = judge_values("port", got, Reference(known, floor, "by hand"), "float64")
    assert {f.verdict for f in found} == {"wrong"}
    named = with_precision(found, {"port": got}, known, floor, {"port": lines})
    assert not any("leak" in f.cause for f in named)


#: A parameter's value that no loss has without it.
AT = np.array([np.pi, -np.e])


def explained(got: Any, truth: Any, agrees: Any = (), floor: float = 1e-16, sizes: Any = (), quantity: str = "") -> str:
    truth, key = np.asarray(truth, np.longdouble), (quantity or "gradient", "w")
    reference = Reference({key: truth}, {key: np.full(truth.shape, floor, np.longdouble)}, "by hand")
    return explain(
        WrongBlock(*key, np.asarray(got, float), reference, None, dict(agrees), 8.0, sizes=dict(sizes), at=AT)
    )


def test_numbers_of_few_bits_are_no_evidence_of_a_float32() -> None:
    assert explained([0.5, -3.0, 2.0], [0.5 + 1e-8, -3 - 3e-8, 2 - 4e-8]) == ""
    pi = np.float32(np.pi)
    assert explained([0.5, pi], [0.5, np.pi]) == "float32 leak: every entry is a float32 number"


def test_a_block_of_bfloat16_numbers_is_named_and_one_of_simple_numbers_is_not() -> None:
    truth = np.array([0.3, -1.7, 2.9, 0.61])
    assert explained(to_bits(truth, 8), truth) == "bfloat16 leak: every entry is a bfloat16 number"
    assert explained(to_bits(truth, 11), truth) == "float16 or TF32 leak: every entry is a float16 or TF32 number"
    assert "leak" not in explained([0.5, -1.5, 3.0, 0.5], truth)


def test_a_factor_is_a_number_that_somebody_types_and_far_beyond_the_floor() -> None:
    truth = np.array([0.3, -1.7, 2.9])
    assert explained(truth * (1 + 2e-15), truth) == ""  # 20 floors in one entry
    assert explained(truth * (1 + 3.1415e-9), truth) == ""
    assert explained(truth * (1 + 1e-9), truth) == "factor 1 + 1e-09"
    assert explained(truth * 1.5, truth) == "factor 3/2"
    assert explained(truth / np.sqrt(3), truth) == "factor 1/sqrt(3)"
    assert explained(truth * 0.123456789, truth) == "factor 0.123456789"
    assert explained([0.3 * 1.37, 1e-18], [0.3, 1e-18]) == ""  # one entry alone is always some factor


def test_a_factor_that_is_a_length_of_the_data_is_said_to_be_that_too() -> None:
    truth, sizes = np.array([0.3, -1.7, 2.9]), {"X.shape[1]": 3}
    assert explained(truth * 3, truth, sizes=sizes) == "3 times the truth (3 is also X.shape[1])"
    assert explained(-truth / 3, truth, sizes=sizes) == "-1/3 of the truth (3 is also X.shape[1])"


def test_detached_takes_a_right_loss_and_paths_that_are_not() -> None:
    truth, others = [0.3, -1.7], {("gradient", "v"): True}
    cut = "zero block: the path to w is detached"
    assert explained([0.0, 0.0], truth, {("loss", ""): True, **others}) == cut
    assert explained([0.0, 0.0], truth, {("loss", ""): False, **others}) == "zero block"
    assert explained([0.0, 0.0], truth, {("loss", ""): True, ("gradient", "v"): False}) == "zero block"
    flat = {("loss", ""): True, ("gradient", "w"): True, ("hvp", "v"): True}
    assert explained([0.0, 0.0], truth, flat, quantity="hvp") == "zero block"
