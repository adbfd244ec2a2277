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

# CSV


def test_a_csv_file_gives_its_columns_in_order(csv):
    path = csv("age,sick,dose\n50,1,0.5\n61,0,1e-3\n72,1,-2\n")
    data = load(path, target="sick")
    assert data.X.tolist() == [[50.0, 0.5], [61.0, 0.001], [72.0, -2.0]]
    assert data.y.tolist() == [1.0, 0.0, 1.0]
    assert (data.name, data.feature_names, data.labels) == ("patients.csv", ("age", "dose"), ("0", "1"))
    assert data.source == f"file {path}, target 'sick'"
    assert data.X.flags.c_contiguous


def test_a_csv_file_as_spreadsheets_write_it_is_read(csv):
    # Byte order mark, CRLF, blanks around cells, quotes, booleans, a blank line at the end.
    data = load(csv('\ufeffage, fit ,y\r\n 50 ,True,1\r\n"61",FALSE,0\r\n\r\n'), target="y")
    assert data.X.tolist() == [[50.0, 1.0], [61.0, 0.0]]
    assert data.feature_names == ("age", "fit")


@pytest.mark.parametrize(
    ("cells", "y", "labels"),
    [
        (("0", "1", "0"), [0, 1, 0], ("0", "1")),
        (("1", "-1", "1"), [1, 0, 1], ("-1", "1")),
        (("2", "1", "1"), [1, 0, 0], ("1", "2")),
        (("0.5", "0.25", "0.5"), [1, 0, 1], ("0.25", "0.5")),
        (("true", "false", "true"), [1, 0, 1], ("false", "true")),
        (("True", "False", "TRUE"), [1, 0, 1], ("false", "true")),
    ],
)
def test_two_distinct_labels_become_0_and_1_in_their_order(csv, cells, y, labels):
    data = load(csv("a,y\n" + "".join(f"{row},{cell}\n" for row, cell in enumerate(cells))), target="y")
    assert data.y.tolist() == y
    assert data.labels == labels


@pytest.mark.parametrize(
    ("cell", "got"),
    [
        ("abc", "'abc'"),
        ("", "an empty cell"),
        ('"  "', "an empty cell"),
        ("nan", "'nan'"),
        ("-inf", "'-inf'"),
        ("1e999", "'1e999'"),
        ('"1,5"', "'1,5'"),
        ("true", "'true'"),
    ],
)
def test_a_csv_cell_that_is_no_finite_number_is_named_by_file_column_row_and_line(csv, cell, got):
    message = refusal(csv(f"age,dose,y\n1,2,0\n3,4,1\n5,{cell},1\nx,y,0\n"), target="y")
    assert f"patients.csv, column 'dose', row 3 (line 4): got {got}, expected a finite number" in message


#: What is wrong with a CSV file: its content, and what the refusal says, with "..." between where it says two things.
BAD_CSV = {
    "quoted line breaks, lines and no rows": ('age,"long\nname",y\n"1\n",2,0\n3,?,1\n', "row 2 (line 5): got '?'"),
    "a blank line, a row without cells": ("a,y\n1,0\n\n2,1\n", "target column 'y', row 2 (line 3): got an empty cell"),
    "too few cells": ("a,b,y\n1,2,0\n3,4\n", "target column 'y', row 2 (line 3): got an empty cell"),
    "too many cells": ("a,b,y\n1,2,0\n3,4,5,1\n", "row 2 (line 3): got 4 cells, expected 3, as in the header"),
    "blank lines above the header": ("\n\na,y\n1,0\n", "header (line 1): got a blank line"),
    "a name twice": ("a,b,a,y\n1,2,3,0\n", "header (line 1), column 3: got the name 'a' a second time"),
    "no name, as pandas writes its row index": (",a,y\n0,1,0\n1,2,1\n", "header (line 1), column 1: got no name"),
    "semicolons": ("a;b;y\n1;2;0\n", "Save the file with commas"),
    "an unknown target": ("age,Y2\n1,0\n", "got 'y', expected a column of the file: age, Y2 ... Did you mean 'Y2'?"),
    "many columns": (",".join(f"c{number}" for number in range(40)) + "\n", "c11 and 28 more"),
    "labels in words": ("a,y\n1,benign\n2,other\n", "row 1 (line 2): got 'benign', expected numbers ... Map the two"),
    "a third label": ("a,y\n1,2\n2,5\n3,2\n4,3\n5,4\n", "row 4 (line 5): got a third value, 3 ... holds 2, 5, 3, 4"),
    "measurements": ("a,y\n" + "".join(f"{row},{row}.5\n" for row in range(50)), "11.5 and 38 more"),
    "one class": ("a,y\n1,1\n2,1\n", "target column 'y': got one class only, 1 in every row"),
    "no rows": ("a,y\n", "rows: got none"),
    "no features": ("y\n0\n1\n", "feature columns: got none"),
    "not UTF-8": (b"\xff\xfe\x00a,1\n2,3\n", "got content that cannot be read"),
    "an open quote": (b'a,y\n"1,0\n2,1\n', "got content that cannot be read"),
}


@pytest.mark.parametrize(("content", "said"), BAD_CSV.values(), ids=BAD_CSV)
def test_a_csv_file_at_fault_is_refused_with_its_place(csv, content, said):
    message = refusal(csv(content), target="y")
    assert "patients.csv" in message
    assert [words for words in said.split(" ... ") if words not in message] == []


def test_without_a_target_the_columns_are_listed(csv):
    message = refusal(csv("age,dose,sick\n1,2,0\n"))
    assert "patients.csv, target: got none" in message
    assert "one of age, dose, sick" in message


@pytest.mark.parametrize(("label", "got"), [("", "an empty cell"), ("nan", "'nan'"), ("inf", "'inf'"), ("B", "'B'")])
def test_a_label_that_is_missing_or_no_number_is_named_by_its_row(csv, label, got):
    message = refusal(csv(f"a,sick\n1,0\n2,1\n3,{label}\n"), target="sick")
    assert f"patients.csv, target column 'sick', row 3 (line 4): got {got}, expected numbers" in message


def test_a_file_name_with_wildcards_is_taken_as_it_stands(csv):
    csv("a,y\n1,0\n2,1\n", "b1.csv")
    assert load(csv("a,y\n3,0\n4,1\n", "b[1].csv"), target="y").X.ravel().tolist() == [3.0, 4.0]


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
        ("csv", 12_000, "patients.csv: got 4004 values, about 1.2e-05 GB"),
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
        ({"y": ["a", "b"]}, "target column 'y', row 1: got 'a' (String)"),
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
        ({"X": np.zeros((2, 1)), "y": np.array(["no", "yes"])}, "target column 'y', row 1: got 'no', expected numbers"),
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
