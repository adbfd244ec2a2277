"""What a loss may return: a real array of shape (), said alike before the truth and before any framework."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradparity
from gradparity.model_spec.errors import InputError
from gradparity.truth.derivatives.series import certify
from gradparity.worker.user_loss import say_no_scalar
from tests.user_model.models import HEAD, LOSS, model_folder

W = np.array([1.0, 2.0])
#: By what is got: what a loss makes of parameters ``w``.
RETURNED = {
    "None": lambda w, xp: None,
    "a Python float": lambda w, xp: 3.0,
    "a Python bool": lambda w, xp: True,
    "a Python tuple": lambda w, xp: (xp.sum(w), w),
    "an array of dtype bool": lambda w, xp: xp.sum(w) > 0,
    "an array of dtype int64": lambda w, xp: xp.sum(xp.argsort(w)),
    r"an array of shape \(1,\)": lambda w, xp: xp.sum(w, keepdims=True),
    r"an array of shape \(2,\)": lambda w, xp: w,
}


@pytest.mark.parametrize("got", RETURNED)
def test_what_is_no_real_scalar_is_refused_in_the_same_words_by_the_truth_and_by_a_backend(got: str):
    loss = RETURNED[got]
    with pytest.raises(InputError, match=f"^loss: got {got}, expected a "):
        certify(lambda params, data, xp: loss(params["w"], xp), {"w": W}, {}, {"w": W})

    class Ported:
        place = "model.py, line 7: loss_numpy"

        def __call__(self, params: Any, data: Any) -> Any:
            return loss(params["w"], np)

    with pytest.raises(InputError, match=f"^model.py, line 7: loss_numpy: got {got}, expected a "):
        say_no_scalar(Ported(), {"w": W}, {})


TORCH = """
def loss(params, data):
    r = data["X"] @ params["w"] + params["b"] - data["y"]
    return 0.5 * (r * r).mean().reshape(1)
"""
JAX = """
import jax.numpy as jnp

def loss(params, data):
    r = data["X"] @ params["w"] + params["b"] - data["y"]
    return (0.5 * (r * r).mean()).astype(jnp.bfloat16)
"""


def test_what_a_framework_differentiates_all_the_same_is_refused_and_a_dtype_that_numpy_lacks_is_named(tmp_path: Path):
    result = gradparity.check(model_folder(tmp_path / "m", HEAD + LOSS, torch=TORCH, jax=JAX), steps=2)
    rules = {(each.backend, each.quantity): each.rule for each in result.problems[0].findings}
    assert rules["jax", "loss"] == "dtype bfloat16, expected float64: computed in another precision than asked for"
    assert "got an array of shape (1,), expected a scalar. Sum it, or take its mean." in rules["torch", "loss"]
    assert rules["torch", "gradient"] == rules["torch", "loss"]
