"""Imports point one way: by the contract in pyproject.toml, in fresh interpreters, and in what lies at the top."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.conftest import python

ROOT = Path(__file__).parents[1]

FRAMEWORKS = {"autograd", "jax", "jaxlib", "torch"}


def lint(folder: Path) -> str:
    """What import-linter says of the package in a folder, by the contract in that folder's pyproject.toml."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache", "--no-logo"]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)
    assert ran.returncode in (0, 1), ran.stderr
    return ran.stdout


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package and its contract, the three linked rooms as folders of the copy's own."""
    folder = tmp_path_factory.mktemp("house")
    shutil.copy(ROOT / "pyproject.toml", folder)
    shutil.copytree(ROOT / "gradparity", folder / "gradparity", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def test_the_house_keeps_its_contract():
    assert "2 kept, 0 broken" in lint(ROOT)


@pytest.mark.parametrize(
    ("file", "added", "said"),
    [
        ("judge/__init__.py", "def later():\n    import gradparity.runner\n", "The house"),
        ("backends/__init__.py", "from gradparity.truth import numbers\n", "The house"),
        ("model_spec/space.py", "from gradparity.model_spec import user_spec\n", "No circle"),
        ("newroom.py", "", "The house"),
    ],
    ids=["up", "up from a linked room", "a circle", "a room without a place"],
)
def test_the_contract_refuses_an_import_that_breaks_it(copy: Path, file: str, added: str, said: str):
    path = copy / "gradparity" / file
    before = path.read_text() if path.exists() else None
    path.write_text((before or "") + added)
    try:
        broken = [line for line in lint(copy).splitlines() if " BROKEN" in line]
    finally:
        path.unlink() if before is None else path.write_text(before)
    assert any(line.startswith(said) for line in broken)


# Names of everything loaded that is not part of Python: of packages elsewhere their own, of ours those of the rooms.
REPORT = """
import json, sys
names = {name.split(".")[0] for name in sys.modules} - sys.stdlib_module_names
names -= {"__main__", "__mp_main__", "gradparity"}
rooms = {".".join(name.split(".")[:2]) for name in sys.modules if name.startswith("gradparity.")}
print(json.dumps(sorted(names | rooms)))
"""

IMPORT_ALL = """
import importlib, pkgutil
package = importlib.import_module({package!r})
for found in pkgutil.walk_packages(package.__path__, {package!r} + "."):
    last = found.name.rpartition(".")[2]
    of_frameworks = "_backend", "_baseline", "_distributed", "_elementwise", "_names", "_taps"
    own_file = last.endswith(of_frameworks) or last.startswith("torch_")
    own_file = own_file or ".traces." in found.name
    if {every!r} or not own_file and not last.startswith(("test_", "conftest")):
        importlib.import_module(found.name)
"""


def loaded_after(program: str, *arguments: str) -> set[str]:
    """What a fresh interpreter has loaded after a program, less what any interpreter here has loaded from the start."""
    ran = python("-P", "-c", program + REPORT, *arguments)
    assert ran.returncode == 0, ran.stderr
    return set(json.loads(ran.stdout.splitlines()[-1])) - from_the_start()


@cache
def from_the_start() -> set[str]:
    """Modules that .pth files of the environment load into every interpreter."""
    loaded: set[str] = set(json.loads(python("-P", "-c", REPORT).stdout))
    assert not loaded & FRAMEWORKS
    assert not any(name.startswith("gradparity") for name in loaded)
    return loaded


@cache
def loaded_by(package: str, *, every: bool = True) -> set[str]:
    """What importing all modules of a package loads; without ``every``, neither frameworks' own files nor tests."""
    loaded = loaded_after(IMPORT_ALL.format(package=package, every=every))
    assert package == "gradparity" or package in loaded
    return loaded


def test_model_spec_imports_the_standard_library_and_numpy_only():
    assert loaded_by("gradparity.model_spec") <= {
        "gradparity.model_spec",
        "gradparity.special",
        "gradparity.taps",
        "gradparity.version",
        "numpy",
    }


def test_a_worker_needs_numpy_and_msgspec_only():
    packages = {name for name in loaded_by("gradparity.worker") if not name.startswith("gradparity")}
    assert packages - {"typing_extensions"} == {"numpy", "msgspec"}  # which msgspec imports where it is installed


def test_the_bundled_data_sets_are_loaded_without_a_framework():
    assert (
        not loaded_after("from gradparity.model_spec.data.datasets import BUNDLED, load\n[*map(load, BUNDLED)]\n")
        & FRAMEWORKS
    )


def test_every_module_of_the_harness_together_imports_no_framework():
    assert not loaded_by("gradparity", every=False) & FRAMEWORKS


# A worker without its process: what it does with its first messages, in an interpreter of its own.
WORK = """
import sys
import numpy as np
from gradparity.backends import lookup
from gradparity.worker import messages as m
from gradparity.worker.wire import Failed
from gradparity.worker.backend import Worker
from gradparity.model_spec.problem import make_problem
from gradparity.model_spec.spec import ProjectedLogistic

problem = make_problem("small", ProjectedLogistic(features=3, projection=2), np.eye(3), np.array([0.0, 1.0, 1.0]))
worker = Worker()
for request in (m.Configure(lookup(sys.argv[1]).target, 1), m.load_request(problem), m.Evaluate(), m.Descend(2, 0.1)):
    reply = m.decode_reply(worker.answer(request))
    assert not isinstance(reply, Failed), reply
"""


# A recording without a worker.
RECORD = """
import sys
import numpy as np
from gradparity.backends import load, lookup
from gradparity import tap
from gradparity.worker.recording import record

backend = load(lookup(sys.argv[1]).target)
backend.configure(1)
x = {"x": np.ones(2)}
assert "h#0" in record(backend, lambda params, data: tap("h", params["x"] * 2.0).sum(), x, x).values
"""


@pytest.mark.parametrize("program", [WORK, RECORD], ids=["evaluated and trained", "recorded"])
@pytest.mark.parametrize("backend", ["numpy", "autograd", "jax", "torch"])
def test_a_worker_loads_one_framework_at_most(backend: str, program: str):
    if find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    expected = {"numpy": set(), "autograd": {"autograd"}, "jax": {"jax", "jaxlib"}, "torch": {"torch"}}
    assert loaded_after(program, backend) & FRAMEWORKS == expected[backend]


HELP = """
import contextlib, io, sys
from gradparity.cli.app import main
sys.argv = ["gradparity", *sys.argv[1:]]
try:
    with contextlib.redirect_stdout(io.StringIO()) as shown:
        main()
except SystemExit as end:
    assert end.code == 0, end.code
assert "Usage: gradparity" in shown.getvalue()
"""


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"]], ids=["gradparity", "gradparity run"])
def test_help_imports_nothing_that_takes_long(arguments: list[str]):
    slow = {"numpy", "scipy", "polars", "sklearn", "rich", "msgspec", "psutil", "flint", *FRAMEWORKS}
    assert not loaded_after(HELP, *arguments) & slow


def test_the_top_level_of_the_repository_is_the_house_and_nothing_else():
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout: an installed package has no top level")
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files"], capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("git does not read this checkout")
    top = {line.partition("/")[0] for line in listed.stdout.splitlines()}
    house = {"pyproject.toml", "README.md", "model_spec", "backends", "bench", "tests", "gradparity"}
    usual = {"LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "constraints.txt", "examples", "docs"}
    assert house <= top
    assert {name for name in top - house - usual if not name.startswith(".")} == set()
