"""What JAX's recorder tells of a loss, its expressions read from the text of the file, and JAX's own gradient."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from gradparity.backends.traces import Step
from gradparity.worker.tracing import Ledger
from tests.conftest import configured

HERE = Path(__file__)
RNG = np.random.default_rng(11)
PARAMS = {"w": 0.5 * RNG.standard_normal((4, 4)), "b": RNG.standard_normal(4)}
DATA = {"x": RNG.standard_normal((6, 4)), "k": np.array([2, 0, 1])}


def of(loss: Any, params: Any = PARAMS, data: Any = DATA) -> Any:
    """The record of a loss, whose lines are in this folder."""
    backend, ledger = configured("jax"), Ledger(HERE.parent)
    backend.recorder().record(loss, backend.put(params), backend.put(data), ledger)  # type: ignore[attr-defined]
    return SimpleNamespace(
        ledger=ledger, steps=ledger.steps, values=ledger.values, cotangents=ledger.cotangents, names=ledger.names
    )


def expression(step: Step) -> str:
    place = step.place
    lines = Path(place.file).read_text("utf-8").splitlines()[place.line - 1 : place.end_line]
    lines[-1] = lines[-1][: place.end_column]
    lines[0] = lines[0][place.column :]
    return " ".join(line.strip() for line in lines)


def calls(found: Any) -> list[str]:
    """What the user called, in order: the expressions of all but parts."""
    return [expression(step) for i, step in enumerate(found.steps) if i not in found.names and not step.part]


def of_expression(found: Any, text: str) -> list[int]:
    return [
        i for i, step in enumerate(found.steps) if i not in found.names and not step.part and expression(step) == text
    ]


def assert_right(found: Any, loss: Any, params: Any = PARAMS, data: Any = DATA) -> None:
    """The last value is the loss, and the cotangents of the parameters are its gradient, as JAX has both."""
    import jax

    value, gradient = jax.jit(jax.value_and_grad(loss))(params, data)
    np.testing.assert_allclose(found.values[-1], value, rtol=1e-13)
    told = {name: found.cotangents.get(number) for number, name in found.names.items()}
    assert set(told) == {*params, *data}
    for name in params:
        got = np.zeros_like(gradient[name]) if told[name] is None else told[name]
        np.testing.assert_allclose(got, gradient[name], rtol=1e-11, atol=1e-13, err_msg=name)
    assert all(told[name] is None for name in data)
    for number, cotangent in found.cotangents.items():
        assert cotangent.shape == found.values[number].shape
