"""The backends that answer evaluations."""

from __future__ import annotations

import pytest

from gradparity.worker.gradbench import Tool
from tests.gradbench.asking import backend_tool

VARIED = (pytest.mark.slow, pytest.mark.variation)


@pytest.fixture(
    scope="module", params=["autograd", pytest.param("jax", marks=VARIED), pytest.param("torch", marks=VARIED)]
)
def tool(request: pytest.FixtureRequest) -> Tool:
    return backend_tool(request.param)
