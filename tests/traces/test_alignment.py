"""Where two records diverge: recorded by hand here, with known partners, so that each rule is seen alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradparity.backends.traces import Place, Step
from gradparity.judge.alignment import first_divergence, records
from gradparity.judge.alignment.records import pairs, same
from gradparity.worker.messages import Traced
from gradparity.worker.tracing import Ledger, traced


class Notes:
    """A record written by hand: each result with its line, and its inputs by name."""

    def __init__(self, **leaves: Any) -> None:
        self.ledger, self.numbers = Ledger(Path("/nowhere")), dict[str, int]()
        for name, value in leaves.items():
            self.numbers[name] = self.ledger.leaf(name, np.asarray(value, float))

    def step(
        self,
        name: str,
        value: Any,
        *inputs: str,
        line: int = 1,
        column: int = 0,
        operation: str = "",
        part: bool = False,
    ) -> Any:
        """Tell a result, and return its value."""
        array = np.array(value, float)
        place = Place("", line, line, column, column)
        step = Step(operation or name, tuple(self.numbers[each] for each in inputs), place, part=part)
        self.numbers[name] = self.ledger.result(step, array)
        return array

    def arrives(self, name: str, cotangent: Any) -> None:
        """Tell the cotangent of a result."""
        self.ledger.cotangent(self.numbers[name], np.array(cotangent, float))

    @property
    def traced(self) -> Traced:
        """The record, with one rounding of each entry as its floor."""
        return traced(self.ledger, iter(()))


RNG = np.random.default_rng(3)
X, W, Y = RNG.standard_normal((6, 4)), RNG.standard_normal((4, 3)), RNG.standard_normal((6, 3))


def fused(eps: float) -> Notes:
    """A layer norm in one operation, with its steps as parts."""
    notes = Notes(w=W, x=X, y=Y)
    u = notes.step("u", X @ W, "x", "w", line=5, operation="matmul")
    mean = notes.step("mean", u.mean(-1, keepdims=True), "u", line=6, part=True)
    centred = notes.step("centred", u - mean, "u", "mean", line=6, part=True)
    var = notes.step("var", (centred**2).mean(-1, keepdims=True), "centred", line=6, part=True)
    notes.step("moved", var + eps, "var", line=6, part=True)
    n = notes.step("n", (u - mean) / np.sqrt(var + eps), "u", line=6, operation="layer_norm")
    return ended(notes, n, line=7)


def written_out(eps: float) -> Notes:
    """The same in its steps, a line each, kept transposed."""
    notes = Notes(w=W, x=X, y=Y)
    u = notes.step("u", (X @ W).T, "x", "w", line=10, operation="dot_general")
    mean = notes.step("mean", u.mean(0), "u", line=11)
    centred = notes.step("centred", u - mean, "u", "mean", line=11)
    var = notes.step("var", (centred**2).mean(0), "centred", line=12)
    moved = notes.step("moved", var + eps, "var", line=13, operation="add")
    n = notes.step("n", centred / np.sqrt(moved), "centred", "moved", line=14, operation="div")
    return ended(notes, n.T, line=15)


def ended(notes: Notes, n: Any, *, line: int) -> Notes:
    """The record with its loss."""
    residual = notes.step("residual", n - Y, "n", "y", line=line)
    notes.step("loss", np.mean(residual**2), "residual", line=line)
    notes.arrives("loss", 1.0)
    return notes


def lines(record: Traced, numbers: Sequence[int | None]) -> list[int]:
    """The lines of some results of a record."""
    return [record.results[number].place[1] for number in numbers if number is not None]


def test_the_same_model_in_other_steps_does_not_diverge() -> None:
    """What only one of them computes, such as a variance, is no divergence as long as the rest is common."""
    assert first_divergence(fused(1e-5).traced, written_out(1e-5).traced, ["w"]) is None


def test_the_last_place_that_is_common_and_the_first_that_is_not() -> None:
    """An epsilon that differs shows where it is added, in a port that writes the norm out."""
    one, two = fused(1e-5).traced, written_out(1e-6).traced
    found = first_divergence(one, two, ["w"])
    assert found is not None
    assert found.direction == "forward"
    assert lines(one, [found.here[0]]) + lines(two, [found.here[1]]) == [6, 13]
    assert found.agree is not None
    assert lines(one, [found.agree[0]])[0] == 5
    assert found.relative == pytest.approx(np.abs(_norm(1e-5) - _norm(1e-6)).max() / np.abs(_norm(1e-6)).max(), rel=0.5)


def test_the_difference_is_that_of_the_expression_where_a_line_has_many() -> None:
    """Layers that one line calls, in one port alone: the last of them is another value than the first."""

    def port(slope: float, columns: Sequence[int], lines: Sequence[int]) -> Traced:
        notes = Notes(w=W, x=X, y=Y)
        u = notes.step("u", X @ W, "x", "w", line=5)
        a = notes.step("a", np.tanh(slope * u), "u", line=lines[0], column=columns[0])
        b = notes.step("b", np.tanh(a - 0.3), "a", line=lines[1], column=columns[1])
        n = notes.step("n", b, "b", line=8, operation="reshape")
        return ended(notes, n, line=9).traced

    found = first_divergence(port(1.0, (7, 3), (6, 6)), port(1 + 1e-6, (0, 0), (6, 7)), ["w"])
    assert found is not None
    a = np.tanh(X @ W)
    assert found.relative == pytest.approx(np.abs(a - np.tanh((1 + 1e-6) * (X @ W))).max() / np.abs(a).max(), rel=0.1)


def test_a_number_is_not_held_to_another_on_the_line_that_is_within_a_half_of_it() -> None:
    """``m |z / m|`` on one line: the scale m, off by 1e-6, is no version of the loss, which is 17% larger."""

    def port(slip: float, *, named: bool) -> Traced:
        notes = Notes(z=[3.0, 5.0])
        z = np.array([3.0, 5.0])
        top = notes.step("top", z.max(), "z", line=5, column=1)
        m = notes.step("m", top * (1 - slip), "top", line=5, column=2) if named else top
        q = notes.step("q", z / m, "z", "m" if named else "top", line=5, column=3)
        size = notes.step("size", np.sqrt((q**2).sum()), "q", line=5, column=4)
        notes.step("loss", top * size, "top", "size", line=5, column=5)
        notes.arrives("loss", 1.0)
        return notes.traced

    found = first_divergence(port(1e-6, named=True), port(0.0, named=False), ["z"])
    assert found is not None
    assert found.relative == pytest.approx(1e-6, rel=0.1)


def _norm(eps: float) -> Any:
    u = X @ W
    return (u - u.mean(-1, keepdims=True)) / np.sqrt(u.var(-1, keepdims=True) + eps)


def stopped(*, detached: bool) -> Notes:
    """A loss of ``h h'``, where ``h'`` may be detached."""
    notes = Notes(w=W, x=X)
    h = notes.step("h", X @ W, "x", "w", line=3)
    held = notes.step("held", h, "h", line=4, operation="detach" if detached else "reshape")
    product = notes.step("product", h * held, "h", "held", line=5)
    notes.step("loss", product.sum(), "product", line=6)
    for name, cotangent in {"loss": 1.0, "product": np.ones_like(h), "h": held if detached else 2 * h}.items():
        notes.arrives(name, cotangent)
    if not detached:
        notes.arrives("held", h)
    return notes


def test_cotangents_tell_where_values_do_not() -> None:
    """A value that is detached is the same; what reads it there is named, by its line."""
    one, two = stopped(detached=True).traced, stopped(detached=False).traced
    found = first_divergence(one, two, ["w"])
    assert found is not None
    assert found.direction == "backward"
    assert lines(one, [found.here[0]]) == [4]
    assert one.results[found.here[0] or 0].operation == "detach"


def test_equal_cotangents_do_not_diverge() -> None:
    """The same record twice has nothing to say."""
    assert first_divergence(stopped(detached=True).traced, stopped(detached=True).traced, ["w"]) is None


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32), st.permutations(range(3)), st.sampled_from([7, 40, 1500]))
def test_layout_is_no_difference_and_one_entry_is(seed: int, axes: Sequence[int], size: int) -> None:
    """Permuted axes pair up; a single entry that is moved does not, in a result that is sent as samples too."""
    rng = np.random.default_rng(seed)
    value = rng.standard_normal((2, 3, size))
    one, two, three = Notes(), Notes(), Notes()
    one.step("a", value)
    two.step("a", np.transpose(value, axes))
    moved = value.copy()
    moved.flat[rng.integers(value.size)] += 1e-9
    three.step("a", moved)
    assert pairs(one.traced.results, two.traced.results) == [[0]]
    assert pairs(one.traced.results, three.traced.results) == [[]]


def test_numbers_that_are_none_pair_with_themselves_only() -> None:
    """A masked score is minus infinity in both; a nan is no partner of a number."""
    one, two, three = Notes(), Notes(), Notes()
    one.step("a", [1.0, -np.inf, np.nan])
    two.step("a", [np.nan, 1.0, -np.inf])
    three.step("a", [1.0, -np.inf, 2.0])
    assert pairs(one.traced.results, two.traced.results) == [[0]]
    assert pairs(one.traced.results, three.traced.results) == [[]]


def test_a_loss_that_the_other_port_has_on_its_way_is_no_partner() -> None:
    """``(a + a) / 2`` is ``a`` again, which the other port computes as well before it goes on."""
    one, two = Notes(w=W, x=X), Notes(w=W, x=X)
    for notes, line in ((one, 3), (two, 4)):
        notes.step("u", X @ W, "x", "w", line=2)
        notes.step("a", np.sum(X @ W), "u", line=line)
    one.step("loss", np.sum(X @ W), "a", "a", line=5)
    two.step("b", np.sum((X @ W) ** 2), "u", line=5)
    two.step("loss", np.sum(X @ W) + np.sum((X @ W) ** 2), "a", "b", line=6)
    for notes in (one, two):
        notes.arrives("loss", 1.0)
    found = first_divergence(one.traced, two.traced, ["w"])
    assert found is not None
    assert found.direction == "forward"


def test_a_loop_over_one_value_costs_no_more_than_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hidden states that begin as zeros, masks that come back at each step: each value is compared once."""
    compared = 0

    def counted(a: Any, b: Any) -> bool:
        nonlocal compared
        compared += 1
        return same(a, b)

    monkeypatch.setattr(records, "same", counted)
    both = Notes(w=W), Notes(w=W)
    for notes in both:
        for i in range(600):
            notes.step(f"zeros{i}", np.zeros(8), "w", line=i + 1)
        notes.step("loss", 3.0, "zeros599", line=700)
        notes.arrives("loss", 1.0)
    assert first_divergence(both[0].traced, both[1].traced, ["w"]) is None
    assert compared < 10
