"""Files of data: each format gives its numbers, and every bad file is refused with its place named."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from gradparity.model_spec.data.datasets import load
from tests.datasets.refusals import refusal

# Files in general


@pytest.mark.parametrize("kind", ["csv", "parquet", "npz", "svmlight", "svm", "libsvm"])
def test_a_missing_an_empty_and_an_unreadable_file_and_a_directory_are_refused(tmp_path, monkeypatch, kind):
    path = tmp_path / f"patients.{kind}"
    assert f"patients.{kind}: got No such file or directory" in refusal(str(path))
    path.touch()
    assert f"patients.{kind}: got an empty file" in refusal(str(path))
    with monkeypatch.context() as patch:
        # The mode of the file would not do: the superuser, who runs some tests, may read everything.
        patch.setattr(Path, "open", lambda *_, **__: (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
        assert f"patients.{kind}: got Permission denied" in refusal(str(path))
    path.unlink()
    path.mkdir()
    assert f"patients.{kind}: got a directory, expected a file" in refusal(str(path))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are a POSIX thing")
def test_a_pipe_is_refused_without_waiting_for_it(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    assert "pipe.csv: got a special file" in refusal(str(tmp_path / "pipe.csv"))


def test_an_unknown_extension_is_refused_with_those_there_are(csv):
    message = refusal(csv("a,y\n1,0\n", "patients.xlsx"))
    assert "got '.xlsx', expected one of .csv, .parquet, .npy, .npz, .svmlight, .svm, .libsvm" in message


def test_the_extension_may_be_in_capitals(csv):
    assert load(csv("a,y\n1,0\n2,1\n", "PATIENTS.CSV"), target="y").rows == 2


@pytest.mark.parametrize(
    ("kind", "available", "said"),
    [
        ("csv", 108_107, "patients.csv: got 2002 values, about 0.000108 GB"),
        ("parquet", 47_999, "1000 x 2 values, about 4.8"),
    ],
)
def test_a_file_larger_than_memory_is_refused_before_it_is_read(csv, parquet, monkeypatch, kind, available, said):
    source = csv("a,y\n" + "1,0\n" * 1000) if kind == "csv" else parquet(a=np.zeros(1000), y=np.zeros(1000))
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=available))
    assert said in refusal(source, target="y")


# Parquet


def test_a_parquet_file_gives_numbers_and_booleans_as_float64(parquet):
    path = parquet(
        age=pl.Series([50, 61], dtype=pl.UInt8),
        sick=[True, False],
        dose=pl.Series([0.5, 1.5], dtype=pl.Float32),
        fit=[False, True],
    )
    data = load(path, target="sick")
    assert data.X.tolist() == [[50.0, 0.5, 0.0], [61.0, 1.5, 1.0]]
    assert data.y.tolist() == [1.0, 0.0]
    assert data.labels == ("false", "true")


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"dose": [1.0, None], "y": [0, 1]}, "column 'dose', row 2: got an empty cell"),
        ({"dose": [1.0, float("nan")], "y": [0, 1]}, "column 'dose', row 2: got nan"),
        ({"dose": [1.0, float("-inf")], "y": [0, 1]}, "column 'dose', row 2: got -inf"),
        ({"dose": ["1", "2"], "y": [0, 1]}, "column 'dose', row 1: got '1' (String)"),
        ({"dose": [[1, 2], [3, 4]], "y": [0, 1]}, "column 'dose', row 1: got"),
        ({"dose": [None, None], "y": [0, 1]}, "column 'dose', row 1: got an empty cell"),
        ({"y": ["a", "b"]}, "target column 'y': got labels in words, 'a' and 'b', expected to be told which is 1"),
        ({"y": [None, 1]}, "target column 'y', row 1: got an empty cell"),
        ({"age": pl.Series([], dtype=pl.Int8), "y": pl.Series([], dtype=pl.Int8)}, "rows: got none"),
        ({"label": [0, 1]}, "a column of the file: age, label"),
    ],
)
def test_a_parquet_file_at_fault_is_refused_with_its_place(parquet, columns, said):
    message = refusal(parquet(**{"age": [1, 2], **columns}), target="y")
    assert "patients.parquet, " in message
    assert said in message


# NPZ


def test_an_npz_file_may_hold_a_matrix(npz):
    data = load(npz(X=np.asfortranarray([[1, 2], [3, 4], [5, 6]]), y=np.array([-1, 1, -1]), other=np.zeros(7)))
    assert data.X.tolist() == [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]
    assert data.X.flags.c_contiguous
    assert data.y.tolist() == [0.0, 1.0, 0.0]
    assert (data.feature_names, data.labels) == (("x1", "x2"), ("-1", "1"))


def test_an_npz_file_may_hold_columns(npz):
    data = load(npz(age=np.array([50, 61]), sick=np.array([True, False]), dose=np.float32([0.5, 1.5])), target="sick")
    assert data.X.tolist() == [[50.0, 0.5], [61.0, 1.5]]
    assert data.y.tolist() == [1.0, 0.0]
    assert (data.feature_names, data.labels) == (("age", "dose"), ("false", "true"))


@pytest.mark.parametrize(
    ("arrays", "got"),
    [
        ({"X": np.zeros((3, 2)), "y": np.arange(2)}, "member 'X': got 3 rows (shape (3, 2)), expected 2"),
        ({"a": np.zeros(3), "y": np.arange(2)}, "member 'a': got 3 rows"),
        ({"X": np.zeros((2, 2, 2)), "y": np.arange(2)}, "member 'X': got shape (2, 2, 2)"),
        ({"X": np.zeros((2, 2)), "y": np.zeros((2, 1))}, "member 'y': got shape (2, 1), expected one dimension"),
        ({"a": np.zeros((2, 1)), "y": np.arange(2)}, "member 'a': got shape (2, 1), expected one dimension"),
        ({"X": np.array(1.0), "y": np.arange(2)}, "member 'X': got shape ()"),
        ({"X": np.zeros((2, 1)), "y": np.array([{}, []], object)}, "member 'y': got object values"),
        ({"X": np.zeros((2, 1), complex), "y": np.arange(2)}, "member 'X': got complex128 values"),
        ({"X": np.zeros((2, 1), "M8[s]"), "y": np.arange(2)}, "member 'X': got datetime64[s] values"),
        ({"X": np.array([[1, 2], [3, np.nan]]), "y": np.arange(2)}, "column 'x2', row 2: got nan"),
        ({"a": np.array(["3", "b"]), "y": np.arange(2)}, "column 'a', row 1: got '3'"),
        (
            {"X": np.zeros((2, 1)), "y": np.array(["no", "yes"])},
            "target column 'y': got labels in words, 'no' and 'yes'",
        ),
        ({"X": np.zeros((2, 1)), "y": np.array([0.0, np.nan])}, "target column 'y', row 2: got nan"),
        ({"X": np.zeros((3, 1)), "y": np.arange(3)}, "target column 'y', row 3: got a third value, 2"),
        ({"X": np.zeros((2, 1)), "y": np.ones(2)}, "target column 'y': got one class only"),
        ({"X": np.zeros((2, 0)), "y": np.arange(2)}, "feature columns: got none"),
        ({"y": np.arange(2)}, "feature columns: got none"),
        ({"X": np.zeros((0, 2)), "y": np.zeros(0)}, "rows: got none"),
        ({"X": np.zeros((2, 2)), "label": np.arange(2)}, "target: got 'y', expected a column of the file: X, label"),
    ],
)
def test_an_npz_file_that_does_not_fit_is_refused_with_its_place(npz, arrays, got):
    assert f"patients.npz, {got}" in refusal(npz(**arrays))


def test_an_npz_array_larger_than_memory_is_refused_by_its_header(tmp_path):
    path = tmp_path / "huge.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for name, shape in (("X", (10**9, 10**6)), ("y", (3,))):
            with archive.open(f"{name}.npy", "w") as member:
                header = {"descr": "<f8", "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(member, header)
    assert "member 'X': got 1000000000 x 1000000 values, about 2.4e+07 GB" in refusal(str(path))


def test_an_npz_file_that_is_an_npy_file_or_cut_short_is_refused(npz, tmp_path):
    path = Path(npz(X=np.zeros((2, 1)), y=np.arange(2)))
    path.write_bytes(path.read_bytes()[:-30])
    assert "patients.npz: got content that cannot be read" in refusal(str(path))
    with path.open("wb") as stream:
        np.save(stream, np.zeros(3))
    assert "expected a valid NPZ file" in refusal(str(path))


# svmlight


def test_an_svmlight_file_is_made_dense_and_its_indices_are_its_names(csv):
    data = load(csv("# two patients\n+1 1:0.5 3:2 # first\n\n-1 qid:4 2:-1\n", "p.svmlight"))
    assert data.X.tolist() == [[0.5, 0.0, 2.0], [0.0, -1.0, 0.0]]
    assert data.y.tolist() == [1.0, 0.0]
    assert (data.feature_names, data.labels) == (("1", "2", "3"), ("-1", "1"))


def test_an_svmlight_file_may_count_from_0(csv):
    data = load(csv("1 0:1\n0 1:1\n", "p.libsvm"))
    assert data.X.tolist() == [[1.0, 0.0], [0.0, 1.0]]
    assert data.feature_names == ("0", "1")


@pytest.mark.parametrize(
    ("line", "got"),
    [
        ("x 1:2", "label, row 2 (line 4): got 'x'"),
        ("1,2 1:2", "label, row 2 (line 4): got '1,2'"),
        ("0 1:2 2:abc", "column '2', row 2 (line 4): got 'abc'"),
        ("0 1:2 2:nan", "column '2', row 2 (line 4): got nan"),
        ("0 1:2 2:-inf", "column '2', row 2 (line 4): got -inf"),
        ("0 1:2 2", "row 2 (line 4): got ''"),
        ("0 a:2", "row 2 (line 4): got 'a:2'"),
        ("0 3:2 1:2", "row 2 (line 4): got '1:2'"),
        ("0 -1:2", "row 2 (line 4): got '-1:2'"),
        ("0 99999999999:2", "row 2 (line 4): got '99999999999:2'"),
        ("nan 1:2", "target column 'label', row 2 (line 4): got nan"),
        ("1 1:2", "target column 'label': got one class only"),
        ("2 1:2\n3 1:2", "target column 'label', row 3 (line 5): got a third value, 3"),
    ],
)
def test_a_bad_line_of_an_svmlight_file_is_named(csv, line, got):
    message = refusal(csv(f"1 1:2\n# a comment\n\n{line}\n", "p.svmlight"))
    assert "p.svmlight, " in message
    assert got in message


def test_an_svmlight_file_without_rows_or_features_or_with_a_target_is_refused(csv):
    assert "rows: got none" in refusal(csv("# nothing\n", "p.svmlight"))
    assert "feature columns: got none" in refusal(csv("1\n0\n", "p.svmlight"))
    assert "p.svm, target: got 'y', expected none" in refusal(csv("1 0:1\n0 1:1\n", "p.svm"), target="y")


def test_a_sparse_file_too_large_when_dense_is_refused(csv):
    message = refusal(csv("1 2147483646:1\n" + "0 1:1\n" * 1000, "p.svmlight"))
    assert "1001 x 2147483646 values" in message
