"""Several models in one command, folders of models, and the losses of one file by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import gradparity
from gradparity.model_spec.errors import InputError
from gradparity.model_spec.user.model import load_model
from gradparity.results import store
from gradparity.runner import session
from gradparity.runner.paths import models_at, models_in, names_of
from tests.conftest import Command
from tests.user_model.models import GRADIENT, HEAD, LOSS, SUMMED_PORT, model_file, model_folder

SMOOTH = """
def smooth(params, data, xp):
    return xp.mean(xp.log(xp.cosh(data["X"] @ params["w"] + params["b"] - data["y"])))

def smooth_autograd(params, data):
    import autograd.numpy as np
    return np.mean(np.log(np.cosh(np.dot(data["X"], params["w"]) + params["b"] - data["y"]))) * 3
"""


def test_every_model_and_every_named_loss_is_a_problem_of_one_run(tmp_path: Path, command: Command):
    file = model_file(tmp_path, HEAD + LOSS + GRADIENT + SMOOTH)
    port = model_folder(tmp_path / "port", HEAD + LOSS, autograd=SUMMED_PORT)
    paths = [f"{file}::loss", f"{file}::smooth", port, file]  # the last is the first once more
    out = str(tmp_path / "out")
    code, said, _ = command("check", *paths, "--backends", "numpy,autograd", "--steps", "2", "--out", out)
    assert code == 1
    result = store.read(out)
    assert result.complete
    assert [problem.label for problem in result.problems] == ["model.py::loss", "model.py::smooth", "port"]
    verdicts = [{f.backend: f.verdict for f in problem.findings} for problem in result.problems]
    assert verdicts == [{"numpy": "agrees", "autograd": "agrees"}, {"autograd": "wrong"}, {"autograd": "wrong"}]
    assert list(result.problems[1].idle) == ["numpy"]  # the gradient by hand is of ``loss``
    assert "autograd disagrees on model.py::smooth" in said
    rng = np.random.default_rng([0, 1])
    w, (X, y) = np.random.default_rng([0, 0]).standard_normal(3), (rng.standard_normal((6, 3)), rng.standard_normal(6))
    true = np.mean(np.log(np.cosh(X @ w + 0.5 - y)))
    assert result.problems[1].training[0].losses[0] == pytest.approx(3 * true, rel=1e-12)


def test_more_models_than_stay_awake_are_checked_with_processes_that_come_and_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(session, "MOST_AWAKE", 1)
    paths = [model_file(tmp_path, HEAD + LOSS.replace("0.5", each), f"m{each}.py") for each in ("1.5", "2.5")]
    result = gradparity.check(paths, backends="autograd", steps=2)
    assert result.ok, result
    first, second = (problem.training[0].losses[0] for problem in result.problems)
    assert second == pytest.approx(first / 1.5 * 2.5, rel=1e-14)
    assert result.settings["models"] == paths


def test_a_folder_that_is_no_model_stands_for_those_in_it_and_nothing_is_run(tmp_path: Path):
    for name, text in (
        ("b.py", HEAD + "raise SystemExit"),
        ("imported.py", "from b import parameters, data"),
        ("helper.py", "def parameters(rng): ..."),
        ("broken.py", "def parameters(:"),
        ("half.py", HEAD + "def loss(:"),  # a model, whose fault is said
        ("notes.txt", HEAD),
    ):
        (tmp_path / name).write_text(text)
    model_folder(tmp_path / "port", HEAD)
    (tmp_path / "empty").mkdir()
    assert [path.name for path in models_in(tmp_path)] == ["b.py", "half.py", "imported.py", "port"]
    assert models_at([str(tmp_path), str(tmp_path / "b.py"), f"{tmp_path / 'b.py'}::other"]) == (
        *(str(tmp_path / name) for name in ("b.py", "half.py", "imported.py", "port")),
        f"{tmp_path / 'b.py'}::other",
    )


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("empty", "a folder without model.py or model_spec.py"),
        ("gone.py::loss", "where there is no file"),
        ("m.py::", "the name of a function after ::"),
        ("m.py::a b", "the name of a function after ::"),
    ],
)
def test_a_path_that_is_no_model_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, said: str):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    model_file(tmp_path, HEAD + LOSS, "m.py")
    with pytest.raises(InputError, match=said):
        models_at(["m.py", path])


def test_a_loss_that_the_file_lacks_is_named(tmp_path: Path):
    path = model_file(tmp_path, HEAD + LOSS)
    with pytest.raises(InputError, match=r"got no smoth, expected smoth\(params, data, xp\)"):
        load_model(f"{path}::smoth")


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["/x/a.py", "/x/b.py"], ["a.py", "b.py"]),
        (["/x/a/model.py", "/x/b/model.py", "/x/c.py"], ["a/model.py", "b/model.py", "c.py"]),
        (["/1/x/m.py", "/2/x/m.py", "/2/y/m.py"], ["1/x/m.py", "2/x/m.py", "y/m.py"]),
        (["/x/m.py", "/x/m.py::other"], ["m.py", "m.py::other"]),
    ],
)
def test_models_are_called_by_what_tells_them_apart(paths: list[str], names: list[str]):
    assert names_of(paths) == names
