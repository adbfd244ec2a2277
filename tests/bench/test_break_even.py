import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradparity.benchmark.break_even import Cost, crossing, envelope, total_s

JAX = Cost(import_s=0.8, build_s=0.05, first_call_s=0.3, step_s=0.001)


def test_the_first_step_is_the_first_call() -> None:
    assert total_s(JAX, 1) == pytest.approx(0.8 + 0.05 + 0.3)
    assert total_s(JAX, 1001) == pytest.approx(1.15 + 1.0)


def test_there_is_no_total_of_no_steps() -> None:
    with pytest.raises(ValueError, match="steps: got 0"):
        total_s(JAX, 0)


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


def test_nobody_is_the_cheapest_of_none() -> None:
    assert envelope({}) == []


def test_of_equal_costs_the_first_by_name_stays() -> None:
    assert envelope({"b": JAX, "a": JAX}) == [(1, "a")]


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
