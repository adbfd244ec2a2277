"""Whose rows are whose, how losses of blocks make that of all, what shares of ranks explain: without a process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise, product
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from msgspec.structs import replace as replaced

from gradparity.backends.protocol import Backend
from gradparity.backends.shards import Combination, Rank, Shard, blocks, tried
from gradparity.judge.causes.shards import STALE, Shares, explain
from gradparity.judge.verdicts import AGREES_FLOORS, judge
from gradparity.model_spec.errors import InputError
from gradparity.model_spec.problem import make_problem
from gradparity.model_spec.spec import ProjectedLogistic
from gradparity.processes.group import WorkerGroup, difference
from gradparity.processes.peer import OutOfTime
from gradparity.results import Finding
from gradparity.runner.ranks import of_all_ranks
from gradparity.truth.logistic.truth import reference
from gradparity.worker.messages import Evaluated

RANKS = (1, 2, 3, 5, 8)


@pytest.mark.parametrize(("rows", "ranks"), [(29, 2), (29, 3), (8, 8), (9, 8), (7, 1), (1000, 7)])
def test_blocks_are_those_of_array_split(rows: int, ranks: int) -> None:
    expected = [(part[0], part[-1] + 1) for part in np.array_split(np.arange(rows), ranks)]
    assert [(each.start, each.stop) for each in blocks(rows, ranks)] == expected


def test_more_ranks_than_rows_are_refused_with_a_cure() -> None:
    with pytest.raises(InputError, match=r"--ranks 4, or fewer"):
        blocks(4, 5)


def test_a_shard_has_its_rows_and_all_else() -> None:
    shard = Shard({"X": np.arange(10).reshape(5, 2), "c": np.arange(3)}, ("X",), Rank(1, 2))
    assert shard["X"].tolist() == [[6, 7], [8, 9]]
    assert shard["c"].tolist() == [0, 1, 2]
    assert (shard.own, shard.rows) == (2, 5)


def added_in_a_ring(parts: list[Any], first: int) -> Any:
    """A sum in the order in which a ring adds a chunk up that starts at that rank."""
    total = parts[first]
    for i in range(1, len(parts)):
        total = parts[(first + i) % len(parts)] + total
    return total


@pytest.mark.parametrize("ranks", RANKS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_no_order_of_summation_over_ranks_is_called_wrong(
    ranks: int, dtype: str, reduction: str, backend_of: Callable[[str], Backend]
) -> None:
    """Blocks of a torch program, weighted and added up in the order of every chunk of a ring: all are within floors."""
    backend = backend_of("torch")
    for seed, (rows, scale) in enumerate(product((8, 61), (0.1, 3.0))):
        rng = np.random.default_rng([seed, ranks])
        X, y = scale * rng.standard_normal((rows, 4)), (rng.random(rows) > 0.4).astype(float)
        spec = ProjectedLogistic(features=4, projection=3, reduction=reduction, dtype=dtype, l2=0.0)  # type: ignore[arg-type]
        problem = make_problem("drawn", spec, X, y, seed=seed)
        program, truth = backend.program(backend.loss(spec)), reference(problem).only("loss", "gradient")
        params, found = backend.put(problem.params), []
        for rank in range(ranks):
            shard = Shard(problem.data, ("X", "y"), Rank(rank, ranks))
            weight = Combination(spec.reduction).weight(shard)
            value, gradient = program.value_and_gradient(params, backend.put(shard))
            found.append({name: weight * each for name, each in {"": value, **gradient}.items()})
        for first in range(ranks):
            got = backend.get({name: added_in_a_ring([each[name] for each in found], first) for name in found[0]})
            quantities = {"loss": {"": got.pop("")}, "gradient": got}
            assert {each.verdict for each in judge("torch", quantities, truth, problem)} == {"agrees"}


#: A loss's rows of residuals, and what is known of each: the kind, and whether anything has no rows.
ADDED: dict[str, tuple[Callable[[Any, Any], tuple[Any, Any]], Combination]] = {
    "a mean": (lambda w, r: ((r @ w) ** 2 @ np.ones(len(r)) / len(r), 2 * r.T @ (r @ w) / len(r)), Combination("mean")),
    "a sum": (lambda w, r: (np.sum((r @ w) ** 2), 2 * r.T @ (r @ w)), Combination("sum")),
    "a mean and a penalty": (
        lambda w, r: (np.mean((r @ w) ** 2) + w @ w, 2 * r.T @ (r @ w) / len(r) + 2 * w),
        Combination("mean"),
    ),
    "a sum and a penalty": (
        lambda w, r: (np.sum((r @ w) ** 2) + w @ w, 2 * r.T @ (r @ w) + 2 * w),
        Combination("sum", constant=True),
    ),
}
#: Functions of rows that are neither, though some agree in value with one at a point.
NEITHER: dict[str, Callable[[Any, Any], tuple[Any, Any]]] = {
    "a root of a mean": lambda w, r: (np.sqrt(np.mean((r @ w) ** 2)), r.T @ (r @ w) / len(r)),
    "a gradient of another loss": lambda w, r: (np.mean((r @ w) ** 2), 2 * r.T @ (r @ w)),
    "neighbouring rows": lambda w, r: (np.sum((np.diff(r, axis=0) @ w) ** 2), np.zeros(3)),
}


def on_host(loss: Callable[[Any, Any], tuple[Any, Any]]) -> Any:
    def call(params: Any, data: Any) -> tuple[Any, Any]:
        value, gradient = loss(params["w"], data["r"])
        return np.asarray(value), {"w": gradient}

    return call


def points() -> tuple[Any, Any]:
    rng = np.random.default_rng(3)
    w = rng.standard_normal(3)
    return ({"w": w}, {"w": 1.01 * w}), {"r": rng.standard_normal((29, 3)), "unused": np.arange(4)}


@pytest.mark.parametrize("ranks", RANKS[1:])
@pytest.mark.parametrize("name", ADDED)
def test_what_a_loss_is_over_rows_is_found_by_trying(name: str, ranks: int) -> None:
    at, data = points()
    loss, expected = ADDED[name]
    assert tried(on_host(loss), at, data, ("r",), ranks) == expected


@pytest.mark.parametrize("ranks", RANKS[1:])
@pytest.mark.parametrize("name", NEITHER)
def test_what_is_neither_a_sum_nor_a_mean_is_refused(name: str, ranks: int) -> None:
    at, data = points()
    with pytest.raises(InputError, match="expected a sum or a mean over rows"):
        tried(on_host(NEITHER[name]), at, data, ("r",), ranks)


def shares(kind: Any, sizes: tuple[int, ...], *, seed: int = 0) -> Shares:
    """Of a block of six entries, with a floor of some ulps."""
    rng = np.random.default_rng([seed, *sizes])
    ends = np.cumsum((0, *sizes))
    rows = [slice(int(a), int(b)) for a, b in pairwise(ends)]
    each = rng.standard_normal((ends[-1], 6)).astype(np.longdouble)
    made = {"mean": np.mean, "sum": np.sum}[kind]
    parts = [made(each[part], axis=0) for part in rows]
    floor = np.full(6, 1e-16, np.longdouble)
    before = rng.standard_normal(6).astype(np.longdouble)
    return Shares(kind, rows, made(each, axis=0), floor, parts, [floor] * len(rows), before)


@pytest.mark.parametrize("sizes", [(15, 14), (10, 10, 9), (4, 4, 4, 4, 4), (1, 1)])
@pytest.mark.parametrize("kind", ["sum", "mean"])
def test_each_fault_of_reducing_has_its_words(kind: str, sizes: tuple[int, ...]) -> None:
    known, n = shares(kind, sizes), len(sizes)
    uneven, mean = len(set(sizes)) > 1, kind == "mean"
    weights = [size / sum(sizes) if mean else 1 for size in sizes]
    assert explain(known.before, known, AGREES_FLOORS) == STALE
    assert explain(known.truth / n, known, AGREES_FLOORS).startswith(f"factor 1/{n}, one over the number of ranks")
    assert explain(known.truth * n, known, AGREES_FLOORS).startswith(f"factor {n}, the number of ranks")
    if mean and uneven:
        assert explain(sum(known.parts) / n, known, AGREES_FLOORS).startswith("a mean of the ranks' means")
        assert explain(sum(known.parts), known, AGREES_FLOORS).startswith("the ranks' means are summed")
    apart = replace(known, replicated=False)
    assert explain(known.parts[1], apart, AGREES_FLOORS).endswith("alone, those of rank 1: not reduced")
    without = known.truth - weights[-1] * known.parts[-1]
    assert explain(without, known, AGREES_FLOORS).startswith(f"without the share of rank {n - 1}: row")
    twice = without + weights[-1] * known.parts[0]
    assert explain(twice, known, AGREES_FLOORS).startswith(f"as if rank {n - 1} had the rows of rank 0: row")


def test_a_penalty_that_every_rank_adds_has_its_words() -> None:
    known, penalty = shares("sum", (15, 14)), np.arange(1, 7).astype(np.longdouble)
    with_it = replace(known, truth=known.truth + penalty, parts=[part + penalty for part in known.parts])
    got = known.truth + 2 * penalty
    assert explain(got, with_it, AGREES_FLOORS) == "what has no rows, a penalty, is counted by each of the 2 ranks"


@pytest.mark.parametrize("kind", ["sum", "mean"])
def test_nothing_is_made_up_of_what_is_wrong_otherwise(kind: str) -> None:
    for seed, sizes in product(range(20), [(15, 14), (10, 10, 9), (3, 3)]):
        known, rng = shares(kind, sizes, seed=seed), np.random.default_rng(seed)
        for off in (1e-13, 1e-9, 1e-3, 0.7):
            assert explain(known.truth * (1 + off), known, AGREES_FLOORS) == ""
            assert explain(known.truth + off * rng.standard_normal(6), known, AGREES_FLOORS) == ""
        near = sum(known.parts) / len(sizes) * (1 + 1e-13)  # nearly a mean of means, and not within rounding
        assert explain(near, known, AGREES_FLOORS) == ""
    assert explain(np.full(6, np.nan), known, AGREES_FLOORS) == ""
    assert explain(np.zeros(5), known, AGREES_FLOORS) == ""


def test_shares_that_are_all_alike_explain_nothing() -> None:
    """Where the candidates are the truth itself, a value that is wrong is none of them."""
    known = shares("mean", (4, 3))
    alike = replace(known, parts=[known.truth, known.truth])
    assert explain(known.truth + 20 * known.floor, alike, AGREES_FLOORS) == ""


@pytest.mark.parametrize(
    ("first", "other", "said"),
    [
        ([1.0, 2.0], [1.0, 2.5], "differs from rank 0's by up to 0.5"),
        ([1.0, 2.0], [1.0, np.nan], "differs from rank 0's, and it has entries that are not finite"),
        ([np.inf, 2.0], [1.0, 2.0], "differs from rank 0's, and rank 0 has entries that are not finite"),
        ([np.inf], [np.nan], "differs from rank 0's, and both have entries that are not finite"),
    ],
)
def test_what_is_not_finite_is_no_distance_between_ranks(first: list[float], other: list[float], said: str) -> None:
    assert difference(np.array(first), np.array(other)) == said


def test_a_rank_that_alone_is_wrong_is_named_beside_the_cause() -> None:
    finding = Finding(backend="t", quantity="gradient", parameter="w", verdict="agrees", rule="within")
    wrong = replaced(finding, verdict="wrong", rule="off", cause="only one entry differs: [1]")
    given = {"gradient": {"w": np.array([1.0, 2.0])}}
    answer = Evaluated(quantities=given, ranks={1: {"gradient": {"w": np.array([1.0, 2.25])}}})

    def judged(quantities: Any) -> list[Finding]:
        return [wrong if quantities["gradient"]["w"][1] > 2 else finding]

    (found,), _ = of_all_ranks(answer, judged)
    words = "rank 1's gradient w differs from rank 0's by up to 0.25: it is not replicated"
    assert (found.rule, found.cause) == (f"off; {words}", f"only one entry differs: [1]; {words}")


@pytest.mark.parametrize("share_s", [None, 20.0])
def test_who_was_waited_for_when_the_budget_ended_is_named(share_s: float | None) -> None:
    group = WorkerGroup.__new__(WorkerGroup)
    group.backend, group._all, group._places = (
        "t",
        [Mock(), Mock()],
        {0: ("", True), 1: ("in port.py, line 3, gradient", False)},
    )
    found = group._fault({rank: OutOfTime("t", "first call", share_s) for rank in (0, 1)})
    assert isinstance(found, OutOfTime)
    assert found.share_s == share_s
    assert found.stage == "first call (rank 1 of 2 is in port.py, line 3, gradient, and the others wait for it)"
    assert all(each.kill.called for each in group._all)
    group._places = {0: ("in port.py, line 9, f", True), 1: ("in port.py, line 3, g", True)}
    both = "rank 0 of 2 is in port.py, line 9, f; rank 1 of 2 is in port.py, line 3, g"
    assert group._where() == f"all wait: {both}"
    group._places = {0: ("", False), 1: ("in port.py, line 3, g", True)}  # of rank 0 nothing is known
    assert group._where() == ""
