"""Numbers that are solved for: round ones, constants that everyone knows, and others, which are said to be about."""

from __future__ import annotations

from pathlib import Path

import pytest
from scipy import stats

from tests.cures.ports import cured

DENSITY = """import autograd.numpy as anp
LOG = anp.log(2 * anp.pi)
def loss(params, data):
    z = anp.dot(data["x"], params["w"]) + params["b"]
    density = 0.5 * anp.sum(z**2, axis=1) + 4 * LOG
    rest = anp.sum(params["out"] * anp.mean(z * anp.tanh(z), axis=0)) + 0 * anp.sum(params["square"])
    return anp.mean(density) + rest
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("right", "number", "about"),
    [
        ("anp.log(2 * anp.pi)", -2 * stats.norm.logpdf(0.0), False),
        ("0.25", 0.25, False),
        ("0.37162954817", 0.37162954817, True),
    ],
)
def test_a_number_that_nobody_writes_is_said_to_be_about_so_much(
    right: str, number: float, about: bool, tmp_path: Path
) -> None:
    """The logarithm of two pi is that of a standard normal density; each was rounded to three digits."""
    text = DENSITY.replace("anp.log(2 * anp.pi)", right)
    (found,) = cured(tmp_path, "autograd", text, (right, f"{number * 1.001:.4g}")).found
    assert found.about is about
    assert float(found.new) == pytest.approx(number, rel=1e-9 if about else 1e-15)


INNER = """import torch
def loss(params, data):
    w = params["w"]
    inner = (torch.tanh(data["x"] @ w + params["b"]) ** 2).mean()
    (g,) = torch.autograd.grad(inner, w, create_graph=True)
    h = torch.tanh(data["x"] @ (w - 0.1 * g)) @ params["square"]
    return ((h @ params["out"] - data["y"]) ** 2).mean()
"""


def test_a_loss_that_differentiates_its_parameters_takes_no_others(tmp_path: Path) -> None:
    """What is edited is evaluated at parameters that are on the tape."""
    (found,) = cured(tmp_path, "torch", INNER, ("0.1 * g", "0.3 * g")).found
    assert (found.old, found.new) == ("0.3", "0.1")


TWICE = """import torch
def loss(params, data):
    h = torch.tanh(data["x"] @ params["w"] + params["b"])
    h = 0.25 * torch.sin(h @ params["square"]) + 0.25 * torch.cos(h)
    return ((h @ params["out"] - data["y"]) ** 2).mean()
"""


def test_one_of_two_equal_numbers_on_a_line_is_told_by_what_is_around_it(tmp_path: Path) -> None:
    """Alone it would not tell which of the two is meant."""
    (found,) = cured(tmp_path, "torch", TWICE, ("0.25 * torch.cos", "0.5 * torch.cos")).found
    assert (found.old, found.new) == ("0.5", "0.25")
    right = TWICE.replace("0.25 * torch.cos", "0.5 * torch.cos")
    (found,) = cured(tmp_path / "twice", "torch", right, ("0.5 * torch.cos", "0.25 * torch.cos")).found
    assert (found.old, found.new) == ("0.25 * torch.cos(h)", "0.5 * torch.cos(h)")
