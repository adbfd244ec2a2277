from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradparity.benchmark.break_even import Cost, crossing, envelope, total_s

AUTOGRAD = Cost(import_s=0.14, build_s=0.0, first_call_s=0.01, step_s=0.002)
JAX = Cost(import_s=0.8, build_s=0.05, first_call_s=0.3, step_s=0.001)


def test_the_first_step_is_the_first_call() -> None:
    assert total_s(JAX, 1) == pytest.approx(0.8 + 0.05 + 0.3)
    assert total_s(JAX, 1001) == pytest.approx(1.15 + 1.0)


def test_there_is_no_total_of_no_steps() -> None:
    with pytest.raises(ValueError, match="steps: got 0"):
        total_s(JAX, 0)


def test_one_second_dearer_and_one_millisecond_a_step_cheaper_pays_after_a_thousand_steps() -> None:
    # 1.15 - 0.15 = 1.0 s to repay at 0.001 s a step: level after 1,000 further steps, cheaper after 1,001.
    assert crossing(AUTOGRAD, JAX) == pytest.approx(1002, abs=1)
    assert crossing(JAX, AUTOGRAD) == crossing(AUTOGRAD, JAX)


def test_a_backend_cheaper_from_the_start_is_never_overtaken() -> None:
    assert crossing(JAX, Cost(import_s=0.1, build_s=0.0, first_call_s=0.1, step_s=0.0005)) is None
    assert crossing(JAX, JAX) is None


seconds = st.integers(0, 2**20).map(lambda n: n / 1024)
costs = st.builds(Cost, import_s=seconds, build_s=seconds, first_call_s=seconds, step_s=seconds)


@given(a=costs, b=costs)
def test_before_the_crossing_one_is_cheaper_and_from_it_on_the_other(a: Cost, b: Cost) -> None:
    def lead(steps: int) -> float:
        return total_s(a, steps) - total_s(b, steps)

    steps = crossing(a, b)
    if steps is None:
        assert lead(1) * lead(10**6) >= 0
    else:
        assert steps > 1
        assert lead(1) * lead(steps - 1) >= 0
        assert lead(1) * lead(steps) < 0


# The envelope.


def line(start_s: float, step_s: float) -> Cost:
    return Cost(import_s=start_s, build_s=0.0, first_call_s=0.0, step_s=step_s)


def test_nobody_is_the_cheapest_of_none() -> None:
    assert envelope({}) == []


def test_three_backends_take_turns_and_a_fourth_that_is_never_cheapest_has_none() -> None:
    # 0 + 4 k, 6 + 2 k and 20 + k, k = steps - 1: level after 3 further steps, then after 14. 30 + 2 k is always dearer.
    costs = {"a": line(0, 4), "b": line(6, 2), "c": line(20, 1), "d": line(30, 2)}
    assert envelope(costs) == [(1, "a"), (5, "b"), (16, "c")]


def test_of_two_that_overtake_at_the_same_step_the_cheaper_there_comes_first() -> None:
    # Both b and c are cheaper than a from 2 further steps on: a 10 and 20, b 10 and 19, c 11.75 and 19.75; then 28 and
    # 27.75. The one with the quickest step is not the cheapest where they overtake.
    assert envelope({"a": line(0, 10), "b": line(1, 9), "c": line(3.75, 8)}) == [(1, "a"), (3, "b"), (4, "c")]


def test_of_equal_costs_the_first_by_name_stays() -> None:
    assert envelope({"b": line(1, 1), "a": line(1, 1)}) == [(1, "a")]


#: Small figures in eighths, so that lines often meet between two steps, in one point, or lie upon one another.
eighths = st.integers(0, 64).map(lambda n: n / 8)
lines = st.builds(Cost, import_s=eighths, build_s=eighths, first_call_s=eighths, step_s=eighths)


@given(costs=st.dictionaries(st.sampled_from("abcdef"), lines, min_size=1))
def test_the_envelope_names_a_cheapest_backend_for_every_number_of_steps(costs: dict[str, Cost]) -> None:
    spans = envelope(costs)
    assert spans[0][0] == 1
    firsts = [first for first, _ in spans]
    assert firsts == sorted(set(firsts))
    # No start is over 24 s and no gain under an eighth: after 24 * 8 further steps nothing changes.
    for steps in range(1, 200):
        name = [name for first, name in spans if first <= steps][-1]
        least = min(total_s(cost, steps) for cost in costs.values())
        assert total_s(costs[name], steps) == least
    assert firsts[-1] < 200


@given(costs=st.dictionaries(st.sampled_from("abcdef"), lines, min_size=1))
def test_each_next_backend_of_the_envelope_starts_dearer_and_steps_quicker(costs: dict[str, Cost]) -> None:
    names = [name for _, name in envelope(costs)]
    for before, after in pairwise(names):
        assert costs[after].step_s < costs[before].step_s
        assert total_s(costs[after], 1) >= total_s(costs[before], 1)
