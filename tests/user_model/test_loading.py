"""A model's file is loaded by path, what it draws is checked, and every fault is one line with file and line."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradparity.api import path_of
from gradparity.model_spec.errors import InputError
from gradparity.model_spec.problem import in_other_precision
from gradparity.model_spec.spec import from_dict, to_dict
from gradparity.model_spec.trees import leaves, nest, structure
from gradparity.model_spec.user.drawing import draw_problem
from gradparity.model_spec.user.model import find_model, load_model
from tests.user_model.models import GRADIENT, HEAD, LOSS, model_file, model_folder


@pytest.fixture(autouse=True)
def _clean_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))


def drawn(folder: Path, text: str, **options: Any) -> Any:
    return draw_problem(load_model(model_file(folder, text)), "model", options.pop("seed", 0), **options)


def returning(what: str) -> str:
    return (
        f"import numpy as np\n\n\ndef parameters(rng):\n    return {what}\n\n\ndef data(rng):\n    return {{}}\n{LOSS}"
    )


def test_parameters_and_data_come_from_two_streams_of_the_seed_that_is_recorded(tmp_path: Path):
    problem = drawn(tmp_path, HEAD + LOSS, seed=7)
    assert problem.params["w"].tobytes() == np.random.default_rng([7, 0]).standard_normal(3).tobytes()
    assert problem.data["X"].tobytes() == np.random.default_rng([7, 1]).standard_normal((6, 3)).tobytes()
    assert problem.seed == 7


def test_a_specification_survives_its_way_over_a_message(tmp_path: Path):
    spec = drawn(tmp_path, HEAD + LOSS).spec
    assert from_dict(to_dict(spec)) == spec
    assert spec.shapes == {"w": (3,), "b": ()}
    flat = spec.pack({"w": np.arange(3.0), "b": np.array(9.0)})
    assert flat.tolist() == [0, 1, 2, 9]
    assert spec.unpack(flat)["b"].shape == ()


def test_mixed_precisions_are_kept_and_become_float64_in_the_other_precision(tmp_path: Path):
    problem = drawn(tmp_path, returning('{"a": np.ones(2, np.float32), "b": [np.ones(3)]}'))
    assert problem.spec.dtypes == {"a": "float32", "b.0": "float64"}
    assert problem.spec.dtype == "float32"
    assert {str(value.dtype) for value in in_other_precision(problem).params.values()} == {"float64"}
    rounded = problem.spec.rounded(problem.spec.unpack(problem.spec.pack(problem.params)))
    assert rounded["a"].dtype == np.float32


def test_casting_leaves_integers_and_booleans_alone(tmp_path: Path):
    text = HEAD.replace('"y": rng.standard_normal(6)', '"i": np.arange(3), "f": np.array([True, False]), "k": 3')
    problem = drawn(tmp_path, text + LOSS, dtype="float32")
    assert {name: str(value.dtype) for name, value in problem.data.items()} == {
        "X": "float32",
        "i": "int64",
        "f": "bool",
    }
    assert problem.spec.nest_data(problem.data)["k"] == 3


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ('{"w": np.array([1, 2])}', "got none but constants, expected at least one parameter. Whole numbers are"),
        ('{"w": np.array([1j])}', "w: got dtype complex128, expected float64 or float32. Keep real and imaginary"),
        ('{"w": np.ones(2, np.longdouble)}', "w: got dtype float128, expected float64 or float32."),
        ("{}", "got no arrays, expected at least one parameter."),
        ('{"a.b": np.ones(2), "a": {"b": np.ones(2)}}', "a.b: got two leaves of that name, one by a key with dots"),
        ('{"a": {3: np.ones(2)}}', "key in a: got 3, expected a string of up to 1,000 characters that can be shown."),
        ('{"a" * 10**7: np.ones(2)}', "expected a string of up to 1,000 characters that can be shown."),
        ('{"": np.ones(2)}', "key: got '', expected a string of up to 1,000 characters that can be shown."),
        ('{"w": 0.5}', "w: got 0.5, a float, expected a NumPy array. Make it a NumPy array: np.asarray(value)."),
        ("np.ones(2)", "got a numpy.ndarray, expected a dict of arrays."),
        ('{"w": np.array([1.0, np.nan])}', "w: got nan at (1,), expected finite numbers."),
        ('{"w": np.ones((0, 2))}', "w: got shape (0, 2), expected an array with entries."),
    ],
)
def test_parameters_that_cannot_be_differentiated_are_refused_with_their_name_and_line(
    tmp_path: Path, what: str, said: str
):
    with pytest.raises(InputError) as raised:
        drawn(tmp_path, returning(what))
    assert re.match(r".*model\.py, line 4: parameters: ", str(raised.value))
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import nosuchmodule\n", "line 1: got ModuleNotFoundError: No module named 'nosuchmodule', expected a file"),
        ("x = 1\nif x\n", "line 2: got SyntaxError"),
        ("\nraise SystemExit(4)\n", "line 2: got the code ends the process: SystemExit(4)"),
        (HEAD.replace("def data", "def datum"), "got no function data, expected a function data(rng)."),
        ("parameters = 3\n" + LOSS, "got parameters is int, expected a function parameters(rng)."),
        (HEAD + "loss = 3\n", "loss: got int, expected a function."),
        (HEAD + "def loss(params, data): pass\n", "got loss(params, data), expected loss(params, data, xp)."),
        (HEAD.replace("data(rng)", "data()") + LOSS, "line 6: data: got data(), expected data(rng)."),
        (HEAD.replace("parameters(rng)", "parameters(*, rng)") + LOSS, "got parameters(*, rng), expected parameters("),
        (HEAD + "x = 0\0\n", "model.py: got SyntaxError: source code string cannot contain null bytes"),
        ("class E(Exception):\n def __str__(self): return 3\nraise E\n", "got E: what it says raises TypeError"),
    ],
)
def test_a_file_at_fault_is_named_with_its_line(tmp_path: Path, text: str, said: str):
    with pytest.raises(InputError, match=r"model\.py") as raised:
        load_model(model_file(tmp_path, text))
    assert said in str(raised.value)


@pytest.mark.parametrize("arguments", ["params, data, xp, *, scale=1", "params, data, *rest", "*both, **named"])
def test_a_loss_may_take_more_than_it_is_given_and_a_decorator_is_asked_for_its_own_arguments(
    tmp_path: Path, arguments: str
):
    wrapped = (
        "import functools\n\ndef scaled(f):\n    @functools.wraps(f)\n    def call(params, data, xp):\n"
        "        return f(params, data, xp, 2)\n    return call\n\n@scaled\ndef smooth(params, data, xp, scale):\n"
        "    return scale * xp.sum(params['w'])\n"
    )
    path = model_file(tmp_path, HEAD + wrapped + f"\ndef loss({arguments}):\n    return 0\n")
    assert load_model(path).loss is not None
    assert load_model(f"{path}::smooth").loss is not None


def test_a_helper_that_does_not_import_is_named_with_its_line(tmp_path: Path):
    (tmp_path / "helper_that_fails.py").write_text("x = 1\nfrom nosuchmodule import y\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"helper_that_fails\.py, line 2: got ModuleNotFoundError: .*nosuchmodule"):
        load_model(model_file(tmp_path, "from helper_that_fails import loss\n" + HEAD))


def test_what_a_model_raises_is_said_with_the_line_that_raised_it(tmp_path: Path):
    text = HEAD.replace('    return {"X"', '    rng.nothing()\n    return {"X"')
    with pytest.raises(InputError, match=r"model\.py, line 7: got AttributeError: .*nothing.*, expected data"):
        drawn(tmp_path, text + LOSS)


@pytest.mark.parametrize(
    ("files", "path", "said"),
    [
        (
            [],
            "nosuch.py",
            "where there is no file, expected a Python file, or a folder with model.py. It has",
        ),
        ([], "", "a folder without model.py or model_spec.py, expected a Python file, or a folder with model.py."),
        (["model.txt"], "model.txt", "expected a Python file whose name ends in .py, or a folder."),
        (
            ["model.py", "model_spec.py"],
            "",
            "a folder with model.py and model_spec.py, expected one of the two.",
        ),
    ],
)
def test_a_path_that_is_no_model_is_said_with_what_one_is(tmp_path: Path, files: list[str], path: str, said: str):
    for name in files:
        (tmp_path / name).touch()
    with pytest.raises(InputError) as raised:
        load_model(tmp_path / path)
    assert said in str(raised.value)


@pytest.mark.parametrize("name", ["model.py", "model_spec.py"])
def test_a_folder_has_its_model_under_either_name_and_a_module_of_it_stands_for_the_folder(tmp_path: Path, name: str):
    path = Path(model_file(tmp_path, HEAD + LOSS, name))
    (tmp_path / "backends").mkdir()
    assert find_model(tmp_path) == (path, tmp_path)
    assert path_of(load_model(tmp_path).module) == str(tmp_path)
    (tmp_path / "backends").rmdir()
    assert path_of(load_model(path).module) == str(path)


def test_a_file_named_like_a_library_imports_the_library_and_modules_beside_the_model_are_found(tmp_path: Path):
    (tmp_path / "m").mkdir()
    model_file(tmp_path / "m", "scale = 2.0\n", "helper_beside_a_model.py")
    text = "from helper_beside_a_model import scale\n" + HEAD
    port = "import json\n\ndef loss(params, data):\n    return json.dumps\n"
    (tmp_path / "m" / "backends").mkdir()
    model_file(tmp_path / "m", text, "model_spec.py")
    model_file(tmp_path / "m" / "backends", port, "json.py")
    model = load_model(tmp_path / "m")
    assert model.module.scale == 2.0
    loss = model.own_loss("json")
    assert loss({}, {}) is json.dumps  # the library's, and not the file of that name
    assert sys.path[-1] == str(tmp_path / "m")


def test_a_backends_own_file_comes_before_a_function_and_a_family_after_the_name(tmp_path: Path):
    text = HEAD + LOSS + GRADIENT + "\ndef loss_torch(params, data):\n    return 'family'\n"
    port = "def loss(params, data):\n    return 'file'\n"
    model = load_model(model_folder(tmp_path / "m", text, jax=port))
    assert model.own_loss("torch-compile", "torch")(0, 0) == "family"
    assert model.own_loss("jax")(0, 0) == "file"
    assert model.own_loss("autograd") is None
    assert model.written_for() == ["torch", "jax"]
    assert model.own_gradient("numpy") is not None
    assert model.own_gradient("jax") is None


def by(words: str) -> str:
    """A function ``gradient``, by its words."""
    return f"\ndef {words}(params, data):\n    return {words!r}\n"


def test_a_gradient_by_hand_is_of_the_backend_whose_name_it_has_and_in_its_file_of_that(tmp_path: Path):
    text = HEAD + LOSS + by("gradient") + by("gradient_torch") + by("gradient_torch_distributed")
    port = "def loss(params, data): return 1\n"
    model = load_model(model_folder(tmp_path / "m", text, jax=port + by("gradient"), autograd=port))
    found = {
        names: function and (function(0, 0), Path(function.__code__.co_filename).name)
        for names in [("numpy",), ("torch",), ("torch-compile", "torch"), ("jax",), ("autograd",)]
        for function in [model.own_gradient(*names)]
    }
    assert found == {
        ("numpy",): ("gradient", "model_spec.py"),
        ("torch",): ("gradient_torch", "model_spec.py"),
        ("torch-compile", "torch"): ("gradient_torch", "model_spec.py"),
        ("jax",): ("gradient", "jax.py"),
        ("autograd",): None,
    }
    assert load_model(f"{tmp_path / 'm'}::smooth").own_gradient("torch") is None


@pytest.mark.parametrize(
    ("backend", "text", "ports"),
    [
        ("numpy", by("gradient") + by("gradient_numpy"), {}),
        ("numpy", by("gradient"), {"numpy": "def loss(params, data): return 1\n" + by("gradient")}),
        ("jax", by("gradient_jax"), {"jax": "def loss(params, data): return 1\n" + by("gradient")}),
    ],
)
def test_two_gradients_by_hand_for_one_backend_are_refused(
    backend: str, text: str, ports: dict[str, str], tmp_path: Path
):
    model = load_model(model_folder(tmp_path / "m", HEAD + LOSS + text, **ports))
    said = (
        rf"gradient by hand for {backend}: got .*, line \d+: gradient.* and .*, line \d+: gradient.*, expected one of"
    )
    with pytest.raises(InputError, match=said):
        model.own_gradient(backend)


def test_a_backends_file_without_a_loss_is_named(tmp_path: Path):
    model = load_model(model_folder(tmp_path / "m", HEAD, jax="def los(params, data): return 1\n"))
    with pytest.raises(
        InputError, match=r"backends/jax\.py: got no function loss, expected a function loss\(params, da"
    ):
        model.own_loss("jax")


trees = st.recursive(
    st.builds(lambda n: np.arange(float(n)), st.integers(1, 3)) | st.none() | st.integers(-5, 5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text("abc", min_size=1, max_size=2), inner, max_size=3)
    ),
    max_leaves=8,
)


def is_array(leaf: Any) -> bool:
    return isinstance(leaf, np.ndarray)


@given(st.dictionaries(st.text("xyz", min_size=1, max_size=2), trees, max_size=3))
def test_a_tree_is_built_again_from_its_structure_and_its_leaves(tree: Any):
    flat = {path: leaf for path, leaf in leaves(tree) if is_array(leaf)}
    built = nest(structure(tree, is_array), flat)
    assert same(built, tree)


def same(a: Any, b: Any) -> bool:
    if isinstance(b, dict):
        return isinstance(a, dict) and list(a) == list(b) and all(same(a[key], b[key]) for key in b)
    if isinstance(b, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return a is b or a == b
