"""Shared fixtures: the registry's backends, one thread, float64, and never a network."""

from __future__ import annotations

import os

# Before any framework is imported: the same switches that the launcher sets for a worker.
os.environ.update(
    {
        **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NPROC"), "1"),
        "JAX_ENABLE_X64": "1",
        "JAX_PLATFORMS": "cpu",
        "TORCHINDUCTOR_COMPILE_THREADS": "1",
    }
)

import gc
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TypeAlias
from zlib import crc32

import pytest
from hypothesis import HealthCheck, settings

from gradparity.backends import BACKENDS, load, missing
from gradparity.backends.protocol import Backend

#: Missing here is a failure in CI, not a skip: these four are what the project is about.
CORE = ("numpy", "autograd", "jax", "torch")

settings.register_profile(
    "gradparity", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("gradparity")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--part", default="1/1", metavar="K/N", help="of the tests that are asked for only the K-th of N parts"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the part that was asked for, by a digest of each name: all parts are all tests, whatever is added."""
    which, of = map(int, config.getoption("part").split("/"))
    if not 1 <= which <= of:
        raise pytest.UsageError(f"--part: got {which}/{of}, expected 1/{of} to {of}/{of}")
    others = [item for item in items if crc32(item.nodeid.encode()) % of != which - 1]
    if others:
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in set(others)]


@pytest.fixture(scope="module", autouse=True)
def heap() -> None:
    """What is there when a module begins stays: the garbage collector need not look through the frameworks again."""
    gc.collect()
    gc.freeze()


@cache
def configured(name: str) -> Backend:
    """The backend of that name in this process, or the reason why there is none, as a skip."""
    cure = missing(BACKENDS[name])
    if cure is not None:
        if os.environ.get("CI") and name in CORE:
            pytest.fail(f"{name} must be installed in CI: {cure}")
        pytest.skip(f"{name} is not installed: {cure}")
    backend = load(BACKENDS[name].target)
    backend.configure(threads=1)
    return backend


def python(*words: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Python in a process of its own."""
    command, environment = [sys.executable, *words], plain() | environment
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, encoding="utf-8", timeout=300, check=False
    )


def plain() -> dict[str, str]:
    """The environment without what would say how to print."""
    return {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "FORCE_COLOR", "COLUMNS"}}


#: Takes the words after ``gradparity``; returns the exit code, standard output and standard error.
Command: TypeAlias = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """The command line, run in this process: a process of its own would import everything anew."""
    from gradparity.cli.app import main

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["gradparity", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        assert isinstance(end.value.code, int)
        return end.value.code, *capfd.readouterr()

    monkeypatch.delenv("FORCE_COLOR", raising=False)
    return run


class Clock:
    """Seconds that pass when a test says so."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=CORE)
def name(request: pytest.FixtureRequest) -> str:
    """Name of each core backend in turn."""
    return str(request.param)


@pytest.fixture
def backend(name: str) -> Backend:
    """Each core backend in turn."""
    return configured(name)


@pytest.fixture
def backend_of() -> Callable[[str], Backend]:
    """A backend by name."""
    return configured
