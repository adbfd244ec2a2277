"""Functions of whole arrays: their models say what they are said to, and what is wrong in a framework is found."""

from __future__ import annotations

import json
from functools import reduce
from pathlib import Path

import numpy as np
import pytest

from gradparity.backends.numpy_backend import NumpyBackend
from gradparity.model_spec.errors import InputError
from gradparity.results.atlas import ArrayEntry
from gradparity.runner.atlas.arrays import FUNCTIONS, entries, in_arrays, surveyed, written
from gradparity.runner.atlas.run import everything
from gradparity.truth.functions import xp
from tests.conftest import python
from tests.examples.models import load_file


def found(tmp_path: Path, name: str, backend: str) -> dict[tuple[str, str], ArrayEntry]:
    """By input and quantity what is found of one function in one backend."""
    result = surveyed(tmp_path / "arrays", in_arrays([name]), [backend], lambda *_: None)
    assert {each.truth.partition(" in")[0] for each in result.problems} == {"certified"}
    return {(each.inputs, each.quantity): each for each in entries(result, {backend: {name}})}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_model_has_a_finite_loss_of_a_function_of_the_namespace(name: str, tmp_path: Path) -> None:
    assert callable(reduce(getattr, name.partition(",")[0].split("."), xp))
    assert name.partition(",")[0] in FUNCTIONS[name][0]
    model = load_file(written(tmp_path, name))
    params, data = model.parameters(np.random.default_rng(0)), model.data(None)
    namespace = NumpyBackend().namespace()
    assert np.isfinite(model.loss(params, data, namespace))
    for kind in "xc":
        assert {key[2:] for key in params if key[0] == kind} == FUNCTIONS[name][1].keys()
    sizes = [np.size(model.f(x, namespace)) for key, x in params.items() if key[0] == "x"]
    assert max(sizes) <= len(data["w"])


def test_the_blocks_are_value_and_derivatives_and_a_product_of_zeros_is_found(tmp_path: Path) -> None:
    blocks = found(tmp_path, "prod", "autograd")
    assert {quantity for _, quantity in blocks} == {"value", "reverse", "forward", "second"}
    assert {inputs for inputs, _ in blocks} == FUNCTIONS["prod"][1].keys()
    model = load_file(tmp_path / "arrays" / "models" / "prod.py")
    x = model.parameters(np.random.default_rng(0))["x 4 with a zero"]
    assert blocks["3 equal", "value"].truth == pytest.approx(np.cos(1) * 0.6**3, rel=1e-14)
    assert (blocks["4 with a zero", "value"].truth, np.prod(x)) == (0, 0)
    bad = {key for key, each in blocks.items() if each.verdict != "agrees"}
    assert {(inputs, "reverse") for inputs in ("4 with a zero", "4 with two zeros")} <= bad
    assert {inputs for inputs, _ in bad} == {"4 with a zero", "4 with two zeros"}
    assert {blocks[key].verdict for key in bad} == {"nonfinite"}
    assert all(each.ours for each in blocks.values())


@pytest.mark.slow
def test_the_determinant_of_a_singular_matrix_is_found(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    blocks = found(tmp_path, "linalg.det, singular", "torch")
    wrong = blocks["2x2 of rank 1", "reverse"]
    assert (wrong.verdict, wrong.got) == ("wrong", 0.0)
    assert blocks["2x2 of rank 1", "value"].verdict == "agrees"


def test_the_atlas_has_both_kinds_and_does_nothing_twice(tmp_path: Path) -> None:
    words = ["atlas", "--functions", "ptp,relu", "--backends", "numpy,autograd", "--out", "a", "--json"]
    first = python("-P", "-m", "gradparity", *words, cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    said = json.loads(first.stdout)
    assert {each["function"] for each in said["arrays"]} == {"ptp"}
    assert {each["function"] for each in said["entries"]} == {"relu"}
    assert {each["backend"]: each["ours"] for each in said["entries"]} == {"numpy": True, "autograd": True}
    assert {each["ours"] for each in said["arrays"]} == {True}
    assert "Functions of whole arrays" not in (tmp_path / "a" / "atlas.html").read_text().partition("<main")[0]
    before = (tmp_path / "a" / "arrays" / "results.json").read_bytes()
    model = (tmp_path / "a" / "arrays" / "models" / "ptp.py").stat().st_mtime_ns
    assert json.loads(python("-P", "-m", "gradparity", *words, cwd=tmp_path).stdout)["arrays"] == said["arrays"]
    assert (tmp_path / "a" / "arrays" / "models" / "ptp.py").stat().st_mtime_ns == model
    problems = [json.loads(text)["problems"] for text in (before, (tmp_path / "a/arrays/results.json").read_bytes())]
    assert problems[0] == problems[1]


def test_no_name_is_refused(tmp_path: Path) -> None:
    ran = python("-P", "-m", "gradparity", "atlas", "--functions", "", "--out", "a", cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "--functions: got no name" in ran.stderr


def test_a_name_of_neither_kind_is_refused_with_those_of_both(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'nosuch'.*linalg\.det.*softplus"):
        everything(str(tmp_path / "a"), ["nosuch"], ["autograd"], told=lambda *_: None)
    assert not (tmp_path / "a").exists()
