"""Whole numbers of the data: exact in the truth, by Python's own integers; what frameworks wrap around is said."""

from typing import Any

import numpy as np
import pytest

from gradparity.judge.verdicts import judge
from gradparity.truth.model.truth import neutral_reference
from gradparity.truth.numbers.context import Context, NotCertifiableError, evaluation
from gradparity.truth.xp.namespace import xp
from tests.truth.neutral_models import problem_of

P = {"p": np.array([0.25, 0.75])}
V = {"p": np.ones(2)}

#: What is computed of x, its dtype and numbers.
NARROW = {
    "a difference": (lambda x: x - 150, np.uint8, [200, 100]),
    "a product": (lambda x: x * x, np.int8, [100, 3]),
    "a power": (lambda x: x**3, np.int16, [300, 2]),
    "a sum of two": (lambda x: x + x, np.int32, [2**31 - 1, 5]),
}


@pytest.mark.parametrize("case", NARROW)
def test_narrow_integers_are_exact_and_a_backend_that_wraps_them_is_wrong_for_that(case: str) -> None:
    f, dtype, numbers = NARROW[case]
    data = {"x": np.array(numbers, dtype)}

    def loss(p: Any, d: Any, n: Any) -> Any:
        return n.sum(p["p"] * f(d["x"]))

    problem = problem_of(P, data, V)
    truth = neutral_reference(loss, P, data, V, seed=0, budget_s=5.0)
    assert truth.truth["gradient", "p"].tolist() == [f(x) for x in numbers]  # Python's integers have no end
    wrapped = f(data["x"]).astype(float)
    assert wrapped.tolist() != [f(x) for x in numbers]
    answer = {"loss": {"": np.asarray(P["p"] @ wrapped)}, "gradient": {"p": wrapped}}
    found = judge("jax", answer, truth.only("loss", "gradient"), problem)
    assert {each.verdict for each in found} == {"wrong"}
    assert all(f"whole numbers that wrap around: x ({np.dtype(dtype)})" in each.cause for each in found)
    answer["loss"][""] = np.asarray(1.5 * answer["loss"][""] + 1)  # of another value it is not the cause
    found = judge("jax", answer, truth.only("loss", "gradient"), problem)
    assert not any("wrap around" in each.cause for each in found)


def test_narrow_integers_that_stay_within_their_ends_are_not_said_to_wrap() -> None:
    data = {"x": np.array([200, 100], np.uint8)}
    truth = neutral_reference(lambda p, d, n: n.sum(p["p"] * (d["x"] / 255)), P, data, V, seed=0, budget_s=5.0)
    assert truth.wrapped is None


BEYOND = {
    "a running product": lambda: xp.cumprod(xp.arange(1, 22)),
    "a product": lambda: xp.prod(xp.arange(1, 22)),
    "a sum": lambda: xp.sum(xp.asarray(np.array([2**62, 2**62]))),
    "a running sum": lambda: xp.cumsum(xp.asarray(np.array([2**62, 2**62]))),
    "a power": lambda: xp.asarray(np.array([3])) ** 40,
    "a difference": lambda: xp.asarray(np.array([-(2**62)])) - (2**62 + 2**10),
}


@pytest.mark.parametrize("case", BEYOND)
def test_a_whole_number_beyond_int64_is_not_certified(case: str) -> None:
    with evaluation(Context()), pytest.raises(NotCertifiableError, match="beyond int64"):
        BEYOND[case]()
    with evaluation(Context()):
        assert xp.prod(xp.arange(1, 21)).item() == 2432902008176640000  # 20!
