"""No right port of a user's model is called wrong, and an error of 20 floors is: a small part of
``tests/evidence/user_models.py``."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import pytest

from gradparity.judge.known import scale_of
from gradparity.judge.other_precision import needs_other_precision
from gradparity.judge.verdicts import AGREES_FLOORS, judge
from tests.evidence.drawn_models import SHARED, Drawn, Ports, drawn, problem_of, reference_of

SEED, EACH, ENTRIES = 5, 2, 40
#: JAX compiles three programs for each design.
COMPILED = ("regression", "embedding", "mixture", "curves")


def chosen() -> list[tuple[int, Drawn]]:
    """The first small designs of each family."""
    found: dict[str, list[tuple[int, Drawn]]] = defaultdict(list)
    for index in range(0, 300 * SHARED, SHARED):
        model = drawn(SEED, index)
        if model.entries <= ENTRIES and len(found[model.family]) < EACH:
            found[model.family].append((index, model))
    assert {family: len(models) for family, models in found.items()} == dict.fromkeys(found, EACH)
    assert len(found) == 17
    return [pair for models in found.values() for pair in models]


CHOSEN = chosen()


@pytest.mark.slow
@pytest.mark.parametrize("index, model", CHOSEN, ids=[f"{model.family}-{index}" for index, model in CHOSEN])
def test_right_ports_agree_and_one_entry_that_is_twenty_floors_off_does_not(index: int, model: Drawn) -> None:
    first = next(i for i, other in CHOSEN if other.family == model.family) == index
    ports = Ports(model, ("autograd", "torch", *(("jax",) if model.family in COMPILED and first else ())))
    with np.errstate(all="ignore"):
        reference, problem = reference_of(model, index), problem_of(model, index)
        answers = {n: ports.values(n, [(model.params, model.data, model.tangents)])[0] for n in ports.backends}
    for name, values in answers.items():
        found = judge(name, values, reference, problem)
        assert {finding.verdict for finding in found} <= {"agrees", "unresolved"}, (model.words, found)
        assert not needs_other_precision(found)

    rng, right = np.random.default_rng(index), answers["torch"]
    judged = [f for f in judge("torch", right, reference, problem) if f.verdict == "agrees"]
    assert len(judged) > len(reference.truth) / 2
    for quantity, parameter in [(f.quantity, f.parameter) for f in judged]:
        truth, floor = reference.truth[quantity, parameter], reference.floor[quantity, parameter]
        if not floor.all():
            continue  # an entry that no rounding moves
        wrong: dict[str, Any] = {q: {p: v.copy() for p, v in tree.items()} for q, tree in right.items()}
        entry = tuple(int(rng.integers(n)) for n in truth.shape)
        floor = scale_of(reference, (quantity, parameter), str(right[quantity][parameter].dtype)).floor(floor)
        wrong[quantity][parameter][entry] = truth[entry] + 2.5 * AGREES_FLOORS * floor[entry]
        found = judge("torch", wrong, reference, problem)
        (finding,) = [f for f in found if (f.quantity, f.parameter) == (quantity, parameter)]
        assert finding.verdict == "wrong", (model.words, finding)
        assert finding.worst_index == entry
