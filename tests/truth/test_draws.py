"""Draws that are evaluated together, held against NumPy on each of them, and against evaluations of one at a time."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gradparity.truth.model import drawing
from gradparity.truth.model.drawing import Drawing
from gradparity.truth.model.floor import Tape
from gradparity.truth.model.spread import Spread
from gradparity.truth.numbers.draws import DifferError, Draws, question, wrapped
from gradparity.truth.numbers.noise import Nearest, Noise
from gradparity.truth.numbers.side_by_side import SideBySide
from gradparity.truth.numbers.walks import ACCUMULATORS
from tests.evidence.drawn_models import EVERY, Drawn, neutral, of_family


def drawn(family: str, seed: int) -> tuple[Drawn, Tape]:
    """A model of the family, and its tape, which has been evaluated once."""
    model = of_family(family, *map(np.random.default_rng, ([seed, 1], [seed, 2])))
    tape = Tape(lambda p, d, xp: neutral(model, p, d, xp), model.params, model.data, model.tangents)
    tape.values()
    return model, tape


D = 5
rng = np.random.default_rng(0)
A, B, C = (rng.standard_normal((*shape, D)).astype(np.longdouble) for shape in ((3, 4), (4, 2), (4,)))
PLAIN = rng.standard_normal((3, 4)).astype(np.longdouble)

#: Arithmetic and rearrangements, of arrays of shapes (3, 4), (4, 2), (4,) in draws, and of a plain one, (3, 4).
OPERATIONS: dict[str, Callable[[Any, Any, Any, Any], Any]] = {
    "elementwise": lambda a, b, c, d: np.exp(a * c - 2.0) / (1 + d * d) + abs(-a) ** 0.5,
    "broadcast": lambda a, b, c, d: a[:, :, None] * b[None] + d[:, :, None],
    "product": lambda a, b, c, d: (a @ b) + np.matmul(d, b),
    "product of batches": lambda a, b, c, d: np.matmul(np.stack([a, 2 * a]), b),
    "sums": lambda a, b, c, d: a.sum(0) + np.sum(b) + np.sum(a * d, axis=(0, 1), keepdims=True)[0],
    "extremes": lambda a, b, c, d: a.max(axis=-1, keepdims=True) - np.min(a, axis=1)[:, None],
    "running": lambda a, b, c, d: np.cumsum(a, -1) + np.add.accumulate(a, axis=0),
    "rearranged": lambda a, b, c, d: np.concatenate([a.T[::-1], b[:, [1, 0]]], axis=1).reshape(2, -1),
    "chosen": lambda a, b, c, d: np.where(d > 0, a, 0.0) + np.tril(a[:, :3])[:, :1],
    "outer": lambda a, b, c, d: np.multiply.outer(c, c) * np.prod(c),
}  # fmt: skip


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_on_draws_is_that_on_each(name: str) -> None:
    together = OPERATIONS[name](*map(wrapped, (A, B, C)), PLAIN)
    assert isinstance(together, Draws)
    for draw in range(D):
        alone = OPERATIONS[name](*(x[..., draw] for x in (A, B, C)), PLAIN)
        # NumPy adds up in another order along another axis.
        np.testing.assert_allclose(together["draws"][..., draw], alone, rtol=8 * np.finfo(np.longdouble).eps)


def test_writing_into_draws_adds_up_and_replaces_in_each() -> None:
    out, x = wrapped(np.zeros((4, D), np.longdouble)), wrapped(C)
    np.add.at(out, np.array([0, 2, 2, 0]), x)
    out[1] = x[3]
    np.testing.assert_array_equal(out["draws"], [C[0] + C[3], C[3], C[1] + C[2], 0 * C[0]])


def test_a_question_has_one_answer_or_none() -> None:
    x = wrapped(np.array([[1.0, 2.0, 3.0], [-1.0, 2.0, np.inf]], np.longdouble))
    assert (x[0] > 0).item() is True
    assert question(lambda c: np.sign(c).astype(int), x, np.array([False, True]), -7).tolist() == [1, -7]
    for asked in (lambda: x > 0, lambda: x == 2, lambda: question(np.sign, x), lambda: np.isfinite(x)):
        with pytest.raises(DifferError):
            asked()


@pytest.mark.parametrize("family", EVERY)
def test_roundings_as_they_really_are_give_the_same_bits_together_and_one_at_a_time(family: str) -> None:
    for seed in range(4):
        model, tape = drawn(family, seed)
        rules = [Nearest(model.dtype, accumulators) for accumulators in ACCUMULATORS]
        together = tape.draw(SideBySide([(rule, 1) for rule in rules]))
        for draw, rule in enumerate(rules):
            for key, alone in tape.draw(rule).items():
                np.testing.assert_array_equal(together[key][draw], alone, str((model.words, key)))


@pytest.mark.parametrize("family", EVERY)
def test_noise_moves_as_far_together_as_one_draw_at_a_time(family: str) -> None:
    model, tape = drawn(family, 6)
    noise, base = np.random.default_rng(1), tape.values()
    together, alone = Spread(base), Spread(base)
    together.add(tape.draw(SideBySide([(Noise(model.dtype, noise, draws=100), 100)])))
    for _ in range(32):
        alone.add({key: value[None] for key, value in tape.draw(Noise(model.dtype, noise)).items()})
    for key, square in alone.variances().items():
        # A mean square of 32 normal draws is off by sqrt(2 / 32), a quarter; some have longer tails.
        known = np.isfinite(square) & (square > 0)
        assert np.all(known == (together.variances()[key] > 0)), (model.words, key)
        ratio = np.median(together.variances()[key][known] / square[known]) if known.any() else 1.0
        assert 1 / 3 < ratio < 3, (model.words, key)


def test_draws_that_take_other_branches_are_made_one_at_a_time() -> None:
    def loss(p: Any, d: Any, xp: Any) -> Any:
        # In float64 the sum is larger than 0.3 by half a rounding.
        return xp.sum(p["x"]) * (2.0 if d["c"][0] + d["c"][1] > d["c"][2] else 3.0)

    params, data = {"x": np.array([0.3, 0.7])}, {"c": np.array([0.1, 0.2, 0.3])}
    tape = Tape(loss, params, data, params)
    values = tape.values()
    drawing = Drawing(tape, "float64", np.random.default_rng(0), None)
    drawing.moved(0.0)
    assert not drawing.together
    floor = tape.floor(values, "float64", seed=0, seconds=1.0)
    assert np.all(floor["gradient", "x"] > 0.1)


@pytest.mark.parametrize("family", EVERY)
def test_noise_in_float64_moves_as_far_as_in_long_doubles(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, tape = drawn(family, 6)
    found = []
    for least in (0, 2**60):
        monkeypatch.setattr(drawing, "LARGE_CELLS", least)
        found.append(Drawing(tape, model.dtype, np.random.default_rng(3), None).moved(np.inf))
    for key in tape.base():
        # What float64 makes exactly zero by cancellation has no noise there, and is seen as it really is.
        double, long = (noisy[key] + really[key] for noisy, really in found)
        known = np.isfinite(long) & (long > 0)
        assert np.all(known == (np.isfinite(double) & (double > 0))), (model.words, key)
        # Of 800 draws they are within 7%; of two mean squares of 32 one is four times the other once in 5,000 pairs.
        ratio = np.median(double[known] / long[known]) if known.any() else 1.0
        assert 1 / 4 < ratio < 4, (model.words, key)


def test_a_deadline_that_is_past_leaves_no_floor() -> None:
    model, tape = drawn("mlp", 1)
    for floor in tape.floor(tape.values(), model.dtype, seed=0, seconds=1.0, deadline=0.0).values():
        assert np.isnan(floor).all()
