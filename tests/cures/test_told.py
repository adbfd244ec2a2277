"""What is told of the broken ports holds: the edit made on disk, at a third point, by the framework's own program."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest

from gradparity.model_spec.user.drawing import draw_problem
from gradparity.model_spec.user.model import load_model
from gradparity.worker.user_loss import user_loss
from tests.conftest import configured, python

PORTS = Path(__file__).parents[1] / "evidence" / "ports"
#: One of each kind; `tests/evidence/cures.py` has them all.
SOME = (
    *("adam_eps_inside", "conv_kernel_flip", "kalman_transition", "lstm_forget_bias", "mixture_weights"),
    *("rope_float32", "siamese_target", "smooth_l1_beta"),
)
#: Kinds that a small edit can undo.
NAMED = ("number", "option", "permutation", "stop", "precision")


def fault_of(folder: Path) -> dict[str, object]:
    fault: dict[str, object] = tomllib.loads((folder / "expect.toml").read_text())["fault"]
    return fault


def held(folder: Path, port: str, other: str) -> None:
    """At parameters that nobody was asked about, loss and gradient of both."""
    problem, rng, answers = draw_problem(load_model(folder), "held", 0), np.random.default_rng(7), []
    params = {name: value * (1 + 0.1 * rng.standard_normal(value.shape)) for name, value in problem.params.items()}
    for name in (port, other):
        backend = configured(name)
        program = backend.program(user_loss(problem.spec, backend, (name,)))
        value, gradient = program.value_and_gradient(backend.put(params), backend.put(problem.data))
        answers.append((float(np.asarray(backend.get({"": value})[""])), backend.get(gradient)))
    (loss, blocks), (expected, others) = answers
    np.testing.assert_allclose(loss, expected, rtol=1e-8)
    largest = max(float(np.abs(block).max()) for block in others.values())
    for name, block in others.items():
        np.testing.assert_allclose(blocks[name], block, rtol=1e-7, atol=1e-8 * largest)


def answer_of(folder: Path, port: str, against: str, at: object) -> dict[str, object]:
    import json

    from tests.evidence.cures import measured

    lines = at if isinstance(at, list) else [at]
    answer: dict[str, object] = json.loads(json.dumps(measured(folder, port, against, lines, 60)))
    return answer


def applied(folder: Path, port: str, found: dict[str, object]) -> None:
    file = folder / "backends" / str(found["file"])
    lines = file.read_text().splitlines(keepends=True)
    at = len("".join(lines[: int(str(found["line"])) - 1]).encode()) + int(str(found["column"]))
    text, old = file.read_bytes(), str(found["old"]).encode()
    assert text[at : at + len(old)] == old
    file.write_bytes(text[:at] + str(found["new"]).encode() + text[at + len(old) :])


def one(name: str, folder: Path) -> None:
    """The whole of it, in a process of its own: ports of the same names are loaded once in a process."""
    shutil.copytree(PORTS / name, folder / "asked")
    shutil.copytree(PORTS / name, folder / "told")
    fault = fault_of(folder / "asked")
    port, others = str(fault["backend"]), fault["other_line"]
    assert isinstance(others, dict)
    against = next(iter(others))
    found = answer_of(folder / "asked", port, against, fault["line"])["found"]
    assert isinstance(found, dict) or fault["kind"] not in NAMED
    if isinstance(found, dict):
        applied(folder / "told", port, found)
        held(folder / "told", port, against)


@pytest.mark.slow
@pytest.mark.parametrize("name", SOME)
def test_what_is_told_holds(name: str, tmp_path: Path):
    code = f"from pathlib import Path; from tests.cures.test_told import one; one({name!r}, Path({str(tmp_path)!r}))"
    done = python("-c", code, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr[-3000:]
