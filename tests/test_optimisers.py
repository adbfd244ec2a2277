"""Our optimisers are their formulas: PyTorch's own steps, worked first steps and known optima say so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest

from gradparity.model_spec.errors import InputError
from gradparity.model_spec.spec import Logistic, ProjectedLogistic
from gradparity.numerics.optimisers import (
    LBFGS,
    OPTIMISERS,
    RECORD_BYTES,
    Adam,
    GradientDescent,
    Momentum,
    Optimiser,
    Tree,
    follow,
    optimiser,
    rounded,
)
from gradparity.worker import messages as m
from gradparity.worker.wire import encode

SPEC = ProjectedLogistic(features=3, projection=2)


def bowl(curvatures: Any) -> Callable[[Tree], tuple[Any, Tree]]:
    """Half the sum of ``k p^2``, whose gradient is ``k p``, and a term that makes the gradient turn."""

    def value_and_gradient(params: Tree) -> tuple[Any, Tree]:
        value = sum((np.asarray(curvatures, p.dtype) * (p * p) / 2 + np.sin(p)).sum() for p in params.values())
        return value, {name: np.asarray(curvatures, p.dtype) * p + np.cos(p) for name, p in params.items()}

    return value_and_gradient


def start() -> Tree:
    return SPEC.initial(seed=3)


STEPPERS: list[tuple[Optimiser, Callable[[Any], Any]]] = [
    (GradientDescent(0.05), lambda torch: lambda p: torch.optim.SGD(p, lr=0.05)),
    (Momentum(0.05, 0.8), lambda torch: lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.8)),
    (Momentum(0.05, 0.0), lambda torch: lambda p: torch.optim.SGD(p, lr=0.05)),
    (Adam(0.02), lambda torch: lambda p: torch.optim.Adam(p, lr=0.02)),
    (Adam(0.05, 0.5, 0.7, 1e-3), lambda torch: lambda p: torch.optim.Adam(p, lr=0.05, betas=(0.5, 0.7), eps=1e-3)),
]


@pytest.mark.parametrize(("ours", "theirs"), STEPPERS, ids=[repr(row[0]) for row in STEPPERS])
def test_every_step_is_the_one_that_torch_takes(ours: Optimiser, theirs: Callable[[Any], Any]) -> None:
    torch = pytest.importorskip("torch")
    path = follow(ours, SPEC, bowl(1.5), start(), 60)

    params = {name: torch.tensor(p, requires_grad=True) for name, p in start().items()}
    stepper = theirs(torch)(list(params.values()))
    expected = [SPEC.pack({name: p.detach().numpy().copy() for name, p in params.items()})]
    for _ in range(60):
        stepper.zero_grad()
        sum((1.5 * p * p / 2 + torch.sin(p)).sum() for p in params.values()).backward()
        stepper.step()
        expected.append(SPEC.pack({name: p.detach().numpy().copy() for name, p in params.items()}))
    assert path.steps.tolist() == list(range(61))
    assert path.params == pytest.approx(np.array(expected), rel=1e-12, abs=1e-14)


def square(params: Tree) -> tuple[Any, Tree]:
    return (params["w"] ** 2).sum() / 2, {"w": params["w"]}


@pytest.mark.parametrize("which", [GradientDescent(0.1), Momentum(0.1), Adam(0.1)], ids=lambda o: o.name)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.longdouble])
def test_steps_stay_in_the_dtype_that_they_start_in(which: Optimiser, dtype: Any) -> None:
    path = follow(which, SPEC, bowl(1.0), {name: p.astype(dtype) for name, p in start().items()}, 5)
    assert path.losses.dtype == path.params.dtype == path.gradients.dtype == dtype


def test_float32_adam_loses_no_more_than_float32_roundings() -> None:
    # 1 - beta2^2 formed in float32 would be off by 500 roundings at the second step.
    single = {name: p.astype(np.float32) for name, p in start().items()}
    wide = {name: p.astype(np.longdouble) for name, p in single.items()}
    which = rounded(Adam(0.1), "float32")
    narrow, true = (follow(which, SPEC, bowl(1.0), begin, 3).params for begin in (single, wide))
    assert np.abs(narrow - true).max() < 8 * np.finfo(np.float32).eps * np.abs(true).max()


def test_the_arguments_of_a_step_are_left_alone() -> None:
    params, gradient = start(), {name: np.ones_like(p) for name, p in start().items()}
    for which in (GradientDescent(0.1), Momentum(0.1), Adam(0.1)):
        stepped, state = which.step(1, params, gradient, {})
        kept = {name: {key: value.copy() for key, value in tree.items()} for name, tree in state.items()}
        which.step(2, stepped, gradient, state)
        assert all(np.array_equal(params[name], start()[name]) for name in params)
        assert all((gradient[name] == 1).all() for name in gradient)
        assert all(np.array_equal(state[name][key], kept[name][key]) for name in kept for key in kept[name])


def test_l_bfgs_finds_the_minimum_of_a_bowl_and_keeps_every_iterate() -> None:
    # k p^2 / 2 - p has its minimum at 1 / k, and its value there is -1 / (2 k).
    curvatures = np.array([1.0, 10.0, 100.0])

    def value_and_gradient(params: Tree) -> tuple[Any, Tree]:
        w = params["w"]
        return (curvatures * w * w / 2 - w).sum(), {"w": curvatures * w - 1}

    path = follow(LBFGS(), Logistic(features=3), value_and_gradient, {"w": np.ones(3)}, 100)
    assert path.params[-1] == pytest.approx([1, 0.1, 0.01], abs=1e-5)
    assert path.losses[-1] == pytest.approx(-0.5 * (1 + 0.1 + 0.01), abs=1e-9)
    assert len(path.losses) == len(path.params) == len(path.gradients) < 101
    assert path.stopped.startswith("CONVERGENCE")
    assert (np.diff(path.losses) < 0).all()
    assert path.gradients == pytest.approx(curvatures * path.params - 1)


def test_l_bfgs_stops_at_the_number_of_iterations_that_it_is_given() -> None:
    path = follow(LBFGS(), SPEC, bowl(np.float64(3.0)), start(), 2)
    assert len(path.losses) == 3
    assert path.stopped == ""


def test_l_bfgs_evaluates_at_points_of_the_models_dtype() -> None:
    seen = []
    spec = Logistic(features=2, dtype="float32")

    def value_and_gradient(params: Tree) -> tuple[Any, Tree]:
        seen.append(params["w"].dtype)
        return square(params)

    path = follow(LBFGS(), spec, value_and_gradient, {"w": np.ones(2, np.float32)}, 10)
    assert set(seen) == {np.dtype(np.float32)}
    assert path.params.dtype == np.float32


def test_every_kth_step_and_the_last_are_kept_where_all_would_be_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    # 8 parameters of 8 bytes, twice, in 11 points: 1408 bytes.
    monkeypatch.setattr("gradparity.numerics.optimisers.RECORD_BYTES", 500)
    path = follow(GradientDescent(0.1), SPEC, bowl(1.0), start(), 10)
    assert path.steps.tolist() == [0, 3, 6, 9, 10]
    assert len(path.params) == len(path.gradients) == 5
    assert len(path.losses) == 11
    assert path.params.nbytes + path.gradients.nbytes < 1408
    assert RECORD_BYTES == 32 * 2**20


def test_a_run_that_overflows_ends_in_numbers_that_are_not_finite_and_no_warning() -> None:
    path = follow(GradientDescent(1e200), SPEC, bowl(1.0), start(), 5)
    assert not np.isfinite(path.losses[-1])


@pytest.mark.parametrize(
    ("make", "rule"),
    [
        (lambda: GradientDescent(0.0), "--lr"),
        (lambda: GradientDescent(float("nan")), "--lr"),
        (lambda: Momentum(0.1, 1.0), "--momentum"),
        (lambda: Momentum(0.1, -0.1), "--momentum"),
        (lambda: Adam(0.1, beta1=1.0), "beta1"),
        (lambda: Adam(0.1, beta2=float("nan")), "beta2"),
        (lambda: Adam(0.1, epsilon=0.0), "epsilon"),
        (lambda: LBFGS(memory=0), "memory"),
        (lambda: optimiser("sgd", learning_rate=0.1, momentum=0.9), "--optimiser"),
    ],
)
def test_a_hyperparameter_out_of_its_range_is_refused_by_name(make: Callable[[], Any], rule: str) -> None:
    with pytest.raises(InputError, match=rule):
        make()


def test_every_name_makes_its_optimiser_and_travels_as_a_message() -> None:
    for name in OPTIMISERS:
        made = optimiser(name, learning_rate=0.25, momentum=0.5)
        assert made.name == name
        request = m.decode_request(encode(m.Train(made, 7)))
        assert request == m.Train(made, 7)
        assert type(request.optimiser) is type(made)


def test_hyperparameters_are_rounded_to_the_dtype_that_is_trained_in() -> None:
    assert rounded(GradientDescent(0.1), "float32") == GradientDescent(0.10000000149011612)
    assert rounded(GradientDescent(0.1), "float64") == GradientDescent(0.1)
    assert rounded(LBFGS(), "float32") == LBFGS()


def test_a_run_survives_its_message_bit_for_bit() -> None:
    path = follow(Adam(0.1), SPEC, bowl(1.0), start(), 4)
    back = m.decode_reply(encode(m.Trained(path, 0.5))).path
    for field in FIELDS:
        assert np.array_equal(getattr(path, field), getattr(back, field))
    assert (back.evaluations, back.stopped) == (5, "")
    with pytest.raises(msgspec.ValidationError):
        m.decode_request(encode({"type": "Train", "optimiser": {"type": "gd", "learning_rate": -1.0}, "steps": 1}))


FIELDS = ("losses", "steps", "params", "gradients")
