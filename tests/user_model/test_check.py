"""A user's model through the whole harness: verdicts, causes, training, and what happens when its code is at fault."""

from __future__ import annotations

import json
import sysconfig
import venv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradparity
from gradparity.model_spec.errors import InputError
from gradparity.results import RunResult
from gradparity.results.store import encode
from tests.conftest import Command
from tests.user_model.models import GRADIENT, HEAD, LOSS, SUMMED_PORT, model_file, model_folder


def verdicts(result: RunResult) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for problem in result.problems:
        for each in problem.findings:
            found.setdefault(each.backend, set()).add(each.verdict)
    return found


def check(model: Any, *backends: str, steps: int = 3, **options: Any) -> RunResult:
    return gradparity.check(model, backends=list(backends), steps=steps, **options)


def test_a_neutral_loss_agrees_with_the_certified_truth_and_a_gradient_by_hand_is_checked_beside_it(tmp_path: Path):
    result = check(model_file(tmp_path, HEAD + LOSS + GRADIENT), "numpy", "autograd", optimiser=["gd", "lbfgs"])
    assert verdicts(result) == {"numpy": {"agrees"}, "autograd": {"agrees"}}
    assert result.ok, result
    (problem,) = result.problems
    assert problem.truth.startswith("certified in ball arithmetic")
    blocks = {(f.backend, f.quantity, f.parameter) for f in problem.findings}
    assert ("autograd", "hvp", "w") in blocks
    assert ("numpy", "hvp", "w") not in blocks  # nobody derived it
    assert {(ran.optimiser, ran.own_loop) for ran in problem.training} == {
        ("gd", True),
        ("gd", False),
        ("lbfgs", False),
    }
    # Against least squares: L-BFGS ends at the loss of the best line, by NumPy's own solver.
    rng = np.random.default_rng([0, 1])
    X, y = rng.standard_normal((6, 3)), rng.standard_normal(6)
    loss = next(ran.initial_loss for ran in problem.training)
    w = np.random.default_rng([0, 0]).standard_normal(3)
    assert loss == pytest.approx(0.5 * np.mean((X @ w + 0.5 - y) ** 2), rel=1e-14)


def test_a_gradient_by_hand_is_in_place_of_the_backends_own_whose_name_it_has(tmp_path: Path):
    hands = GRADIENT.replace("gradient(", "gradient_autograd(") + GRADIENT.replace("gradient(", "gradient_jax(")
    hands = hands.replace("len(r)}", "len(r) / SCALE}", 1).replace("len(r)}", "(0.5 * len(r))}")
    result = check(model_file(tmp_path, HEAD + LOSS + GRADIENT + "\nSCALE = 1\n" + hands), "numpy", "autograd", "jax")
    (problem,) = result.problems
    assert verdicts(result) == {"numpy": {"agrees"}, "autograd": {"agrees"}, "jax": {"agrees", "wrong"}}
    assert {f.block: f.cause for f in problem.findings if f.verdict == "wrong"} == {"gradient w": "factor 2"}
    said = {(each.backend, each.quantity, each.reason) for each in problem.not_given}
    reason = "its gradient is derived by hand"
    assert said == {(name, quantity, reason) for name in ("autograd", "jax") for quantity in ("jvp", "hvp")}
    assert {(ran.backend, ran.verdict) for ran in problem.training if ran.own_loop} == {
        ("numpy", "agrees"),
        ("autograd", "agrees"),
        ("jax", "wrong"),
    }


@pytest.mark.slow
def test_a_gradient_by_hand_beside_a_port_has_the_ports_own_layout_and_arrays(tmp_path: Path):
    layouts = HEAD.rstrip() + "\n\nlayouts = {'torch': {'w': 'linear/slope', 'b': 'linear/level'}}\n"
    port = """
def residual(params, data):
    return data["X"] @ params["linear"]["slope"] + params["linear"]["level"] - data["y"]

def loss(params, data):
    return 0.5 * (residual(params, data) ** 2).mean()

def gradient(params, data):
    r = residual(params, data)
    assert not r.requires_grad
    return {"linear": {"slope": data["X"].T @ r / len(r), "level": r.mean()}}
"""
    result = check(model_folder(tmp_path / "m", layouts + LOSS, torch=port), "torch", "autograd")
    assert result.ok, result
    assert {each.backend for each in result.problems[0].not_given} == {"torch"}
    text = port.replace('"level": r.mean()', '"constant": r.mean()')
    broken = check(model_folder(tmp_path / "n", layouts + LOSS, torch=text), "torch", "autograd")
    (trouble,) = broken.problems[0].troubles
    assert "gradient" in trouble.reason
    assert "linear/constant" in trouble.reason


def test_a_port_that_sums_where_the_model_takes_a_mean_is_wrong_by_a_factor_with_a_name(tmp_path: Path):
    result = check(model_folder(tmp_path / "m", HEAD + LOSS + GRADIENT, autograd=SUMMED_PORT), "numpy", "autograd")
    assert verdicts(result) == {"numpy": {"agrees"}, "autograd": {"wrong"}}
    causes = {f.cause for f in result.problems[0].findings if f.backend == "autograd"}
    assert causes == {"6 times the truth (6 is also X.shape[0])"}
    frame = result.to_frame()
    assert set(frame.filter(verdict="wrong")["backend"]) == {"autograd"}
    assert frame.height == len(result.problems[0].findings)
    assert "6 times the truth (6 is also X.shape[0])" in repr(result)
    assert "6 times the truth (6 is also X.shape[0])" in result._repr_html_()
    assert json.loads(json.dumps(result.to_dict()))["problems"][0]["spec"]["kind"] == "user"


def test_without_a_neutral_loss_the_outlier_is_named_among_three(tmp_path: Path):
    plain = SUMMED_PORT.replace("np.sum", "np.mean")
    numpy = HEAD + GRADIENT
    by_hand = plain.replace("import autograd.numpy as np", "import numpy as np")
    port = SUMMED_PORT.replace("import autograd.numpy as np", "import jax.numpy as np")
    result = check(
        model_folder(tmp_path / "m", numpy, numpy=by_hand, autograd=plain, jax=port), "numpy", "autograd", "jax"
    )
    (problem,) = result.problems
    by_three = {(f.backend, f.verdict) for f in problem.findings if f.quantity in ("loss", "gradient")}
    assert by_three == {("numpy", "agrees"), ("autograd", "agrees"), ("jax", "wrong")}
    assert "nothing is certified" in problem.truth
    assert [(each.backend, each.kind) for each in problem.pairwise.outliers] == [("jax", "loss")]
    assert not problem.training


IGNORED = HEAD.replace('"b": np.array(0.5)', '"b": np.array(0.5), "layers": [{"unused": np.ones(2)}]')


def test_an_ignored_parameter_is_a_warning_that_names_it_and_prints_are_told(tmp_path: Path):
    text = IGNORED + LOSS.replace("    r =", "    print('seen', 3)\n    r =")
    result = check(model_file(tmp_path, text), "numpy", "autograd")
    assert result.unanswered == ["numpy"]
    assert not result.ok  # it was asked for by name
    assert not result.disagreements
    (problem,) = result.problems
    found = {each.name: each.finding for each in problem.diagnoses}
    assert "layers.0.unused" in found["an ignored parameter"]
    assert "into logs/" in found["the model prints on autograd"]
    assert b"seen 3" not in encode(result)  # a report is sent on
    assert problem.idle == {"numpy": "it has no autodiff, and the model has no gradient(params, data) written by hand"}


FAULTS = """
count = [0]

def loss_autograd(params, data):
    raise SystemExit(3)

def loss_jax(params, data):
    import os
    os._exit(9)

def loss_numpy(params, data):
    count[0] += 1
    return count[0] * (params["w"] ** 2).sum()

def gradient(params, data):
    return params
"""


def test_losses_that_exit_or_count_their_calls_fail_alone_and_are_told_apart(tmp_path: Path):
    result = check(model_file(tmp_path, HEAD + LOSS + FAULTS), "numpy", "autograd", "jax")
    assert verdicts(result) == {"numpy": {"impure"}, "autograd": {"failed"}, "jax": {"failed"}}
    reasons = {trouble.backend: trouble.reason for trouble in result.problems[0].troubles}
    assert "the code ends the process: 3" in reasons["autograd"]
    assert "model.py, line 16" in reasons["autograd"]
    assert "exited with code 9" in reasons["jax"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            HEAD + LOSS.replace("0.5 * xp.mean(r * r)", "r * r"),
            r"line 9: loss: got an array of shape \(6,\), expected",
        ),
        (HEAD + LOSS.replace('data["y"]', 'data["z"]'), r"line 10: got KeyError: 'z'"),
        (HEAD.replace("rng.standard_normal(6)", "__import__('os')._exit(5)") + LOSS, "loading: got exited with code 5"),
        (
            HEAD + LOSS.replace("xp.mean(r * r)", "xp.mean(xp.unique(r))"),
            r"autograd alone, and no truth: xp\.unique has no certified form \(.*line 11\)",
        ),
    ],
)
def test_a_model_at_fault_is_one_line_and_no_result(tmp_path: Path, text: str, said: str):
    with pytest.raises(InputError, match=said):
        check(model_file(tmp_path, text), "autograd", out=tmp_path / "out")
    assert not (tmp_path / "out" / "results.json").exists()


def test_the_command_ends_with_the_code_of_the_verdict_and_of_a_fault(tmp_path: Path, command: Command):
    asked = ("--backends", "autograd", "--steps", "2", "--out", str(tmp_path / "out"))
    code, out, err = command("check", model_folder(tmp_path / "m", HEAD + LOSS, autograd=SUMMED_PORT), *asked)
    assert code == 1, err
    assert "6 times the truth (6 is also X.shape[0])" in out
    code, _, err = command("check", model_file(tmp_path, "import nosuchmodule\n"), *asked)
    assert code == 2
    assert err.splitlines()[-1].endswith("No module named 'nosuchmodule', expected a file that imports.")
    assert "Traceback" not in err


def another_interpreter(folder: Path, *packages: str) -> str:
    """A virtual environment that has some of this one's packages, by links, and no other."""
    venv.create(folder, with_pip=False, symlinks=True)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
    for name in packages:
        source = Path(__import__(name).__file__ or "")
        for found in (source.parent, source.parent.with_name(f"{name}.libs")):
            if found.exists():
                (site / found.name).symlink_to(found)
        for found in source.parent.parent.glob(f"{name}-*.dist-info"):
            (site / found.name).symlink_to(found)
    return str(folder / "bin" / "python")


def test_a_backend_runs_in_another_interpreter_that_has_little(tmp_path: Path):
    python = another_interpreter(tmp_path / "other", "numpy", "msgspec", "scipy")
    path = model_file(tmp_path, HEAD + LOSS + GRADIENT)
    result = check(path, "numpy", backend=f"numpy-old=numpy@{python}")
    assert verdicts(result) == {"numpy": {"agrees"}, "numpy-old": {"agrees"}}
    assert {info.name: info.versions for info in result.backends}["numpy-old"] == {"numpy": np.__version__}
    with pytest.raises(InputError, match=r"without jax, expected .* numpy, msgspec, jax\. .*-m pip install jax"):
        check(path, "numpy", backend=f"jax-old=jax@{python}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("jax-old", "expected NAME=BACKEND@/path/to/python"),
        ("a=nosuch@python", "expected one of numpy"),
        ("jax=jax@python", "a name that no other backend has"),
        ("a=jax@/nosuch/python", "which is no program"),
    ],
)
def test_an_interpreter_that_is_misspelt_is_refused_before_anything_starts(text: str, said: str, tmp_path: Path):
    with pytest.raises(InputError, match=said):
        gradparity.check(model_file(tmp_path, HEAD + LOSS), backend=text)
