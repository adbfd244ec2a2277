"""The example package: installed, listed, checked, and without a line from us in it."""

from __future__ import annotations

import ast
import shutil
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import python
from tests.examples.models import EXAMPLES
from tests.examples.packages import command, installed_by_hand

pytest.importorskip("autograd")

PACKAGE = EXAMPLES / "third_party"
NAME = "autograd-forward"


def by_hand(site: Path) -> None:
    """Without pip."""
    installed_by_hand(PACKAGE, site)


def release_of(distribution: str) -> tuple[int, ...]:
    """Major and minor version of an installed distribution; (0,) where there is none."""
    try:
        return tuple(int(part) for part in version(distribution).split(".")[:2])
    except PackageNotFoundError:
        return (0,)


def installed_by_pip(site: Path) -> None:
    """pip, offline, with the setuptools that is here, on a copy: it builds in the source folder."""
    if find_spec("pip") is None or release_of("setuptools") < (70, 1):
        pytest.skip("pip, or setuptools from 70.1 on (which PyTorch brings along), is not installed: they build it")
    source = shutil.copytree(PACKAGE, site.parent / "source")
    options = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    ran = python("-P", "-m", "pip", "install", *options, "--target", str(site), str(source))
    assert ran.returncode == 0, ran.stderr


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Setuptools is replacing distutils")  # by its hook, when pip is looked for
@pytest.mark.parametrize("install", [by_hand, installed_by_pip])
def test_the_installed_package_is_listed_beside_our_backends(install: Any, tmp_path: Path) -> None:
    install(tmp_path / "site")
    listed = {info["name"]: info for info in command(tmp_path / "site", tmp_path, "backends")}
    assert listed[NAME]["cure"] == ""
    assert {"numpy", "autograd", "jax", "torch"} < set(listed)
    assert NAME not in {info["name"] for info in command(tmp_path, tmp_path, "backends")}


EXAMPLE_MODELS = [str(EXAMPLES / f"{name}.py") for name in ("mlp", "gaussian_mixture", "poisson_glm")]


@pytest.mark.slow
@pytest.mark.parametrize("model", ["--data=toy", *EXAMPLE_MODELS], ids=lambda model: Path(model).stem)
def test_a_check_of_our_model_and_of_users_agrees_in_every_quantity(model: str, tmp_path: Path) -> None:
    by_hand(tmp_path / "site")
    words = ["check", model, "--backends", NAME, "--steps", "5", "--out", str(tmp_path / "out")]
    (problem,) = command(tmp_path / "site", tmp_path, *words)["problems"]
    assert problem["truth"].startswith("certified in ball arithmetic")
    assert {found["quantity"] for found in problem["findings"]} == {"loss", "gradient", "jvp", "hvp"}
    for found in [*problem["findings"], *problem["training"]]:
        assert found["verdict"] == "agrees"


def test_the_module_imports_nothing_of_ours_and_is_as_short_as_our_own() -> None:
    source = (PACKAGE / "gradparity_forward.py").read_text()
    imported = {
        name.partition(".")[0]
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names])
    }
    assert imported == {"autograd", "importlib", "numpy"}
    assert len(source.splitlines()) < 120


PORT = """
def parameters(rng):
    return {"w": rng.standard_normal(3)}

def data(rng):
    return {"X": rng.standard_normal((5, 3))}

def loss_autograd(params, data):
    import autograd.numpy as np
    return np.sum(np.tanh(np.dot(data["X"], params["w"])) ** 2)
"""


def test_a_loss_written_for_the_framework_is_its_too(tmp_path: Path) -> None:
    by_hand(tmp_path / "site")
    (tmp_path / "model.py").write_text(PORT)
    words = ["check", "model.py", "--backends", f"autograd,{NAME}", "--steps", "2", "--out", "out"]
    (problem,) = command(tmp_path / "site", tmp_path, *words)["problems"]
    assert problem["idle"] == {}
    assert {(found["backend"], found["verdict"]) for found in problem["findings"]} == {
        ("autograd", "agrees"),
        (NAME, "agrees"),
    }
