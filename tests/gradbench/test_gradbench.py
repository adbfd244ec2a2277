"""GradBench's own evaluations against our tool, where a checkout of it is given.

``GRADPARITY_GRADBENCH`` is its folder, with ``make -C tools/manual`` done, since it compares with that tool.
``GRADPARITY_GRADBENCH_PYTHON`` is an interpreter with what its evaluations import: numpy, scipy, pydantic,
dataclasses-json.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.conftest import plain
from tests.gradbench.between import session

ROOT = Path(os.environ.get("GRADPARITY_GRADBENCH", "/nowhere"))
PYTHON = os.environ.get("GRADPARITY_GRADBENCH_PYTHON", sys.executable)
#: Sizes of each evaluation, in its own options.
SIZES = {
    "hello": "",
    "lse": "-n 2500",
    "llsq": "-n 16 17 -m 20",
    "det": "-l 5 7",
    "kmeans": "-k 10 -n 1000 -d 8",
    "ode": "-n 4 100 -s 1 10",
    "gmm": "-d 2 10 -k 5 -n 100",
    "lstm": "-l 2 -c 10",
}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.variation,
    pytest.mark.skipif(
        not (ROOT / "python" / "gradbench").is_dir(), reason="GRADPARITY_GRADBENCH is no checkout of GradBench"
    ),
]


@pytest.mark.parametrize("backend", ["autograd", "jax", "torch"])
@pytest.mark.parametrize("name", SIZES)
def test_gradbenchs_evaluation_calls_every_answer_valid(name: str, backend: str):
    golden = [] if name == "hello" else [ROOT / "tools" / "manual" / "bin" / name]
    text = [ROOT / "evals" / "lstm" / "data" / "lstm_full.txt"] if name == "lstm" else []
    for file in (*golden, *text):
        if not file.exists():
            pytest.skip(f"the checkout has no {file.relative_to(ROOT)}")
    runs = [] if name == "hello" else ["--min-runs", "1", "--min-seconds", "0"]
    found = session(
        [PYTHON, f"python/gradbench/gradbench/evals/{name}/run.py", *SIZES[name].split(), *runs],
        [sys.executable, "-P", "-m", "gradparity", "gradbench", "tool", backend],
        cwd=ROOT,
        env={**plain(), "PYTHONPATH": str(ROOT / "python" / "gradbench")},
    )
    assert [response.get("error") for _, response in found.of("evaluate")] == [None] * len(found.of("evaluate"))
    assert found.valid == [True] * len(found.of("evaluate"))
    assert found.valid
