"""Engines of other frameworks, each a package of one file: installed, and held to the truth where they are there."""

from __future__ import annotations

import json
import math
import re
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from gradparity.backends import Registration, missing
from tests.conftest import python
from tests.examples.models import EXAMPLES
from tests.examples.packages import command, installed_by_hand

#: The packages by their frameworks, and the framework of each backend of theirs.
ENGINES = {path.parent.name: path.parent for path in sorted(EXAMPLES.glob("engines/*/pyproject.toml"))}
BACKENDS = {
    "casadi": "casadi",
    "keras-tensorflow": "keras",
    "pytensor": "pytensor",
    "tensorflow": "tensorflow",
    "tensorflow-xla": "tensorflow",
    "tinygrad": "tinygrad",
}
#: The engines of Keras over which it has no float64.
KERAS = {"keras-jax": "keras", "keras-torch": "keras"}
#: What a compiler of C++, called for every kernel, would take longer than all else here.
ENVIRONMENT = {"mlx": ["--env", "MLX_DISABLE_COMPILE=1"]}
QUANTITIES = {"loss", "gradient", "jvp", "hvp"}
#: Derivatives that a framework does not have.
LACKING = {"tinygrad": {"jvp"}}


def checked(engine: str, tmp_path: Path, *words: str, code: int = 0) -> dict[str, Any]:
    """The problem of a check by one engine."""
    framework = {**BACKENDS, **KERAS}.get(engine, engine)
    for needed in {framework, *([engine.partition("-")[2]] if framework == "keras" else [])}:
        if find_spec(needed) is None:
            pytest.skip(f"{needed} is not installed: pip install ./examples/engines/{framework}")
    installed_by_hand(ENGINES[framework], tmp_path / "site")
    asked = ["check", *words, "--backends", engine, "--steps", "3", "--out", str(tmp_path / "out")]
    (problem,) = command(tmp_path / "site", tmp_path, *asked, *ENVIRONMENT.get(engine, []), code=code)["problems"]
    return dict(problem)


def entries_of(engine: str) -> dict[str, dict[str, str]]:
    """What a package registers, by groups."""
    return dict(tomllib.loads((ENGINES[engine] / "pyproject.toml").read_text())["project"]["entry-points"])


def of(engine: str, problem: dict[str, Any]) -> list[dict[str, Any]]:
    """An engine's findings."""
    assert {each["quantity"] for each in problem["not_given"]} == LACKING.get(engine, set())
    found = [each for each in problem["findings"] if each["backend"] == engine]
    assert {each["quantity"] for each in found} == QUANTITIES - LACKING.get(engine, set())
    return found


MODELS = ["--data=toy", str(EXAMPLES / "mlp.py"), str(EXAMPLES / "gaussian_mixture.py")]
KERAS_MODEL = str(EXAMPLES / "keras_mlp")
VARIATION = [pytest.mark.slow, pytest.mark.variation]
#: CI installs its engines before the slow tests.
MARKS = {"--data=toy": [pytest.mark.slow]}
CASES = [
    pytest.param(engine, model, marks=MARKS.get(model, VARIATION), id=f"{engine}-{Path(model).stem}")
    for engine in BACKENDS
    for model in [*MODELS, *([KERAS_MODEL] if BACKENDS[engine] == "keras" else [])]
]


@pytest.mark.parametrize("engine, model", CASES)
def test_an_engine_agrees_with_the_truth_in_all_that_it_has(engine: str, model: str, tmp_path: Path) -> None:
    problem = checked(engine, tmp_path, model)
    assert problem["truth"].startswith("certified in ball arithmetic")
    assert {each["verdict"] for each in of(engine, problem)} == {"agrees"}
    assert {each["verdict"] for each in problem["training"]} == {"agrees"}


@pytest.mark.parametrize("model", [pytest.param(model, marks=VARIATION if "mlp" in model else ()) for model in MODELS])
def test_a_program_of_no_framework_agrees(model: str, tmp_path: Path) -> None:
    program = f"tape=command:{sys.executable} {EXAMPLES / 'engines' / 'program' / 'tape.py'}"
    asked = ["check", model, "--backend", program, "--backends", "tape", "--steps", "3", "--out", "out", "--json"]
    ran = python("-P", "-m", "gradparity", *asked, cwd=tmp_path)
    (problem,) = json.loads(ran.stdout)["problems"]
    assert {each["quantity"]: each["verdict"] for each in problem["findings"]} == dict.fromkeys(
        ("loss", "gradient", "jvp"), "agrees"
    )
    assert {each["quantity"] for each in problem["not_given"]} == {"hvp"}
    assert ran.returncode == 0


def error_of_mlx(function: str, at: float) -> float:
    """How far a function of MLX is from the standard library's, in float64."""
    code = f"import mlx.core as mx; print(float(mx.{function}(mx.array({at}, dtype=mx.float64), stream=mx.cpu)))"
    return abs(float(python("-c", code).stdout) / getattr(math, function)(at) - 1)


@pytest.mark.parametrize(
    "model",
    [pytest.param(model, marks=MARKS.get(model, VARIATION), id=Path(model).stem) for model in MODELS],
)
def test_that_mlx_rounds_the_exponential_to_float32_is_found_wherever_there_is_one(model: str, tmp_path: Path) -> None:
    if find_spec("mlx") is None:
        pytest.skip("mlx is not installed: pip install ./examples/engines/mlx")
    rounds = error_of_mlx("exp", 1.1) > 1e-10 and "mlp" not in model
    assert error_of_mlx("tanh", 1.1) < 1e-15  # all that mlp.py has
    found = of("mlx", checked("mlx", tmp_path, model, code=int(rounds)))
    assert {each["verdict"] for each in found} == {"wrong" if rounds else "agrees"}
    if rounds:
        said = {each["cause"] for each in found}
        assert all("something on the way is rounded" in cause for cause in said if cause)
        assert any(said)


@pytest.mark.parametrize(
    "engine, model",
    [
        pytest.param(engine, model, marks=marks, id=f"{engine}-{Path(model).stem}")
        for engine in KERAS
        for model, marks in [(KERAS_MODEL, [pytest.mark.slow]), *((each, VARIATION) for each in MODELS)]
    ],
)
def test_that_keras_has_no_float64_over_jax_and_torch_is_found_and_in_float32_it_agrees(
    engine: str, model: str, tmp_path: Path
) -> None:
    problem = checked(engine, tmp_path / "single", model, "--dtype", "float32")
    assert problem["idle"] == {}  # backends/keras.py is the port of a framework that no backend is called
    assert {each["verdict"] for each in of(engine, problem)} == {"agrees"}
    rounds = python("-c", "import keras; print(keras.backend.result_type('float64', 'float64'))", KERAS_BACKEND="numpy")
    single = rounds.stdout.strip() == "float32"
    found = of(engine, checked(engine, tmp_path / "double", model, code=int(single)))
    assert {each["verdict"] for each in found} == {"wrong" if single else "agrees"}
    if single:
        assert "float32 leak: every entry is a float32 number" in {each["cause"] for each in found}


@pytest.mark.slow
@pytest.mark.variation
def test_that_float32_is_right_where_float64_is_not_tells_a_format_from_a_rule(tmp_path: Path) -> None:
    found = of("mlx", checked("mlx", tmp_path, "--data=toy", "--dtype", "float32"))
    assert {each["verdict"] for each in found} == {"agrees"}


@pytest.mark.slow
@pytest.mark.variation
@pytest.mark.parametrize("model, dtype", [("--data=toy", "float32"), (str(EXAMPLES / "mlp.py"), "bfloat16")])
def test_an_engine_takes_no_part_in_a_precision_that_it_has_not(model: str, dtype: str, tmp_path: Path) -> None:
    problem = checked("casadi", tmp_path, model, "--dtype", dtype, code=3)
    assert problem["idle"] == {"casadi": f"it has no {dtype}, only float64"}
    assert problem["findings"] == []


#: Losses of TensorFlow's that it takes without a word, and what a check says of each.
TENSORFLOW = {
    "(X @ w - y) ** 2": "got an array of shape (7, 1), expected a scalar",
    "tf.cast(tf.reduce_sum((X @ w - y) ** 2), tf.complex128)": "got an array of dtype <dtype: 'complex128'>",
    "tf.cast(tf.reduce_sum((X @ w - y) ** 2), tf.bfloat16)": "dtype bfloat16, expected float64",
    "tf.reduce_sum((X @ tf.nn.dropout(w, 0.5) - y) ** 2)": "with its random generators seeded it repeats itself",
    "tf.reduce_sum((X @ kept.setdefault('w', 1 * w) - y) ** 2)": "a traced value leaked out of the loss: TypeError",
    "tf.reduce_sum((X @ w - y.numpy()) ** 2)": "AttributeError: 'SymbolicTensor' object has no attribute 'numpy' (",
}


@pytest.mark.slow
@pytest.mark.variation
@pytest.mark.parametrize("loss", TENSORFLOW)
def test_what_tensorflow_differentiates_all_the_same_is_said_to_be_what_it_is(loss: str, tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(
        "def parameters(rng):\n    return {'w': rng.standard_normal((3, 1))}\n\n"
        "def data(rng):\n    return {'X': rng.standard_normal((7, 3)), 'y': rng.standard_normal((7, 1))}\n\n"
        "def loss(params, data, xp):\n    return xp.sum((data['X'] @ params['w'] - data['y']) ** 2)\n\n"
        "kept = {}\n\ndef loss_tensorflow(params, data):\n    import tensorflow as tf\n"
        f"    X, y, w = data['X'], data['y'], params['w']\n    return {loss}\n"
    )
    code = 3 if "got an" in TENSORFLOW[loss] or "numpy()" in loss else 1
    problem = checked("tensorflow", tmp_path, str(tmp_path / "model.py"), code=code)
    assert all(TENSORFLOW[loss] in each["rule"] for each in problem["findings"] if each["quantity"] == "loss")


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_is_one_file_that_imports_its_framework_and_nothing_of_ours(engine: str) -> None:
    modules = {
        ".".join(path.relative_to(ENGINES[engine]).with_suffix("").parts): path.read_text()
        for path in ENGINES[engine].rglob("*.py")
    }
    for source in modules.values():
        assert "import gradparity" not in source
        assert not re.search(r"from gradparity\b(?!_)", source)
        assert len(source.splitlines()) <= 150
    entries = entries_of(engine)
    of_engine = {name for name, framework in {**BACKENDS, **KERAS}.items() if framework == engine} or {engine}
    assert entries["gradparity.backends"].keys() == of_engine
    named = {target.partition(":")[0] for target in entries["gradparity.backends"].values()}
    assert modules.keys() - named == ({"gradparity_keras.__init__"} if engine == "keras" else set())
    assert named <= modules.keys()
    assert entries.get("gradparity.families", {}) == {name: engine for name in of_engine if name != engine}


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_that_is_not_installed_is_listed_with_what_it_needs(
    engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(ENGINES[engine])
    monkeypatch.setitem(sys.modules, engine, None)
    for target in entries_of(engine)["gradparity.backends"].values():
        registration = Registration(target, package=f"gradparity-{engine}")
        assert missing(registration) == f"install what has the module {engine}, which gradparity-{engine} imports"
