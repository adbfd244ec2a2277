"""The example package: installed, listed, checked, and without a line from us in it."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradparity.model_spec.trees import leaves
from tests.examples.models import EXAMPLES, distance, example, load_file, nested, norm, placed

PACKAGE = EXAMPLES / "third_party"
NAME = "autograd-forward"


def installed_by_hand(site: Path) -> None:
    """What an installer makes of the package: its module, and its metadata out of pyproject.toml."""
    project = tomllib.loads((PACKAGE / "pyproject.toml").read_text())["project"]
    metadata = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    metadata.mkdir(parents=True)
    head = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    (metadata / "METADATA").write_text(head)
    groups = (
        f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in entries.items())
        for group, entries in project["entry-points"].items()
    )
    (metadata / "entry_points.txt").write_text("\n".join(groups))
    shutil.copy(PACKAGE / "gradparity_forward.py", site)


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
    words = [sys.executable, "-P", "-m", "pip", "install", *options, "--target", str(site), str(source)]
    ran = subprocess.run(words, capture_output=True, text=True, check=False, timeout=300)
    assert ran.returncode == 0, ran.stderr


def command(site: Path, cwd: Path, *words: str) -> Any:
    """A command with the package on its path; the JSON that it prints."""
    pytest.importorskip("autograd")
    path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))
    ran = subprocess.run(
        [sys.executable, "-P", "-m", "gradparity", *words, "--json"],
        capture_output=True, text=True, check=False, timeout=300, cwd=cwd, env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr + ran.stdout[-2000:]
    return json.loads(ran.stdout)


@pytest.mark.filterwarnings("ignore:Setuptools is replacing distutils")  # by its hook, when pip is looked for
@pytest.mark.parametrize("install", [installed_by_hand, installed_by_pip])
def test_the_installed_package_is_listed_beside_our_backends(install: Any, tmp_path: Path) -> None:
    install(tmp_path / "site")
    listed = {info["name"]: info for info in command(tmp_path / "site", tmp_path, "backends")}
    assert listed[NAME]["cure"] == ""
    assert {"numpy", "autograd", "jax", "torch"} < set(listed)
    assert NAME not in {info["name"] for info in command(tmp_path, tmp_path, "backends")}


def test_a_check_on_the_toy_data_agrees_in_every_quantity(tmp_path: Path) -> None:
    installed_by_hand(tmp_path / "site")
    words = ["check", "--data", "toy", "--backends", NAME, "--steps", "5", "--out", str(tmp_path / "out")]
    result = command(tmp_path / "site", tmp_path, *words)
    (problem,) = result["problems"]
    verdicts = {(found["quantity"], found["parameter"]): found["verdict"] for found in problem["findings"]}
    blocks = [("loss", ""), *(("gradient", p) for p in "wW"), ("jvp", ""), *(("hvp", p) for p in "wW")]
    assert verdicts == dict.fromkeys(blocks, "agrees")
    assert {training["verdict"] for training in problem["training"]} == {"agrees"}


@pytest.mark.parametrize("model", ["mlp", "gaussian_mixture", "poisson_glm"])
def test_forward_mode_gives_the_gradient_and_the_hvp_of_a_neutral_loss(model: str) -> None:
    pytest.importorskip("autograd")
    backend = load_file(PACKAGE / "gradparity_forward.py").backend
    chosen, xp = example(model), backend.namespace()
    params, data, direction = chosen.params, chosen.data, chosen.direction(4)
    program = backend.program(nested(lambda p, d: chosen.spec.loss(p, d, xp), params, data))
    point, placed_data, tangents = (placed(backend, tree) for tree in (params, data, direction))
    value, gradient = program.value_and_gradient(point, placed_data)
    expected, slopes = chosen.value_and_gradient("jax")
    assert value == pytest.approx(expected, rel=1e-13)
    assert distance(gradient, slopes) < 1e-12
    jvp, hvp = chosen.along("jax", direction)
    assert abs(program.jvp(point, placed_data, tangents) - jvp) < 1e-12 * norm(slopes) * norm(dict(leaves(direction)))
    assert distance(program.hvp(point, placed_data, tangents), hvp) < 1e-11
    assert all(np.array_equal(point[path], leaf) for path, leaf in leaves(params))


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
