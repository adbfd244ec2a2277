"""Answers to one question held against each other: roundings are let pass, and nothing else."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from gradparity.backends.numpy_backend import NumpyBackend
from gradparity.worker import messages as m
from gradparity.worker.backend import Worker
from gradparity.worker.earlier import MOST_KEPT, earlier_difference, kept, moved

W = np.array([[1.0, -2.0], [3.0, 1e-9]])


def answer(loss: float = 0.5, w: object = W) -> dict[str, dict[str, np.ndarray]]:
    return {"loss": {"": np.asarray(loss)}, "gradient": {"w": np.asarray(w)}}


@pytest.mark.parametrize(
    ("rounding", "factor", "passes"),
    [
        ("float64", 1 + 2.0**-46, True),
        ("float64", 1 + 2.0**-42, False),
        ("float32", 1 + 2.0**-17, True),
        ("float32", 1 + 2.0**-13, False),
        ("bfloat16", 1 + 2.0**-4, True),
        ("bfloat16", 2.0, False),
    ],
)
def test_what_a_precision_rounds_in_another_order_passes_and_more_does_not(rounding: str, factor: float, passes: bool):
    said = moved(kept(answer(w=factor * W)), kept(answer()), rounding)
    assert bool(said) != passes
    assert passes or said.startswith("gradient w differed by up to ")


def test_the_measure_is_the_largest_number_of_the_answer():
    nearly = W + np.array([[0, 0], [0, 1e-14]])
    assert not moved(kept(answer(w=nearly)), kept(answer()), "float64")
    assert moved(kept(answer(w=1e-9 * nearly, loss=0.0)), kept(answer(w=1e-9 * W, loss=0.0)), "float64") == ""
    assert moved(kept(answer(w=nearly, loss=0.0)), kept(answer(w=W / 1e3, loss=0.0)), "float64")


def test_numbers_that_are_none_are_the_same_where_both_have_them_and_nowhere_else():
    none = [np.nan, np.inf, -np.inf, 1.0]
    assert not moved(kept(answer(w=none)), kept(answer(w=none)), "float64")
    said = ["was nan in one of both", *["differed by up to inf"] * 2, "differed by up to 1"]
    for place, words in enumerate(said):
        other = [0.0 if place == each else value for each, value in enumerate(none)]
        assert moved(kept(answer(w=none)), kept(answer(w=other)), "float64") == f"gradient w {words}"
        assert moved(kept(answer(w=other)), kept(answer(w=none)), "float64") == f"gradient w {words}"


def test_a_shape_that_is_another_is_said():
    assert moved(kept(answer(w=W)), kept(answer(w=W[0])), "float64") == "gradient w had 4 numbers, then 2,"


def test_of_a_large_block_entries_from_all_over_it_are_kept_as_copies():
    large = np.arange(3 * MOST_KEPT, dtype="float32").reshape(3, -1)
    (found,) = kept(answer(w=large))["gradient"].values()
    assert MOST_KEPT / 2 < found.size <= MOST_KEPT
    assert found[-1] > 0.99 * large.max()
    large[:] = 0
    assert found[-1] > 0


def test_the_call_that_gave_something_else_is_named():
    calls = [kept(answer(w=W * factor)) for factor in (1, 1 + 1e-16, 2, 3)]
    said = earlier_difference(calls, answer(), "float64")
    assert said == "gradient w differed by up to 3 between call 3 and call 6 with the same arguments"
    assert earlier_difference(calls[:2], answer(), "float64") == ""


@pytest.mark.parametrize(
    ("first", "said"), [(1.0, ""), (1 + 1e-15, ""), (2.0, "{} differed by up to {} between call 1 and call 3")]
)
@pytest.mark.parametrize(("what", "block", "apart"), [("jvp", "jvp", "0.5"), ("hvp", "hvp w", "3")])
def test_the_jvp_and_the_hvp_that_compile_are_held_to_the_later_ones(
    what: str, block: str, apart: str, first: float, said: str
):
    second_order = {"jvp": {"": np.asarray(0.5)}, "hvp": {"w": W}}
    worker = Worker()
    worker.backend, worker.placed, worker.answers = NumpyBackend(), ({}, {}), [kept(answer())]
    worker.problem = SimpleNamespace(tangents={"w": W})
    given = {"jvp": 0.5 * first, "hvp": {"w": W * first}}[what]
    worker.program = SimpleNamespace(**{what: lambda params, data, tangents: given})
    worker.answer(m.Compile(what))
    found = earlier_difference(worker.answers, {**answer(), **second_order}, "float64")
    assert bool(found) == bool(said)
    assert found.startswith(said.format(block, apart))


def test_what_a_compilation_gives_instead_of_an_answer_is_left_to_the_evaluation():
    worker = Worker()
    worker.backend, worker.placed, worker.answers = NumpyBackend(), ({}, {}), []
    worker.problem = SimpleNamespace(tangents={"w": W})
    worker.program = SimpleNamespace(jvp=None, hvp=lambda *_: 1 / 0)
    for what in ("jvp", "hvp"):
        worker.answer(m.Compile(what))
    assert worker.answers == []
