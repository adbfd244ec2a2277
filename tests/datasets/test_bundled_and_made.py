"""Data sets that are bundled or made: what is bundled is what was published, what is made depends on its seed."""

from __future__ import annotations

import hashlib
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradparity.model_spec.data.datasets import BUNDLED, Dataset, load
from tests.datasets.refusals import refusal

# What is bundled


def test_the_toy_data_is_that_of_the_autograd_example():
    toy = load("toy")
    rows = [(0.52, 1.12, 0.77), (0.88, -1.08, 0.15), (0.52, 0.06, -1.30), (0.74, -2.49, 1.39)]
    assert toy.X.tolist() == [list(row) for row in rows]
    assert toy.y.tolist() == [1, 1, 0, 1]


# Shapes and class counts as the UCI repository and scikit-learn's documentation publish them; the digits are
# 178, 182, 177, 183, 181, 182, 181, 179, 174 and 180 of 0 to 9.
@pytest.mark.parametrize(
    ("name", "shape", "zeros", "ones", "labels"),
    [
        ("toy", (4, 3), 1, 3, ("0", "1")),
        ("iris", (100, 4), 50, 50, ("versicolor", "virginica")),
        ("breast_cancer", (569, 30), 212, 357, ("malignant", "benign")),
        ("digits", (1797, 64), 178 + 177 + 181 + 181 + 174, 182 + 183 + 182 + 179 + 180, ("even", "odd")),
    ],
)
def test_a_bundled_set_has_the_published_shape_and_class_counts(name, shape, zeros, ones, labels):
    data = load(name)
    assert data.X.shape == (data.rows, data.features) == shape
    assert ((data.y == 0).sum(), (data.y == 1).sum()) == (zeros, ones)
    assert data.labels == labels
    assert len(data.feature_names) == shape[1]
    assert "standardised" not in data.source
    assert data.source.endswith(BUNDLED[name])


@pytest.mark.parametrize("name", ["iris", "breast_cancer", "digits"])
def test_a_bundled_set_has_the_bits_and_the_names_that_scikit_learn_has(name):
    from sklearn import datasets

    ours, theirs = load(name), getattr(datasets, f"load_{name}")()
    taken = theirs.target != 0 if name == "iris" else slice(None)
    assert ours.X.tobytes() == theirs.data[taken].tobytes()
    assert ours.feature_names == tuple(theirs.feature_names)


def test_the_first_benign_row_of_breast_cancer_is_row_20():
    # The 20th record of wdbc.data, 8510426, is its first with diagnosis B: mean radius 13.54.
    data = load("breast_cancer")
    assert data.y[:20].tolist() == [0.0] * 19 + [1.0]
    assert data.X[19, 0] == 13.54


@pytest.mark.parametrize("source", [*BUNDLED, "synthetic:7x3"])
@pytest.mark.parametrize("standardise", [False, True])
def test_arrays_are_float64_contiguous_and_read_only(source, standardise):
    data = load(source, standardise=standardise)
    for array in (data.X, data.y):
        assert array.dtype == np.float64
        assert array.flags.c_contiguous
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1.0


def test_the_arrays_a_data_set_is_made_from_stay_writeable():
    X, y = np.zeros((2, 1)), np.array([0.0, 1.0])
    Dataset("own", X, y, ("a",), ("0", "1"), "made here")
    X[0, 0] = 1.0
    assert X.flags.writeable
    assert y.flags.writeable


def test_the_digest_is_sha256_of_shapes_and_little_endian_values():
    toy = load("toy")
    values = [0.52, 1.12, 0.77, 0.88, -1.08, 0.15, 0.52, 0.06, -1.30, 0.74, -2.49, 1.39]
    content = b"(4, 3)" + struct.pack("<12d", *values) + b"(4,)" + struct.pack("<4d", 1, 1, 0, 1)
    assert toy.digest == hashlib.sha256(content).hexdigest()
    assert toy.digest != load("toy", standardise=True).digest


# Standardising


@pytest.mark.parametrize("source", ["toy", "breast_cancer", "digits"])
def test_standardising_agrees_with_scikit_learn(source):
    from sklearn.preprocessing import StandardScaler

    plain, scaled = load(source), load(source, standardise=True)
    np.testing.assert_allclose(scaled.X, StandardScaler().fit_transform(plain.X), rtol=1e-10, atol=1e-12)
    assert scaled.source.endswith("; standardised")
    assert scaled.y.tolist() == plain.y.tolist()


def test_a_constant_column_becomes_zeros_even_where_its_mean_rounds(csv):
    # Three times 0.1 does not sum to 0.3: the computed deviation of this column is not 0.
    data = load(csv("a,b,y\n0.1,1,0\n0.1,2,1\n0.1,3,0\n"), target="y", standardise=True)
    assert data.X[:, 0].tolist() == [0.0, 0.0, 0.0]
    np.testing.assert_allclose(data.X[:, 1], [-np.sqrt(1.5), 0.0, np.sqrt(1.5)])


@pytest.mark.parametrize("size", ["1e308", "1e-200", "5e-324"])
def test_standardising_neither_overflows_nor_underflows(csv, size):
    data = load(csv(f"a,y\n{size},0\n-{size},1\n"), target="y", standardise=True)
    assert data.X.ravel().tolist() == [1.0, -1.0]


# Synthetic data


def test_synthetic_data_depends_on_the_seed_alone():
    assert load("synthetic:50x4", seed=3).digest == load("synthetic:50x4", seed=3).digest
    assert load("synthetic:50x4", seed=3).digest != load("synthetic:50x4", seed=4).digest


def test_synthetic_features_are_standard_normal_and_both_classes_are_common():
    data = load("synthetic:20000x5")
    # Five standard errors of a mean and of a standard deviation over 20000 draws.
    assert np.abs(data.X.mean(axis=0)).max() < 5 / np.sqrt(20000)
    assert np.abs(data.X.std(axis=0) - 1).max() < 5 / np.sqrt(40000)
    assert 0.4 < data.y.mean() < 0.6


def test_synthetic_labels_can_be_learnt():
    from sklearn.linear_model import LogisticRegression

    data = load("synthetic:4000x3")
    assert LogisticRegression().fit(data.X, data.y).score(data.X, data.y) > 0.6


@given(rows=st.integers(2, 5), features=st.integers(1, 4), seed=st.integers(0, 2**32))
def test_synthetic_data_of_two_rows_or_more_has_both_classes(rows, features, seed):
    assert set(load(f"synthetic:{rows}x{features}", seed=seed).y) == {0.0, 1.0}


def test_synthetic_data_may_be_a_single_row():
    assert load("synthetic:1x1").X.shape == (1, 1)


#: A source, options, and what the refusal says.
BAD_SOURCES = [
    *(
        (f"synthetic:{size}", {}, "expected synthetic:SxF, such as synthetic:1000x20")
        for size in ("0x5", "5x0", "-3x4", "axb", "10", "10x", "x", "", "1.5x2", "3x4x5", "3X4", "٣x4")
    ),
    # Refused before it is allocated; a long row of names counts as memory too.
    ("synthetic:1000000000x1000000", {}, "1000000000 x 1000000 values, about 2.4e+07 GB"),
    ("synthetic:1x99999999999", {}, "GB of memory available"),
    *(("synthetic:4x2", {"seed": seed}, "seed") for seed in (-1, 1.5, True)),
    ("brest_cancer", {}, "one of toy, iris, breast_cancer, digits, synthetic:SxF"),
    ("brest_cancer", {}, "Did you mean 'breast_cancer'?"),
    *((source, {}, "data set: got ") for source in ("", "xyz", "a" * 5000, "a\0b")),
    *((source, {"target": "y"}, "none: the labels are built in") for source in ("toy", "iris", "synthetic:4x2")),
    *((source, {}, "expected a file that can be read") for source in ("a\0b.csv", "a" * 5000 + ".csv")),
]


@pytest.mark.parametrize(("source", "options", "said"), BAD_SOURCES)
def test_a_source_that_is_none_is_refused(source, options, said):
    assert said in refusal(source, **options)


def test_a_file_name_that_begins_like_a_set_is_still_a_file(csv):
    assert load(csv("a,y\n1,0\n2,1\n", "synthetic.csv"), target="y").name == "synthetic.csv"
