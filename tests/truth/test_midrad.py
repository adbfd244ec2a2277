"""Enclosures of whole arrays contain what Arb has, and a radius that is too small by a hundredth is found."""

import itertools
from collections.abc import Callable
from typing import Any

import flint
import numpy as np
import pytest
from flint import arb

from gradparity.truth.numbers import doubled, elementary, error_function, midrad, slices
from gradparity.truth.numbers.arrays import Array, asarray
from gradparity.truth.numbers.context import Context, UndecidedError, evaluation
from gradparity.truth.numbers.midrad import MidRad, assembled, enclosures
from gradparity.truth.xp.namespace import xp
from tests.evidence.enclosed_graphs import campaign
from tests.truth.enclosure_samples import BITS, EDGES, corners, exact, numbers
from tests.truth.test_reverse import EXPRESSIONS


def missed(kernel: Callable[..., Any], truth: Callable[..., arb], *operands: MidRad) -> int:
    """How many results do not contain the true value at an end or midpoint of every operand."""
    found = midrad.blocked(kernel, *operands)
    count = 0
    with flint.ctx.workprec(BITS):
        for place in np.flatnonzero(midrad.is_known(found)):
            mid, radius = exact(found["high"][place]) + exact(found["low"][place]), exact(found["radius"][place])
            values = [truth(*at) for at in itertools.product(*(corners(x, place) for x in operands))]
            # A value off by less than what these bits round counts for nothing.
            count += not all(not value.is_finite() or not (abs(value - mid) > radius) for value in values)
    return count


def positive(x: MidRad) -> MidRad:
    return assembled((np.abs(x["high"]), np.sign(x["high"]) * x["low"], x["radius"]))


OPERATIONS: dict[str, tuple[Callable[..., Any], Callable[..., arb], tuple[float, ...], bool]] = {
    "add": (doubled.add, lambda a, b: a + b, (1.0, 1e-30), False),
    "subtract": (doubled.subtract, lambda a, b: a - b, (1.0, 1.0), False),
    "multiply": (doubled.multiply, lambda a, b: a * b, (1.0, 1e10), False),
    "divide": (doubled.divide, lambda a, b: a / b, (1.0, 1e-10), False),
    "sqrt": (doubled.sqrt, lambda a: a.sqrt(), (1e-20, 1.0, 1e20), True),
    "exp": (elementary.exp, lambda a: a.exp(), (1e-30, 1e-3, 1.0, 30.0), False),
    "expm1": (elementary.expm1, lambda a: a.expm1(), (1e-30, 1e-3, 1.0, 30.0), False),
    "log": (elementary.log, lambda a: a.log(), (1e-30, 1.0, 1e30), True),
    "log1p": (elementary.log1p, lambda a: a.log1p(), (1e-30, 1e-3, 0.2), False),
    "tanh": (elementary.tanh, lambda a: a.tanh(), (1e-30, 1e-3, 1.0, 10.0), False),
    "sech": (elementary.sech, lambda a: a.sech(), (1.0, 30.0), False),
    "sin": (lambda a: elementary.sin_cos(a)[0], lambda a: a.sin(), (1e-30, 1e-3, 1.0, 1e3), False),
    "cos": (lambda a: elementary.sin_cos(a)[1], lambda a: a.cos(), (1e-3, 1.0, 1e3), False),
    "sigmoid": (lambda a: elementary.sigmoids(a)[0], lambda a: 1 / (1 + (-a).exp()), (1e-3, 1.0, 100.0), False),
    "softplus": (elementary.softplus, lambda a: a.exp().log1p(), (1e-3, 1.0, 100.0), False),
    "erf": (error_function.erf, lambda a: a.erf(), (1e-30, 1e-2, 1.0, 10.0), False),
    "erfc": (error_function.erfc, lambda a: a.erfc(), (1e-30, 1e-2, 1.0, 7.0), False),
}
NAMES = sorted(OPERATIONS)


def drawn(name: str, radius: float) -> list[tuple[MidRad, ...]]:
    """Operands of an operation: one of each scale, or where there are two, two."""
    scales, only_positive = OPERATIONS[name][2:]
    each = [numbers(seed, scale=scale, radius=radius) for seed, scale in enumerate(scales)]
    each = [positive(x) for x in each] if only_positive else each
    binary = name in ("add", "subtract", "multiply", "divide")
    return [tuple(each)] if binary else [(x,) for x in each]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("radius", [0.0, 1e-25, 1e-9, 1e-2])
def test_an_operation_contains_the_true_value_wherever_its_operands_are(name: str, radius: float) -> None:
    kernel, truth, *_ = OPERATIONS[name]
    assert sum(missed(kernel, truth, *operands) for operands in drawn(name, radius)) == 0


@pytest.mark.parametrize("name", NAMES)
def test_it_is_as_narrow_as_a_hundred_bits(name: str) -> None:
    kernel = OPERATIONS[name][0]
    for operands in drawn(name, 0.0):
        found = midrad.blocked(kernel, *operands)
        assert midrad.is_known(found).all()
        size = np.abs(found["high"]) + (np.abs(operands[0]["high"]) if name in ("add", "subtract") else 0)
        assert np.all(found["radius"] <= 2.0**-90 * size)


@pytest.mark.parametrize("name", NAMES)
def test_a_radius_that_is_too_small_by_a_hundredth_is_found(name: str) -> None:
    kernel, truth, *_ = OPERATIONS[name]

    def narrower(*operands: Any) -> Any:
        high, low, radius = kernel(*operands)
        return high, low, radius * 0.99

    assert sum(missed(narrower, truth, *operands) for operands in drawn(name, 1e-9)) > 0


@pytest.mark.parametrize("name", NAMES)
def test_what_rounding_takes_is_not_forgotten(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Results of exact operands, with a radius of 1% of what it is: the true value is not in all of them."""
    kernel, truth, *_ = OPERATIONS[name]

    def careless(*operands: Any) -> Any:
        high, low, radius = kernel(*operands)
        return high, low, radius * 0.01

    assert sum(missed(careless, truth, *operands) for operands in drawn(name, 0.0)) > 0


def edge_pairs() -> tuple[MidRad, MidRad]:
    pairs = np.array(list(itertools.product(EDGES, EDGES)))
    return enclosures(pairs[:, 0]), enclosures(pairs[:, 1])


@pytest.mark.parametrize("name", NAMES)
def test_subnormal_numbers_zeros_and_the_largest_are_contained_or_not_known(name: str) -> None:
    kernel, truth, *_ = OPERATIONS[name]
    a, b = edge_pairs()
    binary = name in ("add", "subtract", "multiply", "divide")
    operands = (a, b) if binary else (enclosures(np.array(EDGES)),)
    assert missed(kernel, truth, *operands) == 0
    lows = enclosures(np.ldexp(np.array(EDGES[2:8], np.longdouble) * (1 + np.longdouble(2) ** -60), -1010))
    if binary:
        assert missed(kernel, truth, lows, lows[::-1]) == 0
        assert missed(kernel, truth, lows, enclosures(np.full(6, 0.3))) == 0
    else:
        assert missed(kernel, truth, lows) == 0


@pytest.mark.parametrize("name", ["multiply", "divide"])
def test_an_underflow_that_is_forgotten_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel, truth, *_ = OPERATIONS[name]
    monkeypatch.setattr(doubled, "TINY", 0.0)
    assert missed(kernel, truth, *edge_pairs()) > 0


#: Limits at infinities of the data, by argument.
LIMITS = {
    "exp": {-np.inf: 0}, "expm1": {-np.inf: -1}, "tanh": {np.inf: 1, -np.inf: -1}, "sech": {np.inf: 0, -np.inf: 0},
    "sigmoid": {np.inf: 1, -np.inf: 0}, "softplus": {-np.inf: 0},
    "erf": {np.inf: 1, -np.inf: -1}, "erfc": {np.inf: 0, -np.inf: 2},
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_infinities_and_nan_are_not_known_but_for_their_limits_and_never_a_false_number(name: str) -> None:
    kernel = OPERATIONS[name][0]
    binary = name in ("add", "subtract", "multiply", "divide")
    odd = np.array([np.inf, -np.inf, np.nan, np.inf])
    operands = [enclosures(odd), enclosures(np.array([1.0, 0.0, 0.5, np.inf]))]
    found = midrad.blocked(kernel, *(operands if binary else operands[:1]))
    for x, high, low, radius, known in zip(odd, *found.parts, midrad.is_known(found), strict=True):
        limit = LIMITS.get(name, {}).get(x)
        assert known == (limit is not None)
        assert not known or abs(high - limit) + abs(low) <= radius
    unknown = assembled((np.ones(3), np.zeros(3), np.array([np.inf, np.nan, np.inf])))
    unknown["high"][2] = -np.inf
    assert not midrad.is_known(midrad.blocked(kernel, *([unknown, operands[1][:3]] if binary else [unknown]))).any()


def test_an_infinity_of_the_data_stays_one_where_it_is_added_to_and_is_none_less_itself() -> None:
    inf, inexact = enclosures(np.array([np.inf, -np.inf])), numbers(0, 2, radius=1e-9)
    for each in (inf + inexact, inf - inexact, inf + inf, -(inexact - inf)):
        assert midrad.infinities(each).tolist() == [1, -1]
    assert midrad.infinities(inf - inf).tolist() == [0, 0]
    assert midrad.infinities(inf + assembled((1.0, 0.0, np.inf))).tolist() == [0, 0]
    assert midrad.infinities(enclosures(np.full(2, 1e308)) * 10).tolist() == [0, 0]
    assert midrad.infinities(enclosures(np.full(2, 1.7e308)) + 1.7e308).tolist() == [0, 0]
    assert not midrad.is_known(inf).any()
    assert midrad.is_zero((-abs_of(inf)).exp()).all()


def abs_of(x: MidRad) -> MidRad:
    return np.where(x["high"] < 0, -x, x)


def test_what_is_exact_stays_exact_and_zeros_stay_zeros() -> None:
    whole = enclosures(np.arange(-3.0, 4.0))
    inexact = numbers(0, 7) / 3
    zero = enclosures(np.zeros(7))
    for each in (
        whole + whole,
        whole * whole,
        whole - whole,
        whole / 4,
        (whole * whole).sqrt(),
        zero.exp(),
        whole.sum(),
    ):
        assert np.all(each["radius"] == 0)
    for each in (zero * inexact, zero / inexact, zero.expm1(), zero.tanh(), zero.sin(), zero.log1p()):
        assert midrad.is_zero(each).all()
    assert midrad.is_zero((zero + 1).log()).all()
    rounded = inexact[inexact["radius"] > 0]
    assert len(rounded)
    assert not midrad.is_zero(rounded - rounded).any()


@pytest.mark.parametrize("axis", [None, 0, 1, (0, 1)])
def test_sums_and_running_sums_contain_arbs(axis: Any) -> None:
    x = numbers(5, 77, radius=1e-20).reshape(7, 11)
    with flint.ctx.workprec(BITS):
        true = np.sum(midrad.balls(x), axis=axis)
        assert all(ours.contains(theirs.mid()) for ours, theirs in _pairs(np.sum(x, axis=axis), true))
        assert np.sum(x, axis=axis, keepdims=True).shape == np.sum(x["high"], axis=axis, keepdims=True).shape
        if not isinstance(axis, tuple):
            running = np.cumsum(midrad.balls(x), axis=axis)
            assert all(ours.contains(theirs.mid()) for ours, theirs in _pairs(np.cumsum(x, axis=axis), running))


def test_sums_at_places_contain_arbs() -> None:
    x = numbers(6, 50, radius=1e-20)
    places = np.random.default_rng(1).integers(0, 7, 50)
    out = enclosures(np.zeros(8))
    np.add.at(out, places, x)
    true = np.full(8, arb(0), object)
    with flint.ctx.workprec(BITS):
        np.add.at(true, places, midrad.balls(x))
    assert all(ours.contains(theirs.mid()) for ours, theirs in _pairs(out, true))
    assert midrad.is_zero(out)[7]


def _pairs(enclosed: Any, balls: Any) -> Any:
    return zip(midrad.balls(enclosed).ravel(), np.ravel(np.asarray(balls, object)), strict=True)


def test_balls_and_extended_numbers_are_contained_both_ways() -> None:
    with flint.ctx.workprec(300):
        given = [arb.pi(), arb(1) / 3, arb(2) ** -1100, -(arb(2) ** -1060), arb(0), arb("1e400"), arb("0.1 +/- 1e-40")]
        made = enclosures(np.array(given, object))
        for ball, high, low, radius in zip(given, *(part.tolist() for part in made.parts), strict=True):
            if np.isfinite(radius):
                assert abs(ball - high - low) < arb(radius) or (radius == 0 and (ball - high - low).is_zero())
        assert midrad.is_known(made).tolist() == [True] * 5 + [False, True]
        for back, ball in _pairs(made[:5], given[:5]):
            assert back.contains(ball)
    wide = np.array([1 / np.longdouble(3), np.longdouble(2) ** -1100, np.longdouble("1e400")])
    made = enclosures(wide)
    assert made["radius"].tolist()[0] == 0
    assert 0 < made["radius"].tolist()[1] < 1e-300
    assert not midrad.is_known(made)[2]
    assert midrad.longdoubles(made)[0] == wide[0]


@pytest.mark.parametrize("position", range(len(EXPRESSIONS)))
def test_the_whole_namespace_computes_with_enclosures(position: int) -> None:
    def flat(x: Any) -> list[Array]:
        return [y for part in x for y in flat(part)] if isinstance(x, list | tuple) else [asarray(x)]

    with evaluation(Context(bits=256)):
        expected = [x.series[0] for x in flat(EXPRESSIONS[position](xp, asarray))]
    try:
        with evaluation(Context(midrad=slices.LEVELS)):
            found = [x.series[0] for x in flat(EXPRESSIONS[position](xp, asarray))]
    except UndecidedError:
        return
    for ours, theirs in zip(found, expected, strict=True):
        if theirs.dtype != object:
            np.testing.assert_array_equal(ours, theirs)
        else:
            assert isinstance(ours, MidRad)
            assert midrad.is_known(ours).all()
            assert all(a.overlaps(b) for a, b in _pairs(ours, theirs))


@pytest.mark.slow
def test_losses_over_the_whole_namespace_are_contained_in_every_entry() -> None:
    counts, wrong = campaign(250, 2026)
    assert not wrong, wrong[0]
    assert counts["contained"] > 170, counts
