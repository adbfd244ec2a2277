"""Data read from a file in pieces: the same numbers as in memory, and bad files refused."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradparity.backends.protocol import Backend
from gradparity.backends.streamed import StreamedBackend
from gradparity.judge.verdicts import judge
from gradparity.model_spec.data import row_file
from gradparity.model_spec.data.datasets import Dataset, load
from gradparity.model_spec.data.npy import open_rows, scan
from gradparity.model_spec.data.row_file import Buffers
from gradparity.model_spec.errors import InputError
from gradparity.model_spec.problem import make_problem
from gradparity.model_spec.spec import Logistic, ProjectedLogistic
from gradparity.truth.logistic.truth import reference
from gradparity.worker.evaluation import evaluate
from tests.evidence.streaming import ratios

ROWS, FEATURES = 1003, 5


def matrix(rows: int = ROWS, target: int = -1, dtype: str = "float64") -> np.ndarray[Any, Any]:
    """Normal features, labels -1 and 2 in one column."""
    rng = np.random.default_rng(3)
    values = rng.standard_normal((rows, FEATURES + 1)).astype(dtype)
    values[:, target] = np.where(rng.random(rows) < 0.4, 2, -1)
    values[:2, target] = -1, 2
    return values


def saved(folder: Path, values: Any, **options: Any) -> str:
    """The values as a .npy file."""
    path = folder / "rows.npy"
    np.save(path, values, **options)
    return str(path)


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks and pieces so small that the matrix above takes several and does not divide."""
    monkeypatch.setattr(row_file, "CHUNK_BYTES", 300 * (FEATURES + 1) * 8)
    monkeypatch.setattr(row_file, "PIECE_BYTES", 70 * (FEATURES + 1) * 8)


@pytest.mark.parametrize("target", [None, "0", "2", "-6"])
def test_target_is_the_number_of_a_column_and_the_last_by_default(tmp_path: Path, target: str | None) -> None:
    column = int(target or -1)
    values = matrix(target=column)
    data = load(saved(tmp_path, values), target=target)
    np.testing.assert_array_equal(data.X, np.delete(values, column, axis=1))
    np.testing.assert_array_equal(data.y, values[:, column] == 2)
    assert data.labels == ("-1", "2")


@pytest.mark.parametrize("target", [None, "3"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_scanned_file_is_described_like_the_same_data_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str | None, dtype: str
) -> None:
    monkeypatch.setattr("gradparity.model_spec.data.npy.PIECE_BYTES", 1000)
    path = saved(tmp_path, matrix(target=int(target or -1), dtype=dtype))
    streamed, whole = scan(open_rows(path, target)), load(path, target=target)
    assert isinstance(whole, Dataset)
    assert (streamed.digest, streamed.labels, streamed.name) == (whole.digest, whole.labels, whole.name)
    assert (streamed.X.shape, streamed.y.shape) == ((ROWS, FEATURES), (ROWS,))
    assert streamed.X.file.largest == np.abs(whole.X).max()
    some = np.array([0, 5, ROWS - 1])
    for rows in (slice(10, 60), some):
        np.testing.assert_array_equal(streamed.X[rows], whole.X[rows])
        np.testing.assert_array_equal(streamed.y[rows], whole.y[rows])


@given(rows=st.integers(1, 40), columns=st.integers(2, 6), most=st.integers(1, 50), convert=st.booleans())
def test_chunks_are_all_rows_once_and_in_order(
    tmp_path_factory: pytest.TempPathFactory, rows: int, columns: int, most: int, convert: bool
) -> None:
    values = np.random.default_rng(rows).standard_normal((rows, columns))
    values[:, 0] = np.arange(rows) % 2
    file = open_rows(saved(tmp_path_factory.mktemp("rows"), values), "0")
    dtype: Any = "float32" if convert else "float64"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_file, "CHUNK_BYTES", most * columns * np.dtype(dtype).itemsize)
        patch.setattr(row_file, "PIECE_BYTES", 3 * columns * 8)
        chunks = [(X.copy(), y.copy()) for X, y in file.chunks(dtype, Buffers(file, dtype))]
    assert max(len(y) for _, y in chunks) <= most
    expected = values.astype(dtype)
    expected[:, 0] = 0  # the labels weigh nothing
    np.testing.assert_array_equal(np.concatenate([X for X, _ in chunks]), expected)
    np.testing.assert_array_equal(np.concatenate([y for _, y in chunks]), values[:, 0])


MODELS = {
    "mean, float64": ProjectedLogistic(features=FEATURES, projection=3, reduction="mean", formulation="blocked"),
    "sum, l2, float32": ProjectedLogistic(
        features=FEATURES, projection=2, l2=0.3, logit_scale=2.0, dtype="float32", formulation="blocked"
    ),
    "plain, mean, l2, float32": Logistic(
        features=FEATURES, reduction="mean", l2=0.1, dtype="float32", formulation="blocked"
    ),
    "plain, sum, l2, float64": Logistic(features=FEATURES, l2=0.1, logit_scale=-0.7, formulation="blocked"),
}


def agree_with_memory(name: str, backend: Backend, spec: Logistic, path: str, target: str) -> None:
    """Every quantity over the file is within the noise floors of the certified truth of the same rows in memory."""
    whole = load(path, target=target)
    problem = make_problem("rows", spec, whole.X, whole.y, seed=4)
    streamed = scan(open_rows(path, target))
    on_disk = make_problem("rows", spec, streamed.X, streamed.y, seed=4)
    reading = StreamedBackend(backend)
    loss = reading.loss(spec)
    program = reading.program(loss)
    evaluation = evaluate(reading, loss, program, on_disk)
    assert evaluation.impurity == ""
    quantities = evaluation.quantities
    truth = reference(problem)
    assert truth.method.startswith("certified in ball arithmetic at")
    findings = judge(name, quantities, truth, problem)
    assert {finding.quantity for finding in findings} == {"loss", "gradient", "jvp", "hvp"}
    assert [finding for finding in findings if finding.verdict != "agrees"] == []
    # The loss alone is the loss that comes with the gradient, and descent starts from it along the gradient.
    params, data = reading.put(on_disk.params), reading.put(on_disk.data)
    value = reading.get({"": program.value(params, data)})[""]
    losses, moved = program.descend(params, data, 2, 0.25)
    first, after = np.asarray(reading.get({"": losses})[""]), reading.get(moved)
    np.testing.assert_allclose([value, first[0]], quantities["loss"][""], rtol=4 * np.finfo(spec.dtype).eps)
    in_memory = backend.program(backend.loss(spec))
    known, expected = in_memory.descend(backend.put(problem.params), backend.put(problem.data), 2, 0.25)
    rounding = 500 * np.finfo(spec.dtype).eps
    np.testing.assert_allclose(first, backend.get({"": known})[""], rtol=rounding)
    for parameter, end in backend.get(expected).items():
        np.testing.assert_allclose(after[parameter], end, rtol=rounding, atol=rounding * np.abs(end).max())


@pytest.mark.slow
@pytest.mark.parametrize(("model", "target"), [*zip(MODELS, ("2", "-1", "2", "-1"), strict=True)])
@pytest.mark.usefixtures("small_chunks")
def test_a_file_in_chunks_gives_what_its_rows_give_in_memory(
    name: str, backend: Backend, tmp_path: Path, model: str, target: str
) -> None:
    agree_with_memory(name, backend, MODELS[model], saved(tmp_path, matrix(target=int(target))), target)


@pytest.mark.slow
@pytest.mark.usefixtures("small_chunks")
def test_the_compiled_backend_reads_chunks_too(backend_of: Callable[[str], Backend], tmp_path: Path) -> None:
    # All in one test: every chunk length is compiled anew.
    path = saved(tmp_path, matrix(dtype="float32"))
    agree_with_memory("torch-compile", backend_of("torch-compile"), MODELS["sum, l2, float32"], path, "-1")


@pytest.mark.parametrize(
    ("values", "target", "rule", "said"),
    [
        (np.arange(5.0), None, "", "shape (5,)"),
        (np.ones((5, 1)), None, "", "shape (5, 1)"),
        (np.ones((2, 3, 4)), None, "", "shape (2, 3, 4)"),
        (np.ones((0, 3)), None, "rows", "none"),
        (np.ones((5, 3), int), None, "dtype", "int64"),
        (np.ones((5, 3), ">f8"), None, "dtype", ">f8"),
        (np.array([[1, "a"]], object), None, "dtype", "object"),
        (np.asfortranarray(matrix()), None, "order", "Fortran"),
        (matrix(), "6", "target", "'6'"),
        (matrix(), "label", "target", "'label'"),
        (np.ones((5, 3)), None, "target", "one class only"),
        (np.arange(12.0).reshape(4, 3), None, "row 3", "third value"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_in_one_line(
    tmp_path: Path, values: Any, target: str | None, rule: str, said: str
) -> None:
    path = saved(tmp_path, values)
    for use in (lambda: load(path, target=target), lambda: scan(open_rows(path, target))):
        with pytest.raises(InputError) as refused:
            use()
        assert path in refused.value.rule
        assert rule in refused.value.rule
        assert said in str(refused.value)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_named_by_its_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: float
) -> None:
    monkeypatch.setattr("gradparity.model_spec.data.npy.PIECE_BYTES", 1000)
    values = matrix()
    values[776, 3] = bad
    with pytest.raises(InputError, match=r"column 3, row 777: got -?(nan|inf)"):
        scan(open_rows(saved(tmp_path, values), None))


def test_a_file_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    path = Path(saved(tmp_path, matrix()))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match="cut off"):
        open_rows(str(path), None)


def test_a_file_that_becomes_shorter_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = Path(saved(tmp_path, matrix()))
    file = replace(open_rows(str(path), None), stamp=())
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match="has become shorter"):
        list(file.chunks("float64", Buffers(file, "float64")))


@pytest.mark.parametrize("when", ["before it is read", "while it is read"])
def test_a_file_that_is_written_to_is_refused_and_no_backend_compared_over_other_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    monkeypatch.setattr(row_file, "CHUNK_BYTES", 2**12)
    path = Path(saved(tmp_path, matrix()))
    file = scan(open_rows(str(path), None)).X.file
    chunks = file.chunks("float64", Buffers(file, "float64"))
    if when == "while it is read":
        next(chunks)
    with path.open("r+b") as stream:  # the last row, which keeps its size
        stream.seek(-8, 2)
        stream.write(bytes(8))
    os.utime(path, (1, 1))  # whatever the resolution of the file system's clock
    with pytest.raises(InputError, match="has been written to since it was opened"):
        list(chunks)


def test_values_beyond_float32_are_refused_before_anything_is_computed(tmp_path: Path) -> None:
    values = matrix()
    values[7, 1] = -1e39
    data = scan(open_rows(saved(tmp_path, values), None))
    with pytest.raises(InputError, match="as float32: got values of up to 1e"):
        make_problem("rows", MODELS["sum, l2, float32"], data.X, data.y)


def test_a_step_is_compared_with_reading_round_by_round() -> None:
    # R S S R: 1 + 3 s of reading against 2 + 6 s of steps, then 2 + 2 against 1 + 1.
    assert ratios({"R": [1.0, 3.0, 2.0, 2.0], "S": [2.0, 6.0, 1.0, 1.0]}) == [0.5, 2.0]


def test_the_bench_measures_a_small_file_for_real() -> None:
    command = [sys.executable, "-m", "tests.evidence.streaming", "--gb", "0.02", "--backends", "numpy", "--rounds", "1"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    head, row = done.stdout.splitlines()
    assert head.split()[0] == "backend"
    name, read, step, ratio = row.split()[:4]
    assert name == "numpy"
    assert float(read) > 0
    assert float(step) > 0
    assert float(ratio) > 0
