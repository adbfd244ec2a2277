"""What of a step is to blame is said in numbers where there are numbers, and without where there are none."""

from __future__ import annotations

import numpy as np
import pytest

from gradparity.judge.own_blame import blamed, other_losses
from gradparity.judge.own_training import LOSS
from gradparity.worker.step_messages import GradientsGiven


def given(loss: float, gradient: float) -> GradientsGiven:
    tiny = {"w": np.full((1, 2), 1e-17)}
    return GradientsGiven(np.array([loss]), {"w": np.array([[1.0, gradient]])}, np.array([1e-17]), tiny)


@pytest.mark.parametrize(("loss", "gradient", "what"), [(np.nan, 2.0, LOSS), (np.inf, 2.0, LOSS), (1.0, np.nan, "w")])
def test_what_is_no_number_is_not_a_number_to_differ_by(loss: float, gradient: float, what: str) -> None:
    blame, said = blamed(given(1.0, 2.0), given(loss, gradient), what, "float64")
    assert blame == ("loss" if what == LOSS else "gradient")
    assert "nan" not in said
    assert " inf" not in said
    assert "finite number" in said


def test_a_step_that_returns_another_loss_is_told_of_with_its_factor():
    """Twice a loss is twice its gradient, which Adam takes for half an eps: nothing else says that it is summed."""
    both = given(0.5, 2.0), given(0.5, 2.0)
    said = other_losses(("jax", "torch"), (0.5, 1.0), both, "float64")
    assert "torch's step returns 2 times the loss of loss(params, batch)" in said
    assert "jax" not in said
    assert "jax's step" in other_losses(("jax", "torch"), (0.25, 1.0), both, "float64")


@pytest.mark.parametrize("returned", [0.5, 0.5 * (1 + 2**-52), np.nan, np.inf])
def test_a_rounding_and_what_is_no_number_are_no_other_loss(returned: float):
    both = given(0.5, 2.0), given(0.5, 2.0)
    assert other_losses(("jax", "torch"), (0.5, returned), both, "float64") == ""
