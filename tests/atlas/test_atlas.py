"""An atlas of real frameworks: what it finds by itself, what it keeps, and what it says."""

from __future__ import annotations

import base64
import gzip
import io
import json
import math
import os
import re
import signal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from rich.console import Console

from gradparity.cli.atlas import _names
from gradparity.cli.exits import ExitCode
from gradparity.judge.pointwise import held
from gradparity.model_spec.errors import InputError
from gradparity.processes.backend import WorkerProcess
from gradparity.report.atlas.files import write_atlas
from gradparity.report.atlas.terminal import MARKED, print_atlas, worst_entries
from gradparity.results.atlas import LOST, PARTS, Atlas, Entry, Worst
from gradparity.runner.atlas.run import explore
from gradparity.truth.functions import chosen, known
from gradparity.worker.messages import Differentiate
from tests.conftest import python


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pl.DataFrame, Atlas]:
    """Three functions in two backends that need no compiler."""
    out = tmp_path_factory.mktemp("atlas") / "out"
    frame, versions = explore(str(out), ["softplus", "relu", "tanh"], ["numpy", "autograd"])
    return out, frame, write_atlas(frame, versions, str(out))


def of(atlas: Atlas, function: str, backend: str, quantity: str, dtype: str = "float64") -> Entry:
    """One entry."""
    (found,) = (
        each
        for each in atlas.entries
        if (each.function, each.backend, each.quantity, each.dtype) == (function, backend, quantity, dtype)
    )
    return found


def test_a_second_derivative_that_is_zero_too_soon_is_found(three: tuple[Path, pl.DataFrame, Atlas]) -> None:
    _, frame, atlas = three
    second = of(atlas, "softplus", "autograd", "second")
    assert second.zeros
    assert second.relative is not None
    assert second.relative.relative == 1.0
    assert not of(atlas, "softplus", "autograd", "value").off
    zeros = frame.filter(
        (pl.col("quantity") == "second") & (pl.col("status") == "zero") & (pl.col("dtype") == "float64")
    )
    assert zeros.filter((pl.col("function") == "softplus") & (pl.col("x") < 30)).is_empty()


def test_a_backend_that_differentiates_nothing_has_its_values_judged(three: tuple[Path, pl.DataFrame, Atlas]) -> None:
    _, _, atlas = three
    assert {each.quantity for each in atlas.entries if each.backend == "numpy"} == {"value"}
    assert of(atlas, "tanh", "numpy", "value").points > 200
    assert not atlas.not_given


def test_the_convention_at_a_kink_is_told_and_not_judged(three: tuple[Path, pl.DataFrame, Atlas]) -> None:
    _, frame, atlas = three
    (kink,) = atlas.conventions
    assert (kink.function, kink.x, kink.slopes, kink.answers) == ("relu", 0.0, "0 and 1", {"autograd": "0; 0"})
    at = frame.filter((pl.col("function") == "relu") & (pl.col("x") == 0) & (pl.col("quantity") != "value"))
    assert set(at["status"]) == {"unjudged"}


def test_what_is_done_is_not_done_again(three: tuple[Path, pl.DataFrame, Atlas]) -> None:
    out, frame, _ = three
    files = {path: path.stat().st_mtime_ns for path in (out / PARTS).iterdir()}
    assert {path.stem for path in files} == {"softplus", "own_softplus", "relu", "tanh"}
    fewer, _ = explore(str(out), ["tanh"], ["numpy"])
    assert {path: path.stat().st_mtime_ns for path in (out / PARTS).iterdir()} == files
    assert fewer.equals(frame.filter((pl.col("function") == "tanh") & (pl.col("backend") == "numpy")))


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(InputError, match="--out"):
        explore(str(tmp_path), ["relu"], ["numpy"])
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_names_may_have_commas_within_brackets() -> None:
    assert _names("power(x, 2),erf") == ["power(x, 2)", "erf"]
    assert _names(None) is None


def test_a_backend_without_derivatives_of_functions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="torch-compile"):
        explore(str(tmp_path), ["relu"], ["torch-compile"])


def test_the_page_has_every_answer_and_asks_for_nothing(three: tuple[Path, pl.DataFrame, Atlas]) -> None:
    out, frame, atlas = three
    text = (out / "atlas.html").read_text()
    assert not re.search(r"""(src|href)=["'](?!#|data:)""", text)
    packed = re.search(r'id="answers">([^<]*)<', text)
    assert packed is not None
    held = json.loads(gzip.decompress(base64.b64decode(packed[1])))
    assert len(held["entries"]) == len(atlas.entries)
    (relu,) = (each for each in held["functions"] if each["label"] == "relu")
    series = relu["series"]["float64"]
    kink = series["x"].index(0)
    assert series["errors"]["autograd value"][kink] == -100
    assert series["errors"]["autograd reverse"][kink] is None
    assert len(series["x"]) == len(
        frame.filter(
            (pl.col("function") == "relu")
            & (pl.col("dtype") == "float64")
            & (pl.col("backend") == "numpy")
            & (pl.col("quantity") == "value")
        )
    )


@pytest.mark.slow
@pytest.mark.variation
def test_the_command_writes_its_files_and_prints_the_worst(tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = python(
        "-m", "gradparity", "atlas", "--functions", "sigmoid,power(x, 2)", "--backends", "jax", "--out", str(out)
    )
    assert done.returncode == ExitCode.AGREES, done.stderr
    assert "sigmoid" in done.stdout
    assert "functions: 2, at" in done.stdout
    assert json.loads((out / "atlas.json").read_text())["functions"] == 2
    assert not pl.read_parquet(out / "atlas.parquet").is_empty()


#: What is known of the versions that CI has: function, backend, quantity, by which measure, and between which relative
#: errors the worst by it is off.
KNOWN = (
    ("polygamma(1, x)", "torch", "value", "ordinary", 1e-10, 1e-9),
    ("log_ndtr", "jax", "value", "relative", 0.01, 0.1),
    ("log_ndtr", "jax", "value", "ordinary", 1e-12, 1e-10),
    ("erfinv", "jax", "value", "relative", 1e-13, 1e-10),
    ("softplus", "jax", "second", "relative", 1.0, 1.0),
    ("sigmoid", "jax", "reverse", "relative", 1.0, 1.0),
    ("gelu", "torch", "reverse", "relative", 0.005, 1.0),
    ("own softplus", "torch", "value", "relative", 4e-11, 2e-10),
    ("log_sigmoid", "torch", "second", "relative", 1.0, 1.0),
    ("tanh", "torch", "reverse", "relative", 1.0, 10.0),
    ("i0", "jax", "second", "ordinary", 1.0, 10.0),
)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    out = str(tmp_path_factory.mktemp("atlas") / "out")
    frame, versions = explore(out, [*dict.fromkeys(each[0] for each in KNOWN), "sinc"], ["jax", "torch"])
    return write_atlas(frame, versions, out)


@pytest.mark.slow
@pytest.mark.variation
@pytest.mark.parametrize(("function", "backend", "quantity", "measure", "least", "most"), KNOWN)
def test_what_is_known_is_found_without_a_list(
    real: Atlas, function: str, backend: str, quantity: str, measure: str, least: float, most: float
) -> None:
    worst: Worst | None = getattr(of(real, function, backend, quantity), measure)
    assert worst is not None
    assert worst.relative is not None
    assert least <= worst.relative <= most
    assert any((each.function, each.backend) == (function, backend) for each in real.entries if each.off)


@pytest.mark.slow
@pytest.mark.variation
def test_a_derivative_that_is_no_number_is_among_the_worst(real: Atlas) -> None:
    sinc = next(each for each in worst_entries(real) if each.function == "sinc" and each.backend == "torch")
    assert sinc.quantity == "second"
    assert sinc.nonfinite_at is not None
    assert (sinc.nonfinite_at.x, sinc.nonfinite_at.got) == (0.0, None)
    assert sinc.nonfinite_at.truth == pytest.approx(-(math.pi**2) / 3)


@pytest.mark.slow
@pytest.mark.variation
def test_where_a_second_derivative_becomes_zero_is_found(real: Atlas) -> None:
    zeros = of(real, "softplus", "jax", "second").relative
    assert zeros is not None
    assert 33 < zeros.x < 34  # where 1 - sigmoid(x) is less than an ulp of 1: not the 40 of a list


def test_what_is_not_the_framework_s_own_is_marked_and_its_own_is_beside_it(tmp_path: Path) -> None:
    frame, versions = explore(str(tmp_path), ["i1", "exp"], ["autograd"])
    atlas = write_atlas(frame, versions, str(tmp_path))
    ours = {each.function: each.ours for each in atlas.entries}
    assert ours == {"exp": False, "i1": True, "own i1": False}
    shown = Console(width=150, record=True, file=io.StringIO())
    print_atlas(shown, atlas, "a")
    said = " ".join(shown.export_text().split())
    assert "autograd †" in said
    assert MARKED in said


@pytest.mark.parametrize("name", ["elu", "celu", "soft_sign", "i1e"])
def test_where_the_slope_has_a_kink_there_is_no_second_derivative_to_be_held_to(name: str) -> None:
    (function,) = chosen([name])
    zero = np.float64(0)
    here = known(function, zero, zero)
    assert here.status == "known"
    assert here.truths[1] is not None
    assert here.truths[1].is_finite()
    assert here.truths[2] is not None
    assert not here.truths[2].is_finite()
    assert held(np.float64(1), here.truths[2], here.moves[2]).status == "unjudged"


@pytest.mark.slow
def test_a_process_that_dies_is_started_again_and_what_it_lost_is_said_and_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    died: list[str] = []
    send = WorkerProcess.send

    def dying(worker: WorkerProcess, request: Any) -> None:
        if isinstance(request, Differentiate) and len(died) < deaths:  # before it is asked: it may be quick to answer
            died.append(worker.backend)
            os.kill(worker.pid, signal.SIGKILL)
        send(worker, request)

    monkeypatch.setattr(WorkerProcess, "send", dying)
    deaths = 1
    frame, versions = explore(str(tmp_path / "once"), ["relu"], ["autograd"])
    assert died == ["autograd"]
    assert not write_atlas(frame, versions, str(tmp_path / "once")).not_given
    deaths = 3  # and the one that is asked once more
    frame, versions = explore(str(tmp_path / "twice"), ["relu"], ["autograd"])
    lost = write_atlas(frame, versions, str(tmp_path / "twice")).not_given
    assert {each.why.partition(" by")[0] for each in lost} == {f"{LOST}killed"}
    again, versions = explore(str(tmp_path / "twice"), ["relu"], ["autograd"])
    assert "not given" not in again["status"]
