import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.break_even import Cost, crossing, total_s

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
