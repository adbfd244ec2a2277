"""Steps that are written down and made again: as an evaluation has them on the same numbers, or refused."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gradparity.truth.derivatives.inputs import Loss
from gradparity.truth.model.floor import Tape
from gradparity.truth.model.replay import LeftRangeError, Replay, record, repeatable
from gradparity.truth.numbers.arrays import asarray
from gradparity.truth.numbers.noise import Nearest, Noise
from gradparity.truth.numbers.side_by_side import SideBySide
from tests.truth.test_reverse import EXPRESSIONS

Y = np.random.default_rng(3).standard_normal(12)


def kalman(p: Any, d: Any, xp: Any) -> Any:
    r, q, phi = xp.exp(p["log_r"]), xp.exp(p["log_q"]), p["phi"]
    x, s2, total = 0.0, 1.0, 0.0
    for t in range(len(Y)):
        x, s2 = phi * x, phi * phi * s2 + q
        v, s = d["y"][t] - x, s2 + r
        total = total + 0.5 * (xp.log(2 * np.pi * s) + v * v / s)
        k = s2 / s
        x, s2 = x + k * v, (1 - k) * s2
    return total


def linear_system(p: Any, d: Any, xp: Any) -> Any:
    m, P, F = xp.zeros(2), xp.eye(2), xp.stack([xp.stack([p["phi"], 0.1]), xp.stack([0.0, p["phi"] / 3])])
    Q, total = xp.diag(xp.exp(xp.stack([p["log_q"], p["log_r"]]))), 0
    for t in range(len(Y)):
        m, P = F @ m, F @ P @ F.T + Q
        v, s = d["y"][t] - m[0], P[0, 0] + 0.3
        total = total + xp.log(s) + v**2 / s
        K = P[:, 0] / s
        m, P = m + K * v, P - K[:, None] * P[0, :]
    return xp.sum(total) + xp.mean(xp.sqrt(P[0, 0] * d["y"] ** 2))


def recurrent(p: Any, d: Any, xp: Any) -> Any:
    h = xp.zeros((3,))
    for t in range(len(Y)):
        h = xp.tanh(p["phi"] * h[::-1] + xp.sigmoid(p["log_r"]) * d["y"][t] - 0.7)
    return xp.sum(xp.exp(p["log_q"]) * h**3)


LOSSES = [kalman, linear_system, recurrent]


def at(*values: float) -> dict[str, np.ndarray]:
    return {name: np.asarray(v, np.longdouble) for name, v in zip(("log_r", "log_q", "phi"), values, strict=True)}


HERE, THERE = at(-0.5, -1.2, 0.9), at(0.7, 0.31, -0.4)
DATA = {"y": Y}


def again(loss: Loss, draws: int, rounding: SideBySide | None = None) -> Replay:
    steps = repeatable(loss, HERE, DATA)
    assert steps is not None
    return Replay(steps, draws, rounding)


@pytest.mark.parametrize("loss", LOSSES)
def test_steps_made_again_elsewhere_are_those_of_an_evaluation_there(loss: Loss) -> None:
    steps = again(loss, 1)
    for point in (HERE, THERE):
        expected = Tape(loss, point, {"y": 2 * Y}, None).values()
        found = steps.run(point, {"y": 2 * Y})
        assert expected.keys() == found.keys()
        assert all(np.array_equal(expected[key], found[key]) for key in expected)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("loss", LOSSES)
def test_roundings_to_nearest_are_those_of_an_evaluation(loss: Loss, dtype: str) -> None:
    rules = [(Nearest(dtype, 1), 1), (Nearest(dtype, 4), 1), (Noise(dtype, np.random.default_rng(0), draws=2), 2)]
    steps = again(loss, 4, SideBySide(rules))
    steps.run(HERE, DATA)
    found = steps.run(THERE, DATA)
    for place, accumulators in enumerate((1, 4)):
        expected = Tape(loss, THERE, DATA, None).draw(Nearest(dtype, accumulators))
        assert all(np.array_equal(expected[key], found[key][place]) for key in expected)


@pytest.mark.parametrize("loss", LOSSES)
def test_random_roundings_move_every_entry_as_far_as_those_of_an_evaluation(loss: Loss) -> None:
    def noise() -> SideBySide:
        return SideBySide([(Noise("float32", np.random.default_rng(5), draws=2000), 2000)])

    steps, tape = again(loss, 2000, noise()), Tape(loss, HERE, DATA, None)
    found, expected, true = steps.run(HERE, DATA), tape.draw(noise()), tape.values()
    for key, value in true.items():
        ours, theirs = (np.sqrt(np.mean((each[key] - value) ** 2, 0)) for each in (found, expected))
        assert np.all(ours > 0)
        # Two root mean squares of 2,000 normal numbers each: a ratio beyond 1 +- 0.1 is 4.5 of its deviations.
        np.testing.assert_allclose(ours / theirs, 1, atol=0.1)


@pytest.mark.parametrize("rounding", [None, SideBySide([(Nearest("float64", 1), 1), (Nearest("float64", 4), 1)])])
def test_a_parameter_that_does_not_lead_to_the_loss_has_a_gradient_of_zero(rounding: SideBySide | None) -> None:
    params = HERE | {"unused": np.ones((2, 3), np.longdouble)}
    steps = repeatable(kalman, params, DATA)
    assert steps is not None
    draws = rounding.draws if rounding else 1
    found = Replay(steps, draws, rounding).run(params, DATA)["gradient", "unused"]
    np.testing.assert_array_equal(found, np.zeros((draws, 2, 3) if rounding else (2, 3)))


def recorded(position: int) -> tuple[Loss, Replay | None]:
    """A loss of one number that goes through an expression, and its steps, if they may be made again."""

    def loss(p: Any, _: Any, xp: Any) -> Any:
        def line(x: Any) -> Any:
            x = np.asarray(x)
            return asarray(x) + p["t"] * np.cos(np.arange(x.size)).reshape(x.shape) if x.dtype.kind == "f" else x

        out = EXPRESSIONS[position](xp, line)
        parts = out if isinstance(out, tuple | list) else [out]
        return sum((xp.sum(asarray(each) * 1.0) for each in parts), asarray(0.0))

    try:
        recording = record(loss, {"t": np.longdouble(2.0**-6)}, {})
    except Exception:  # an expression of plain numbers
        return loss, None
    return loss, None if recording.refused else Replay(recording, 1)


def test_whatever_of_the_namespace_is_made_again_is_what_an_evaluation_gives_on_any_numbers() -> None:
    again = 0
    for position in range(len(EXPRESSIONS)):
        loss, steps = recorded(position)
        if steps is None:
            continue
        again += 1
        for t in (-1.7, -0.4, 0.0, 0.3, 2.1):
            point = {"t": np.longdouble(t)}
            expected = Tape(loss, point, {}, None).values()
            try:
                found = steps.run(point, {})
            except LeftRangeError:
                continue
            for key, value in expected.items():  # other steps are off by far more than another order of a sum
                np.testing.assert_allclose(found[key], value, rtol=2.0**-58, atol=2.0**-58)
    assert again > 60


BRANCHES: list[Callable[[Any, Any, Any], Any]] = [
    lambda p, _, xp: xp.maximum(p["phi"], 0.0), lambda p, _, xp: xp.where(p["phi"] > 0, p["phi"], 2 * p["phi"]),
    lambda p, _, xp: p["phi"] if p["phi"] > 0 else p["phi"] ** 2, lambda p, _, xp: xp.abs(p["phi"]),
    lambda p, _, xp: p["phi"] * int(p["phi"] > 0), lambda p, _, xp: xp.sort(xp.stack([p["phi"], p["log_r"]]))[0],
    lambda p, _, xp: xp.stack([p["phi"], p["log_r"]])[xp.argmax(xp.stack([p["phi"], p["log_r"]]))],
    lambda p, _, xp: p["phi"] * xp.sign(p["log_r"]), lambda p, _, xp: p["phi"] * xp.floor(p["log_r"]),
    lambda p, _, xp: xp.nan_to_num(p["phi"]) ** 2, lambda p, _, xp: xp.logaddexp(p["phi"], p["log_r"]),
    lambda p, _, xp: xp.xlogy(p["phi"], xp.exp(p["log_r"])), lambda p, _, xp: xp.clip(p["phi"], -3, 3),
    lambda p, d, xp: p["phi"] if d["y"][0] > 0 else -p["phi"], lambda p, d, xp: p["phi"] * xp.sum(d["y"] > 0.5),
    lambda p, _, xp: xp.exp(p["phi"]) ** p["log_r"], lambda p, d, xp: xp.sum(p["phi"] ** d["y"] ** 2),
]  # fmt: skip


@pytest.mark.parametrize("position", range(len(BRANCHES)))
def test_what_may_take_other_steps_on_other_numbers_is_refused(position: int) -> None:
    assert record(BRANCHES[position], HERE, DATA).refused
    assert repeatable(BRANCHES[position], HERE, DATA) is None


def test_a_loss_that_takes_other_steps_the_second_time_is_not_made_again() -> None:
    calls = []

    def loss(p: Any, _: Any, xp: Any) -> Any:
        calls.append(0)
        return p["phi"] * p["log_r"] if len(calls) % 2 else p["phi"] + p["log_r"]

    assert repeatable(loss, HERE, DATA) is None


def test_what_leaves_the_range_of_normal_numbers_is_left_to_an_evaluation() -> None:
    noise = SideBySide([(Noise("float32", np.random.default_rng(0), draws=3), 3)])
    steps = again(lambda p, _, xp: xp.exp(p["phi"]) + p["log_r"], 3, noise)
    steps.run(at(0.0, 0.0, 1.0), DATA)
    for phi in (-100.0, 20000.0):  # below float32's smallest normal number; infinite
        with pytest.raises(LeftRangeError):
            steps.run(at(0.0, 0.0, phi), DATA)
