"""CSV files, and labels of any file: read, or refused with the place."""

from __future__ import annotations

import gzip
import zlib
from types import SimpleNamespace

import numpy as np
import pytest

from gradparity.model_spec.data.datasets import load
from gradparity.model_spec.errors import InputError
from tests.datasets.refusals import refusal


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


@pytest.mark.parametrize("kind", ["csv", "parquet", "npz"])
@pytest.mark.parametrize(("positive", "y"), [("yes", [1, 0, 1]), ("no", [0, 1, 0])])
def test_of_two_labels_in_words_the_one_that_is_named_is_1(csv, parquet, npz, kind, positive, y):
    words = ["yes", "no", "yes"]
    files = {
        "csv": lambda: csv("a,y\n" + "".join(f"{row}, {word} \n" for row, word in enumerate(words))),
        "parquet": lambda: parquet(a=[0, 1, 2], y=words),
        "npz": lambda: npz(a=np.arange(3), y=np.array(words)),
    }
    data = load(files[kind](), target="y", positive=positive)
    assert data.y.tolist() == y
    assert data.labels == ({"yes": "no", "no": "yes"}[positive], positive)


@pytest.mark.parametrize(
    ("cells", "positive", "y"),
    [(("1", "2"), "1", [1, 0]), (("1", "2"), "2.0", [0, 1]), (("true", "false"), "false", [0, 1])],
)
def test_of_two_numbers_the_smaller_can_be_the_1(csv, cells, positive, y):
    data = load(
        csv("a,y\n" + "".join(f"{row},{cell}\n" for row, cell in enumerate(cells))), target="y", positive=positive
    )
    assert data.y.tolist() == y
    assert data.labels[1].rstrip(".0") == positive.rstrip(".0")


@pytest.mark.parametrize(
    ("cells", "positive", "said"),
    [
        ("yes no", "Yes", "--positive: got 'Yes', expected one of the two labels, 'yes' and 'no'. Did you mean 'yes'?"),
        ("0 1", "yes", "--positive: got 'yes', expected one of the two labels, '0' and '1'."),
        ("0 1", "nan", "--positive: got 'nan', expected one of the two labels, '0' and '1'."),
    ],
)
def test_a_positive_label_that_there_is_not_is_refused(csv, cells, positive, said):
    path = csv("a,y\n" + "".join(f"{row},{cell}\n" for row, cell in enumerate(cells.split())))
    assert refusal(path, target="y", positive=positive).startswith(said)


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
    "labels in words": (
        "a,y\n1,benign\n2,other\n",
        "target column 'y': got labels in words, 'benign' and 'other' ... --positive other",
    ),
    "three classes in words": ("a,y\n1,red\n2,green\n3,blue\n", "got 3 classes: 'red', 'green', 'blue', expected two"),
    "a class in words": ("a,y\n1,red\n2,red\n", "got one class only: 'red', expected two classes"),
    "a label in words and none": ("a,y\n1,red\n2,\n", "target column 'y', row 2 (line 3): got an empty cell"),
    "one label in words": ("a,y\n1,0\n2,1\n3,maybe\n", "row 3 (line 4): got 'maybe', expected numbers"),
    "three faulty columns": (
        "a,b,c,y\nm,1,2,0\n3,4,?,1\n5,,x,1\n",
        "column 'a', row 1 (line 2): got 'm' ... either in columns 'c', row 2 (line 3): '?'; 'b', row 3 (line 4): an ",
    ),
    "a faulty column and a third label": ("a,y\n1,2\nx,5\n3,3\n", "a third value, 3 ... either in column 'a', row 2"),
    "a third label": (
        "a,y\n1,2\n2,5\n3,2\n4,3\n5,4\n",
        "row 4 (line 5): got a third value, 3 ... holds 4 classes, 2, 5, 3, 4",
    ),
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


@pytest.mark.parametrize(("kind", "packed"), [("gzip", gzip.compress), ("zlib", zlib.compress)])
def test_a_compressed_file_is_refused_whose_size_says_nothing_of_its_content(tmp_path, kind, packed):
    path = tmp_path / "rows.csv"
    path.write_bytes(packed(b"a,y\n" + b"0,1\n1,0\n" * 500))
    with pytest.raises(InputError, match=rf"rows.csv: got a file that is compressed \({kind}\), expected text"):
        load(str(path), target="y")


def test_a_file_of_short_cells_is_refused_for_what_they_take_as_text(csv, monkeypatch):
    # Polars holds 16 bytes a cell however short it is, and 16 more are its number, twice: 8 times the file here.
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=8 * 8008))
    with pytest.raises(InputError, match=r"got 4002 values, about 0\.000216 GB"):
        load(csv("a,y\n" + "0,1\n1,0\n" * 1000), target="y")
