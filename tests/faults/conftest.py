"""Every test of faults counts what is left behind: no process, and no temporary file."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gradparity.results import store
from tests.faults.harness import PLUGINS, environment_of, eventually, running_with


@pytest.fixture(autouse=True)
def nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing that a test started, at first or at second hand, outlives it; nor does a file in the making."""
    environment = environment_of(tmp_path)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(tempfile, "tempdir", environment["TMPDIR"])
    monkeypatch.syspath_prepend(PLUGINS)
    temporary = Path(environment["TMPDIR"])
    yield
    try:
        eventually(lambda: not running_with(environment["XDG_CACHE_HOME"]), within_s=5)
        eventually(lambda: not list(temporary.iterdir()), within_s=5)
    finally:
        for process in running_with(environment["XDG_CACHE_HOME"]):
            process.kill()
    assert [path for path in tmp_path.rglob("*") if store.is_partial(path)] == []


@pytest.fixture
def plugins(tmp_path: Path) -> Path:
    """The folder where faulty backends leave their traces."""
    return tmp_path / "home"
