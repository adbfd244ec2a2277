"""Every way in works in a repository whose own files are called as rooms of this one are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.user_model.models import HEAD, LOSS, model_folder

PORT = """
import model_spec
from backends import _shared

def loss(params, data):
    return _shared.half_mean_square(data["X"] @ params["w"] + params["b"] - data["y"])

def gradient(params, data):
    assert "y" in model_spec.data(model_spec.np.random.default_rng(0))
    r = data["X"] @ params["w"] + params["b"] - data["y"]
    return {"b": r.mean(), "w": data["X"].T @ r / len(r)}
"""
SHARED = "def half_mean_square(r):\n    return 0.5 * (r * r).mean()\n"
OPTIONS = 'backends=["numpy"], steps=2'
PROGRAM = f'import gradparity\nassert gradparity.check(".", {OPTIONS}).ok\n'
TEST = f'def test_mine(gradparity):\n    gradparity.assert_agree(".", {OPTIONS})\n'

PYTEST = ["-q", "-p", "no:cacheprovider", "test_ports.py"]
WAYS = {
    "a script": [sys.executable, "script.py"],
    "a notebook": [sys.executable, "-c", PROGRAM],  # as in a kernel, the working directory comes first on sys.path
    "python -m gradparity": [sys.executable, "-m", "gradparity", "check", ".", "--backends", "numpy", "--steps", "2"],
    "python -m pytest": [sys.executable, "-m", "pytest", *PYTEST],
    "pytest": [str(Path(sys.executable).with_name("pytest")), *PYTEST],
}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of ports, with a ``bench`` package beside them that nobody here has a reason to import."""
    folder = tmp_path_factory.mktemp("ways") / "ports"
    model_folder(folder, HEAD + LOSS, numpy=PORT, _shared=SHARED)
    for package, text in (("backends", ""), ("bench", "raise AssertionError('another bench')\n")):
        (folder / package).mkdir(exist_ok=True)
        (folder / package / "__init__.py").write_text(text)
    (folder / "script.py").write_text(PROGRAM)
    (folder / "test_ports.py").write_text(TEST)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_a_folder_with_a_model_spec_backends_and_bench_of_its_own_is_checked(repository: Path, way: str) -> None:
    ran = subprocess.run(WAYS[way], cwd=repository, capture_output=True, text=True, check=False, timeout=120)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    if way == "python -m gradparity":
        assert "numpy agrees with the truth on ports." in ran.stdout  # the folder's name, and not "."
