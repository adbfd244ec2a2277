"""What the user waits for before the first verdict: which modules are imported, and who starts while they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import pytest

from gradparity.backends import available
from gradparity.processes.backend import WorkerProcess
from gradparity.runner import session as engine
from gradparity.runner.observer import NullObserver
from gradparity.runner.problem import Group
from gradparity.runner.settings import settings_from
from tests.conftest import python
from tests.test_layering import FRAMEWORKS

# A whole check in a fresh interpreter: what is loaded when its worker is started, and when it is over.
CHECK = """
import contextlib, io, json, os, sys
from gradparity.cli import app as cli
from gradparity.processes.backend import WorkerProcess

def modules():
    return sorted({name.partition(".")[0] for name in sys.modules})

at_start, started = [], WorkerProcess.__init__
def start(*arguments, **options):
    at_start.append(modules())
    started(*arguments, **options)
WorkerProcess.__init__ = start

sys.argv = ["gradparity", "check", "--backends", "numpy", "--data", "toy", "--out", sys.argv[1]]
with contextlib.redirect_stdout(io.StringIO()) as said:
    try:
        cli.main()
    except SystemExit as end:
        assert end.code == 0, end.code
assert "numpy" in said.getvalue()
print(json.dumps([*at_start, modules()]))
"""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> list[set[str]]:
    """Top-level modules when the worker of a check is started, and when the check is over."""
    out = str(tmp_path_factory.mktemp("check"))
    ran = python("-P", "-c", CHECK, out)
    assert ran.returncode == 0, ran.stderr
    return [set(modules) for modules in json.loads(ran.stdout)]


def test_a_check_of_toy_imports_no_framework_and_no_library_that_it_does_not_use(loaded: list[set[str]]) -> None:
    assert "flint" in loaded[-1]  # it did certify
    unused = {"scipy", "sklearn", "polars", "pydantic", "pytest", "dask", "distributed"}
    assert not loaded[-1] & (FRAMEWORKS | unused)


def test_the_worker_is_started_before_the_truth_is_imported(loaded: list[set[str]]) -> None:
    at_start, _ = loaded
    assert "msgspec" in at_start
    assert not at_start & {"flint", "threadpoolctl"}


@pytest.mark.parametrize("command", ["check", "run"])
def test_all_workers_are_started_before_the_first_is_waited_for(
    command: Literal["check", "run"], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user waits for the slowest import and not for the sum. A worker starts importing when it is started."""
    names = [name for name in available() if name in ("numpy", "autograd")]
    events: list[tuple[str, str]] = []
    start, receive = WorkerProcess.__init__, WorkerProcess.receive

    def starting(self: WorkerProcess, backend: str, *arguments: Any, **options: Any) -> None:
        start(self, backend, *arguments, **options)
        events.append(("started", backend))

    def waiting(self: WorkerProcess, *arguments: Any, **options: Any) -> Any:
        events.append(("waited for", self.backend))
        return receive(self, *arguments, **options)

    def follow(self: Group) -> None:
        events.append(("truth", ""))
        followed(self)

    followed = Group.follow
    monkeypatch.setattr(WorkerProcess, "__init__", starting)
    monkeypatch.setattr(WorkerProcess, "receive", waiting)
    monkeypatch.setattr(Group, "follow", follow)
    settings = settings_from(command, {"backends": names, "data": "toy", "projection": 2, "steps": 3, "out": tmp_path})
    if command == "run":  # what is timed starts like what is checked; the rounds themselves are not the subject here
        monkeypatch.setattr("gradparity.runner.clock.CellClock.time", lambda self: None)
    result = engine.run(settings, NullObserver())
    assert not result.troubles
    started_first = [backend for event, backend in events[: events.index(("truth", ""))] if event == "started"]
    assert set(names) <= set(started_first)
    assert len(started_first) == len(names) + (command == "run")  # and the reference's twin
    assert all(event != "started" for event, _ in events[len(started_first) :])
