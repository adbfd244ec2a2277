"""Runs in threads whose questions are answered together: each is what it would be alone."""

from collections.abc import Callable, Mapping

import numpy as np
import pytest
from scipy.optimize import minimize, rosen, rosen_der

from gradparity.truth.lockstep import in_lockstep

STARTS = [np.array([a, 1.0, -a]) for a in (0.5, 2.0, -1.0, 3.0)]


def descent(start: np.ndarray) -> Callable[[Callable[[np.ndarray], tuple[float, np.ndarray]]], tuple[float, int]]:
    def run(ask: Callable[[np.ndarray], tuple[float, np.ndarray]]) -> tuple[float, int]:
        found = minimize(ask, start, jac=True, method="L-BFGS-B")
        return float(found.fun), int(found.nfev)

    return run


def test_minimisations_side_by_side_are_what_each_is_alone() -> None:
    batches = []

    def answers(asked: Mapping[int, np.ndarray]) -> Mapping[int, tuple[float, np.ndarray]]:
        batches.append(tuple(asked))
        return {place: (rosen(x), rosen_der(x)) for place, x in asked.items()}

    together = in_lockstep([descent(start) for start in STARTS], answers)
    alone = [descent(start)(lambda x: (rosen(x), rosen_der(x))) for start in STARTS]
    assert together == alone
    # As many batches as the longest run has evaluations, and all runs in the first.
    assert batches[0] == (0, 1, 2, 3)
    assert len(batches) == max(count for _, count in alone)


def test_a_run_that_fails_ends_the_others_and_is_raised() -> None:
    ended = []

    def run(place: int, ask: Callable[[int], int]) -> int:
        try:
            for step in range(100):
                if place == 1 and step == 3:
                    raise ZeroDivisionError("of run 1")
                ask(step)
        finally:
            ended.append(place)
        return place

    with pytest.raises(ZeroDivisionError, match="of run 1"):
        in_lockstep([lambda ask, k=k: run(k, ask) for k in range(3)], lambda asked: asked)
    assert sorted(ended) == [0, 1, 2]


def test_an_answer_that_fails_ends_all_runs_and_is_raised() -> None:
    def answers(asked: Mapping[int, int]) -> Mapping[int, int]:
        raise OverflowError("no answer")

    with pytest.raises(OverflowError, match="no answer"):
        in_lockstep([lambda ask: ask(1)] * 3, answers)
    assert in_lockstep([lambda _: "done"], answers) == ["done"]
