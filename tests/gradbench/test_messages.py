"""Messages of GradBench to a backend as its tool: one response each, and a line for whatever is at fault."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradparity.backends.gradbench import EVALS, module_of, wire_of
from gradparity.worker.gradbench import Refused, Tool, serve
from tests.conftest import Command, plain
from tests.gradbench.asking import asked, backend_tool, both


def test_it_is_repeated_as_often_and_as_long_as_is_asked():
    tool = backend_tool("numpy")
    asked(tool, kind="define", module="lse")
    message = {"kind": "evaluate", "module": "lse", "function": "gradient"}
    often = asked(tool, **message, input={"x": [1, 2], "min_runs": 5, "min_seconds": 0})["timings"]
    assert [each["name"] for each in often] == ["first call", *["evaluate"] * 5]
    long = asked(tool, **message, input={"x": [1, 2], "min_runs": 1, "min_seconds": 0.01})["timings"]
    assert sum(each["nanoseconds"] for each in long[1:]) >= 10**7 > sum(each["nanoseconds"] for each in long[1:-1])


def test_numpy_has_those_that_are_derived_by_hand_and_says_so_of_others():
    tool = backend_tool("numpy")
    found = {name: asked(tool, kind="define", module=name) for name in EVALS}
    by_hand = [name for name, answer in found.items() if answer["success"]]
    assert by_hand == [name for name in EVALS if hasattr(module_of(name), "gradient")] == ["hello", "lse", "llsq"]
    assert "numpy has no autodiff" in found["det"]["error"]
    np.testing.assert_allclose(both(tool, "lse", {"x": [0.0, 0.0]})[1], [0.5, 0.5])
    np.testing.assert_allclose(both(tool, "llsq", {"x": [0.5], "n": 2})[1], [1.0])


INPUTS = {
    "lse": [
        *(None, 3, [], {}, {"x": 1}, {"x": [[1]]}, {"x": ["a"]}, {"x": [None]}, {"x": [True]}, {"x": [[1], [1, 2]]}),
        *({"x": [float("nan")]}, {"x": [10**400]}, {"x": {}}, {"x": [1], "min_runs": -1}, {"x": [1], "min_runs": "2"}),
        *({"x": [1], "min_seconds": float("inf")}, {"x": [1], "min_runs": True}, {"x": []}),
        *({"x": [True, 0.5]}, {"x": [[1], 2]}, {"x": [1], "min_runs": 10**400}),
    ],
    "hello": [None, "1", [1], {}, True, float("inf")],
    "llsq": [{"x": [1]}, {"x": [1], "n": 1}, {"x": [1], "n": 2.5}, {"x": [1], "n": 10**9}, {"n": 4}],
    "det": [{"A": [1, 2, 3], "ell": 2}, {"A": [], "ell": 0}, {"A": [[1]], "ell": 1}, {"A": [1] * 400, "ell": 20}],
    "kmeans": [{"points": [[1, 2]], "centroids": [[1]]}, {"points": [[1]], "centroids": []}, {"points": []}],
    "ode": [{"x": [], "s": 1}, {"x": [1], "s": 0}, {"x": [1]}],
    "gmm": [{"alpha": [1], "mu": [[1]], "q": [[1]], "l": [[]], "x": [[1]], "gamma": 0, "m": 0, "d": 1, "k": 1, "n": 1}],
    "lstm": [{"main_params": [[1]], "extra_params": [[1]], "state": [[1]], "sequence": [[1]]}],
}


@pytest.mark.parametrize("name", INPUTS)
def test_an_input_that_is_none_is_refused_in_a_line(name: str):
    tool = backend_tool("autograd")
    asked(tool, kind="define", module=name)
    for each in INPUTS[name]:
        for function in (wire_of(name).primal, wire_of(name).derivative):
            answer = asked(tool, kind="evaluate", module=name, function=function, input=each)
            assert answer["success"] is False, (each, answer)
            assert answer["error"]
            assert "\n" not in answer["error"]


def test_whole_numbers_of_any_length_are_numbers():
    tool = backend_tool("numpy")
    assert both(tool, "hello", 2**64) == (2.0**128, 2.0**65)
    assert both(tool, "lse", {"x": [2**70, -1, 0.5]})[0] == 2.0**70


def test_what_overflows_is_said_in_words_of_ours():
    tool = backend_tool("numpy")
    asked(tool, kind="define", module="hello")
    answer = asked(tool, kind="evaluate", module="hello", function="square", input=1e200)
    assert answer["error"] == "the answer is not finite, which JSON has no number for"


def test_messages_out_of_order_have_an_answer():
    tool = backend_tool("numpy")
    for message, said in (
        (
            {"kind": "evaluate", "module": "lse", "function": "primal", "input": {"x": [1]}},
            "its module was not defined",
        ),
        ({"kind": "evaluate", "module": ["lse"]}, "its module was not defined"),
        ({"kind": "define", "module": "ht"}, "no model of it: hello, lse,"),
        ({"kind": "define", "module": {"a": 1}}, "no model of it"),
        ({"kind": "define"}, "no model of it"),
    ):
        answer = asked(tool, **message)
        assert answer["success"] is False
        assert said in answer["error"]
    for kind in ("analysis", "end", None, ["start"], 4):
        assert asked(tool, kind=kind) == {"id": 7}
    asked(tool, kind="define", module="lse")
    answer = asked(tool, kind="evaluate", module="lse", function="hessian", input={"x": [1]})
    assert answer["error"] == "no function 'hessian': primal, gradient"


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["x", "n", "A", "ell"]), inner),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def ready() -> Tool:
    """All that numpy has, defined."""
    tool = backend_tool("numpy")
    for name in EVALS[:3]:
        asked(tool, kind="define", module=name)
    return tool


@given(
    kind=st.sampled_from(["evaluate", "define", "start"]) | JSON,
    module=st.sampled_from(EVALS[:3]) | JSON,
    function=st.sampled_from(["primal", "gradient", "square"]) | JSON,
    value=JSON,
)
def test_whatever_a_message_has_it_has_one_response(ready: Tool, kind: Any, module: Any, function: Any, value: Any):
    answer = asked(ready, kind=kind, module=module, function=function, input=value)
    assert answer["id"] == 7
    json.dumps(answer, allow_nan=False)


@given(line=st.binary(max_size=40) | st.sampled_from([b"[]", b"{}", b'{"id": 1.0}', b'{"id": true}', b"[" * 10**5]))
def test_a_line_that_is_no_message_ends_it_with_a_line(ready: Tool, line: bytes):
    with pytest.raises(Refused, match="expected a JSON object on one line, with a whole number as its id"):
        ready.respond(line)


def test_an_end_of_input_is_the_end_and_what_was_asked_before_is_answered(capsys: pytest.CaptureFixture[str]):
    tool, heard = backend_tool("numpy"), io.BytesIO()
    assert serve(tool, io.BytesIO(b'{"id": 0, "kind": "start"}\n{"id": 1, "kind": "end"}\n'), heard) == 0
    assert [json.loads(line)["id"] for line in heard.getvalue().splitlines()] == [0, 1]
    assert serve(tool, io.BytesIO(b'{"id": 2, "kind": "end"}\nnothing\n{"id": 3, "kind": "end"}\n'), heard) == 2
    assert json.loads(heard.getvalue().splitlines()[-1]) == {"id": 2}
    assert capsys.readouterr().err == (
        "gradparity: line 2: got 'nothing', expected a JSON object on one line, with a whole number as its id.\n"
    )


def test_it_is_a_process_that_writes_nothing_but_responses():
    words = [sys.executable, "-P", "-m", "gradparity", "gradbench", "tool", "numpy"]
    lines = [{"id": 0, "kind": "start", "eval": "hello"}, {"id": 1, "kind": "define", "module": "hello"}]
    text = "".join(f"{json.dumps(line)}\n" for line in lines)
    ran = subprocess.run(words, input=text, env=plain(), capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    first, second = map(json.loads, ran.stdout.splitlines())
    assert (first["id"], first["tool"], first["config"]["numpy"]) == (0, "gradparity-numpy", np.__version__)
    assert second == {"id": 1, "success": True}


VARIED = pytest.mark.variation


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device is full here")
@pytest.mark.parametrize(
    ("ends", "code", "heard", "said"),
    [
        pytest.param(">&-", 2, "", "gradparity: stdout is closed, expected one end", id="no output"),
        pytest.param("<&-", 2, "", "gradparity: stdin is closed, expected one end", id="no input", marks=VARIED),
        pytest.param(
            ">/dev/full", 2, "", "gradparity: line 1: no answer could be written: No space", id="full", marks=VARIED
        ),
        pytest.param("2>&-", 0, '{"id": 0, "success": true}\n', "", id="no errors", marks=VARIED),
    ],
)
def test_an_end_that_is_not_open_is_a_line(ends: str, code: int, heard: str, said: str):
    words = f"{sys.executable} -P -m gradparity gradbench tool numpy {ends}"
    line = json.dumps({"id": 0, "kind": "define", "module": "hello"})
    ran = subprocess.run(
        ["sh", "-c", words], input=f"{line}\n", env=plain(), capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout) == (code, heard)
    assert ran.stderr.startswith(said)
    assert ran.stderr.count("\n") == bool(said)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["jx"], "backend: got 'jx', expected one of numpy"),
        (["torch-distributed"], "got torch-distributed, which is several processes"),
        (["numpy", "--threads", "0"], "--threads: got 0"),
    ],
)
def test_a_backend_that_is_none_is_refused(words: list[str], said: str, command: Command):
    code, shown, err = command("gradbench", "tool", *words)
    assert (code, shown) == (2, "")
    assert said in err
