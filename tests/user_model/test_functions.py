"""A model given as functions and arrays: what is written of them is what they are, or one line says why it is not."""

from __future__ import annotations

import linecache
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradparity
from gradparity.model_spec.user.drawing import draw_problem
from gradparity.model_spec.user.model import load_model
from gradparity.runner.functions import write_model
from tests.conftest import python

RNG = np.random.default_rng(0)
PARAMS = {"layers": [{"w": RNG.standard_normal(3)}], "b": np.array(0.5, np.float32)}
DATA = {"X": RNG.standard_normal((6, 3)), "y": RNG.standard_normal(6), "mode": "mean", "n": 6}

CELLS = """
import functools
import math
import numpy as np
from math import pi as PI
SCALE, SHIFT, ENDS = 3.0, np.arange(6.0), {"low": -math.inf, "steps": (1, 2.5, None), "name": "x"}
def doubled(function):
    def within(*arguments):
        return 2 * function(*arguments)
    return within
@doubled
def square(r):
    return SCALE * r * r
@functools.cache
def tripled(factor, by=SCALE):
    return factor * by
SCALE = 5.0
@doubled
def plain(r): return r / 2
def chain(r, depth=2):
    return r if not depth else chain(square(r), depth - 1)
def made(power, extra):
    def inner(params, data, xp):
        r = data["X"] @ params["layers"][0]["w"] + params["b"] - data["y"] + SHIFT
        return plain(xp.mean(chain(r, 1))) ** power * PI + tripled(extra) + max(ENDS["low"], ENDS["steps"][1])
    return inner
loss = made(1, math.sqrt(2))
def port(params, data):
    return loss(params, data, np)
recursive, twice = chain, lambda r: r
def uses_lambda(params, data, xp): return twice(1)
thing = object()
def uses_object(params, data, xp): return xp.sum(params["b"]) if thing else 0
class Mine: pass
def uses_class(params, data, xp): return Mine
def counts(params, data, xp):
    def up():
        nonlocal n
        n += 1
    n = 0
    up()
    return n
held = functools.wraps(chain)(doubled(chain))
def uses_call(params, data, xp): return held(1)
"""


@pytest.fixture
def cells(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The names that cells of a notebook leave, whose lines are where IPython keeps them."""
    monkeypatch.setitem(linecache.cache, "<cell 1>", (len(CELLS), None, CELLS.splitlines(keepends=True), "<cell 1>"))
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(CELLS, "<cell 1>", "exec", dont_inherit=True), names)  # noqa: S102
    return names


def value(function: Any, *more: Any) -> Any:
    return function({"layers": [{"w": PARAMS["layers"][0]["w"]}], "b": PARAMS["b"]}, DATA, *more)


@pytest.mark.parametrize("name", ["loss", "port"])
def test_what_is_written_computes_what_the_function_does(cells: dict[str, Any], tmp_path: Path, name: str):
    given = cells["loss"] if name == "loss" else {"numpy": cells["port"]}
    folder = Path(write_model(given, PARAMS, DATA, tmp_path))
    assert folder.parent == tmp_path / "model"
    model = load_model(folder)
    problem = draw_problem(model, "p", 0)
    assert {path: array.dtype.name for path, array in problem.params.items()} == {
        "b": "float32",
        "layers.0.w": "float64",
    }
    assert all(np.array_equal(problem.data[each], DATA[each]) for each in ("X", "y"))
    written = model.loss if name == "loss" else model.own_loss("numpy")
    expected = value(cells["loss"], np) if name == "loss" else value(cells["port"])
    assert value(written, *([np] if name == "loss" else [])) == expected
    r = DATA["X"] @ PARAMS["layers"][0]["w"] + 0.5 - DATA["y"] + np.arange(6)
    assert expected == pytest.approx(np.mean(10 * r * r) * math.pi + 3 * math.sqrt(2) + 2.5, rel=1e-12)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("uses_lambda", "uses_lambda: got a lambda, expected a function with def"),
        ("uses_object", "uses_object: thing: got an object of object, which no file can hold"),
        ("uses_class", "Mine"),
        ("uses_call", "held, which a call has made of the function chain"),
    ],
)
def test_what_cannot_be_written_is_said_in_one_line(cells: dict[str, Any], tmp_path: Path, name: str, said: str):
    with pytest.raises(gradparity.InputError, match=said) as refused:
        write_model(cells[name], PARAMS, DATA, tmp_path)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "model").exists()


def test_a_later_call_takes_the_place_of_an_earlier_one_and_of_nothing_else(cells: dict[str, Any], tmp_path: Path):
    write_model({"numpy": cells["port"], "jax": cells["port"]}, PARAMS, DATA, tmp_path)
    folder = Path(write_model({"numpy": cells["port"]}, PARAMS, DATA, tmp_path))
    assert load_model(folder).written_for() == ["numpy"]
    (folder / "notes.txt").write_text("mine")
    (folder / "backends" / "torch.py").write_text("mine = 1")
    with pytest.raises(gradparity.InputError, match=r"torch\.py, which is not gradparity's"):
        write_model({"numpy": cells["port"]}, PARAMS, DATA, tmp_path)
    assert (folder / "notes.txt").read_text() == "mine"
    assert (folder / "backends" / "torch.py").read_text() == "mine = 1"


def test_variables_of_a_function_within_are_its_own(cells: dict[str, Any], tmp_path: Path):
    assert load_model(write_model(cells["counts"], PARAMS, DATA, tmp_path)).loss(None, None, None) == 1


def test_a_source_that_is_another_by_now_is_refused(cells: dict[str, Any], tmp_path: Path):
    changed = CELLS.replace("SCALE * r * r", "SCALE * r + r")
    linecache.cache["<cell 1>"] = (len(changed), None, changed.splitlines(keepends=True), "<cell 1>")
    with pytest.raises(gradparity.InputError, match=r"square, whose source has changed since it was defined"):
        write_model(cells["loss"], PARAMS, DATA, tmp_path)


def test_a_function_without_a_source_is_refused(tmp_path: Path):
    names: dict[str, Any] = {"__name__": "__main__"}
    exec("def loss(params, data, xp): return 0", names)  # noqa: S102
    with pytest.raises(gradparity.InputError, match="loss, whose source is not known here"):
        write_model(names["loss"], PARAMS, DATA, tmp_path)


@pytest.mark.parametrize(
    ("model", "params", "data", "said"),
    [
        (lambda params, data, xp: 0.0, PARAMS, DATA, "loss: got a lambda"),
        (linecache.getline, PARAMS, None, "data: got none"),
        (math.dist, PARAMS, DATA, r"loss: got dist\(.*expected \(params, data, xp\)"),
        ({"jax": np.dot}, None, DATA, "params: got none"),
        ({"../x": np.dot}, PARAMS, DATA, "names of backends"),
        ({"jax": 3}, PARAMS, DATA, "jax: got int, expected a function"),
        (np.clip, {"w": np.ones(3, np.float16)}, DATA, r"params: got arrays of float16.*astype\('float32'\)"),
        (np.clip, {"w": np.ones(3)}, {"f": object()}, "data: got an object of object"),
    ],
)
def test_arguments_at_fault_are_named(tmp_path: Path, model: Any, params: Any, data: Any, said: str):
    with pytest.raises(gradparity.InputError, match=said):
        write_model(model, params, data, tmp_path)


SCRIPT = """
import sys
import numpy as np
import gradparity
from beside import half
SCALE = 3.0
def loss(params, data, xp):
    return half(xp.mean(SCALE * (data["X"] @ params["w"]) ** 2))
def wrong(params, data):
    return half(np_of()["mean"](SCALE * np_of()["dot"](data["X"], params["w"]) ** 2)) * 2
def np_of():
    import autograd.numpy as anp
    return vars(anp)
params, data = {"w": np.arange(1.0, 4.0)}, {"X": np.linspace(-1.0, 2.0, 18).reshape(6, 3)}
right = gradparity.check(loss, params, data, backends="autograd", steps=2)
assert right.ok, right
result = gradparity.check({"loss": loss, "autograd": wrong}, params, data=data, backends="autograd", steps=2, out="out")
assert {found.verdict for found in result.problems[0].findings} == {"wrong"}
print(right.problems[0].training[0].losses[0], "half" in str(result))
assert not {"autograd", "jax", "torch"} & set(sys.modules), "the parent imports no framework"
"""


def test_a_script_that_is_run_is_checked_with_its_functions_and_arrays(tmp_path: Path):
    (tmp_path / "beside.py").write_text("def half(x):\n    return 0.5 * x\n")
    (tmp_path / "script.py").write_text(SCRIPT)
    ran = python("script.py", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    X, w = np.linspace(-1.0, 2.0, 18).reshape(6, 3), np.arange(1.0, 4.0)
    assert float(ran.stdout.split()[0]) == pytest.approx(1.5 * np.mean((X @ w) ** 2), rel=1e-14)
    assert (tmp_path / "out" / "model" / "loss" / "backends" / "autograd.py").exists()


def test_params_beside_a_path_are_refused():
    with pytest.raises(TypeError, match="got params without functions"):
        gradparity.check("model.py", PARAMS)
