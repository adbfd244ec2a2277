"""Data larger than memory, or than a process may have: read in pieces in bounded memory, or refused with the cure."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gradparity.backends import BACKENDS
from gradparity.model_spec.data.datasets import Dataset
from gradparity.model_spec.data.npy import StreamedDataset, open_rows, scan
from gradparity.model_spec.data.row_file import RowFile
from gradparity.model_spec.errors import InputError
from gradparity.model_spec.problem import make_problem
from gradparity.model_spec.spec import ProjectedLogistic
from gradparity.processes.backend import WorkerProcess
from gradparity.processes.launch import Launch
from gradparity.processes.limits import Allowance
from gradparity.runner import session as engine
from gradparity.runner.data import dataset_of
from gradparity.runner.observer import NullObserver
from gradparity.runner.settings import Settings
from gradparity.worker import messages as m
from tests.conftest import configured
from tests.evidence.streaming import make_file
from tests.test_streamed import matrix, saved


@pytest.fixture
def no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which no data fits."""
    monkeypatch.setattr("gradparity.runner.data.available_bytes", lambda: 10**6)


@pytest.mark.usefixtures("no_memory")
def test_a_check_of_a_file_too_large_for_memory_reads_it_in_pieces_and_says_so(tmp_path: Path) -> None:
    settings = Settings(
        command="check",
        out=str(tmp_path / "out"),
        data=(saved(tmp_path, matrix()),),
        formulation="blocked",
        backends=["numpy"],
    )
    result = engine.run(settings, NullObserver())
    (problem,) = result.problems
    assert result.ok
    assert {finding.verdict for finding in problem.findings} == {"agrees"}
    assert problem.source.endswith("read in pieces")
    assert problem.training == []
    assert problem.left_out == []  # a later session could not do it either
    assert any("training" in said.finding for said in problem.diagnoses)


@pytest.mark.parametrize("limit", ["--memory-limit", "ulimit"])
def test_a_file_that_no_process_may_hold_is_read_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    rows = RowFile(saved(tmp_path, matrix()), "float64", *matrix().shape, 0, 0)
    settings = Settings(command="check", out="out", data=(rows.path,), formulation="blocked", backends=["numpy"])
    assert isinstance(dataset_of(settings), Dataset)
    if limit == "ulimit":
        monkeypatch.setattr("gradparity.runner.data.own_bytes", lambda: rows.rows * rows.row_bytes * 2)
    else:
        monkeypatch.setattr("gradparity.runner.data._WORKER_COPIES", 2**30 // (rows.rows * rows.row_bytes))
        settings = msgspec.structs.replace(settings, allowance=Allowance(memory_gib=1.0))
    assert isinstance(dataset_of(settings), StreamedDataset)
    whole = msgspec.structs.replace(settings, formulation="as_written")
    if limit == "ulimit":
        with pytest.raises(InputError, match="Use --formulation blocked"):
            dataset_of(whole)
    else:  # a backend that has too little says so itself
        assert isinstance(dataset_of(whole), Dataset)


@pytest.mark.parametrize(
    ("asked", "cure"),
    [
        ({}, "Use --formulation blocked"),
        ({"formulation": "blocked", "standardise": True}, "Standardise the features before"),
    ],
    ids=["another formulation", "standardising"],
)
@pytest.mark.usefixtures("no_memory")
def test_what_cannot_be_done_with_it_is_refused_with_the_cure(tmp_path: Path, asked: dict[str, Any], cure: str) -> None:
    settings = Settings(command="check", out=str(tmp_path / "out"), data=(saved(tmp_path, matrix()),), **asked)
    with pytest.raises(InputError, match=cure):
        engine.run(settings, NullObserver())


@pytest.mark.parametrize("backend", ["numpy", pytest.param("torch", marks=[pytest.mark.slow, pytest.mark.variation])])
def test_a_worker_grows_by_far_less_than_the_file(tmp_path: Path, backend: str) -> None:
    path = tmp_path / "rows.npy"
    make_file(path, 4e8, 100, "float64")
    configured(backend)  # or a skip
    data = scan(open_rows(str(path), None))
    spec = ProjectedLogistic(features=100, projection=5, formulation="blocked")
    problem = make_problem("large", spec, data.X, data.y)
    with WorkerProcess(backend, BACKENDS[backend], Launch(tmp_path / "log")) as worker:
        start_bytes = worker.configured().resident_bytes
        worker.ask(m.load_request(problem))
        evaluation = worker.ask(m.Evaluate())
        assert set(evaluation.quantities) == {"loss", "gradient", "jvp", "hvp"}
        peak_bytes = worker.ask(m.MeasureMemory(1)).peak_bytes
    assert peak_bytes - start_bytes < 300e6  # what the framework imports for its first calls is in it


def test_reading_a_file_through_takes_no_memory_of_its_size(tmp_path: Path) -> None:
    path = tmp_path / "rows.npy"
    make_file(path, 4e8, 100, "float64")
    script = (
        "import sys, psutil, resource\n"
        "from gradparity.model_spec.data.npy import open_rows, scan\n"
        "start = psutil.Process().memory_info().rss\n"
        "scan(open_rows(sys.argv[1], None))\n"
        "peak = next(int(l.split()[1]) for l in open('/proc/self/status') if l.startswith('VmHWM:')) * 1024\n"
        "print(peak - start)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], check=True, capture_output=True, text=True)
    assert int(done.stdout) < 50e6
