"""Models that users have: what is recorded is what the framework computes unrecorded, each with a line of theirs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradparity.model_spec.user.drawing import draw_problem
from gradparity.model_spec.user.model import find_model, load_model
from gradparity.truth.model.trace import record
from gradparity.worker.tracing import Ledger
from gradparity.worker.user_loss import user_loss
from tests.conftest import configured

ROOT = Path(__file__).parents[2]
EXAMPLES = [*ROOT.glob("examples/*.py"), ROOT / "examples/broken_port", ROOT / "examples/logistic_regression"]
PORTS = [each.parent for each in ROOT.glob("tests/evidence/ports/*/expect.toml")]
#: Roundings of the coarsest dtype on the way by which orders of summation may differ: a filter, a Cholesky factor.
MOST = 1000


def assert_recorded(ledger: Ledger, value: Any, gradient: dict[str, Any]) -> None:
    assert not ledger.cut
    rounding = max(float(np.finfo(each.dtype).eps) for each in ledger.values if each.dtype.kind == "f")
    np.testing.assert_allclose(ledger.values[-1], value, rtol=MOST * rounding)
    largest = max(np.abs(each).max() for each in gradient.values())
    told = {name: number for number, name in sorted(ledger.names.items(), reverse=True)}  # data may have a name again
    for name, expected in gradient.items():
        cotangent = ledger.cotangents.get(told[name], np.zeros_like(expected))
        np.testing.assert_allclose(
            cotangent, expected, rtol=MOST * rounding, atol=MOST * rounding * largest, err_msg=name
        )
    for number, step in enumerate(ledger.steps):
        assert number in ledger.names or step.place.line > 0, step
        assert all(0 <= each < number for each in step.inputs), step


@pytest.mark.slow
@pytest.mark.parametrize("model", [*EXAMPLES, *PORTS[::4]], ids=lambda path: path.stem)
def test_a_model_is_recorded_as_it_is(model: Path):
    import jax

    backend: Any = configured("jax")
    read, root = load_model(str(model)), find_model(str(model))[0].parent
    neutral = read.function("loss", "params, data, xp")
    if neutral is None and "jax" not in read.written_for():
        pytest.skip("there is no loss for JAX")
    problem = draw_problem(read, model.stem, 0, None)
    loss = user_loss(problem.spec, backend, ("jax",))
    params, data = backend.put(problem.params), backend.put(problem.data)
    value, gradient = jax.jit(jax.value_and_grad(loss))(params, data)
    ledger = Ledger(root)
    backend.recorder().record(loss, params, data, ledger)
    assert_recorded(ledger, value, gradient)
    if neutral is not None:
        ledger = Ledger(root)
        record(problem.spec.nested(neutral), dict(problem.params), dict(problem.data), ledger)
        assert_recorded(ledger, value, gradient)
