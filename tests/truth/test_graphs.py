"""Random losses against mpmath: a small part of ``tests/evidence/truth_graphs.py``, and faults that it has to find."""

import functools
import itertools
from collections.abc import Callable
from typing import Any

import mpmath
import pytest
from mpmath import mpf

from gradparity.truth.derivatives import rules
from gradparity.truth.numbers.arrays import Array
from gradparity.truth.xp import arithmetic, powers
from gradparity.truth.xp.namespace import xp
from tests.evidence import graphs
from tests.evidence.mpmath_reference import UNARY, Number
from tests.evidence.truth_graphs import campaign, check

SEED = 2026


def test_the_truth_is_what_mpmath_has_over_the_whole_namespace(capsys: pytest.CaptureFixture[str]) -> None:
    outcomes, names = campaign(150, SEED)
    missing, index = graphs.differentiable(xp) - set(names), 150
    while missing and index < 1000:  # and every graph that has a name which none before it had
        found = {name for _, line in graphs.draw((SEED, index)).lines for name in graphs.names_in(line)}
        if missing & found:
            outcomes += campaign(0, SEED, only=index, show="")[0]
            missing -= found
        index += 1
    assert not outcomes["differed"], capsys.readouterr().out
    assert outcomes["agreed"] > 120, outcomes
    assert not missing


@pytest.mark.parametrize("name", sorted(UNARY.keys() - {"sign", "floor", "ceil"}))
def test_the_references_own_derivatives_are_mpmaths_differences(name: str) -> None:
    with mpmath.workdps(60):
        x = mpf("1.3") if name == "arccosh" else mpf("0.37")
        made = UNARY[name](Number(x, [mpf(1)], [mpf(0)]))
        for order, ours in enumerate((made.v, made.g[0], made.h[0])):
            expected = mpmath.diff(lambda u: UNARY[name](Number(u)).v, x, order)
            assert abs(ours - expected) <= mpf(10) ** -25 * (1 + abs(expected))


def _off_at_order_two(monkeypatch: pytest.MonkeyPatch) -> None:
    jets = arithmetic._jets

    def wrong(*args: Any) -> Any:
        return [c * (1 + 2.0**-40) if k == 2 else c for k, c in enumerate(jets(*args))]

    monkeypatch.setattr(arithmetic, "_jets", wrong)


def _drops_the_denominator(monkeypatch: pytest.MonkeyPatch) -> None:
    divide = rules.RULES["divide"]

    def wrong(node: Any, g: Array) -> Any:
        return divide(node, g)[0], None

    monkeypatch.setitem(rules.RULES, "divide", wrong)


def _shares_by_base_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    @functools.wraps(powers.compose)
    def wrong(*args: Any, constants: Any = None) -> Any:
        del constants
        return arithmetic.compose(*args)

    monkeypatch.setattr(powers, "compose", wrong)


#: A tie of equal data, which only sharing can prove, beside powers.
TIES = ["{a} * xp.max(xp.exp(d0))", "{a}[..., None] ** np.arange(3)"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "lines"), [(_off_at_order_two, None), (_drops_the_denominator, None), (_shares_by_base_alone, TIES)]
)
def test_a_fault_in_the_engine_is_found(
    monkeypatch: pytest.MonkeyPatch, fault: Callable[[pytest.MonkeyPatch], None], lines: list[str] | None
) -> None:
    def found() -> bool:
        deck = itertools.cycle(lines) if lines else None
        return any(check(graphs.draw((SEED, index), deck)).kind == "differed" for index in range(120))

    assert not found()
    fault(monkeypatch)
    assert found()
