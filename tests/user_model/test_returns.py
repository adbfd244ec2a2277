"""What a loss may return: a real array of shape (), said alike before the truth and before any framework."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradparity.model_spec.errors import InputError
from gradparity.truth.derivatives.series import certify
from gradparity.worker.user_loss import say_no_scalar

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
