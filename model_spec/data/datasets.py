"""Data to fit: bundled sets, a seeded synthetic one, or the user's own file.

``load`` gives features ``X (S, F)`` and labels ``y (S,)`` in {0, 1}, both float64 and read-only.
Nothing is downloaded: the bundled sets are files of this package.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import re
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from gradparity.model_spec.data.files import READERS, read
from gradparity.model_spec.data.memory import require_memory
from gradparity.model_spec.data.tables import Floats, checked_labels, numbered, suggestion
from gradparity.model_spec.errors import InputError

#: Bundled data sets by name, and what each is in one line.
BUNDLED: dict[str, str] = {
    "toy": "4 rows, 3 features: the data of HIPS autograd's logistic regression example",
    "iris": "100 rows, 4 features: iris flowers, versicolor (0) against virginica (1)",
    "breast_cancer": "569 rows, 30 features: Wisconsin breast cancer, malignant (0) against benign (1)",
    "digits": "1797 rows, 64 features: handwritten digits of 8 x 8 pixels, even (0) against odd (1)",
}

_FOLDER = Path(__file__).parent / "bundled"
_SYNTHETIC = "synthetic:SxF, such as synthetic:1000x20: S rows and F features, each 1 or more"


@dataclass(frozen=True, eq=False)
class Dataset:
    """Features ``X (S, F)`` and labels ``y (S,)`` in {0.0, 1.0}: float64, C-contiguous, read-only.

    ``labels`` is what 0 and 1 mean in the source, ``source`` where the data came from in one line.
    """

    name: str
    X: Floats
    y: Floats
    feature_names: tuple[str, ...]
    labels: tuple[str, str]
    source: str

    def __post_init__(self) -> None:
        for field, array in (("X", self.X), ("y", self.y)):
            # A view, so that the caller's own array stays as writeable as it was.
            view = np.ascontiguousarray(array, np.float64).view()
            view.flags.writeable = False
            object.__setattr__(self, field, view)

    @property
    def rows(self) -> int:
        """S, the number of rows."""
        return len(self.y)

    @property
    def features(self) -> int:
        """F, the number of features."""
        return len(self.feature_names)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the shapes and values of X and y, the same on every platform: 64 hex digits."""
        sha = hashlib.sha256()
        for array in (self.X, self.y):
            sha.update(repr(array.shape).encode())
            sha.update(np.ascontiguousarray(array, "<f8").data)
        return sha.hexdigest()


def load(
    source: str,
    *,
    target: str | None = None,
    positive: str | None = None,
    standardise: bool = False,
    seed: int = 0,
) -> Dataset:
    """The data set that ``source`` names: one of `BUNDLED`, ``synthetic:SxF``, or a path to a file.

    ``target`` is the label column of a CSV or Parquet file, or the label member of an NPZ file (``y``
    if not given), whose features are a 2-D member ``X`` or else every other member, one column each.
    Of a NPY file it is the number of the label column, from 0, and the last one if not given.
    The label of svmlight files and of the sets that are not files is built in.
    ``positive`` is the label that is 1: of two in words it has to be given, of two numbers it is the larger if not.
    ``standardise`` brings every feature to mean 0 and standard deviation 1. ``seed`` is for ``synthetic``.

    Raises:
        InputError: there is no such source, or its content cannot be used; the message names the
            file, and the column and row where there is one.
    """
    if source in BUNDLED or source.split(":")[0] == "synthetic":
        for name, value in (("target", target), ("positive", positive)):
            if value is not None:
                raise InputError(
                    f"{name} of {source}",
                    got=repr(value),
                    expected="none: the labels are built in",
                    cure=f"Leave --{name} out.",
                )
        dataset = _bundled(source) if source in BUNDLED else _synthetic(source, seed)
    else:
        dataset = _from_file(source, target, positive)
    return _standardised(dataset) if standardise else dataset


def _bundled(name: str) -> Dataset:
    if name == "toy":
        X = np.array([[0.52, 1.12, 0.77], [0.88, -1.08, 0.15], [0.52, 0.06, -1.30], [0.74, -2.49, 1.39]])
        y, names, labels = np.array([1.0, 1.0, 0.0, 1.0]), numbered(3), ("0", "1")
    else:
        with gzip.open(_FOLDER / f"{name}.csv.gz", "rt", encoding="utf-8") as rows:
            names = tuple(next(rows).rstrip().split(",")[:-1])
            X, target = np.split(np.loadtxt(rows, delimiter=","), [-1], axis=1)
        target = target[:, 0]
        if name == "iris":
            X, target = X[target != 0], target[target != 0]  # without setosa, which a line separates from both others
            y, labels = (target == 2).astype(np.float64), ("versicolor", "virginica")
        elif name == "digits":
            y, labels = (target % 2).astype(np.float64), ("even", "odd")
        else:
            y, labels = target.astype(np.float64), ("malignant", "benign")
    return Dataset(name, X, y, names, labels, source=f"bundled, {BUNDLED[name]}")


def _synthetic(source: str, seed: int) -> Dataset:
    """Standard normal ``X``, and labels drawn from Bernoulli(sigmoid(X beta)) with a random beta."""
    match = re.fullmatch(r"synthetic:([0-9]{1,50})x([0-9]{1,50})", source)
    rows, features = map(int, match.groups()) if match else (0, 0)
    if rows < 1 or features < 1:
        raise InputError("synthetic data set", got=repr(source), expected=_SYNTHETIC)
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise InputError("seed", got=repr(seed), expected="an integer of 0 or more")
    require_memory(source, (rows, features), names=features)
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((rows, features))
    # Divided by sqrt(F), the logits have unit variance at every width.
    z = X @ (rng.standard_normal(features) / np.sqrt(features))
    p = 0.5 * (1.0 + np.tanh(0.5 * z))  # sigmoid(z), which cannot overflow in this form
    y = (rng.random(rows) < p).astype(np.float64)
    if rows > 1 and y.min() == y.max():
        # One class only: the row least likely to be in it changes sides.
        y[z.argmin() if y[0] == 1.0 else z.argmax()] = 1.0 - y[0]
    made = f"synthetic, seed {seed}: standard normal X, labels Bernoulli(sigmoid(X beta))"
    return Dataset(source, X, y, numbered(features), ("0", "1"), source=made)


def _from_file(source: str, target: str | None, positive: str | None) -> Dataset:
    path = Path(source)
    # Of a name longer than the system allows, `Path.exists` raises.
    if not source or (not path.suffix and len(path.parts) == 1 and not os.path.exists(source)):  # noqa: PTH110
        raise InputError(
            "data set",
            got=repr(source),
            expected=f"one of {', '.join(BUNDLED)}, synthetic:SxF, or a file ({', '.join(READERS)})",
            cure=suggestion(source, (*BUNDLED, "synthetic:SxF")),
        )
    table = read(source, target)
    y, labels = checked_labels(table, positive)
    origin = f"file {source}, target {table.target!r}"
    return Dataset(path.name, table.X, y, table.feature_names, labels, source=origin)


def _standardised(dataset: Dataset) -> Dataset:
    """Every feature as (x - mean) / std over the rows; a constant feature becomes zeros."""
    low, high = dataset.X.min(axis=0), dataset.X.max(axis=0)
    # A power of two for each feature, which changes no digit, keeps sums and squares in range at 1e300.
    exponents = np.frexp(np.maximum(np.abs(low), np.abs(high)))[1]
    X = np.ldexp(dataset.X, -exponents)
    X -= X.mean(axis=0)
    deviation = X.std(axis=0)
    # Found by comparing values: the computed deviation of a constant such as 0.1 may not be exactly 0.
    constant = low == high
    deviation[constant] = 1.0
    X /= deviation
    X[:, constant] = 0.0
    return replace(dataset, X=X, source=f"{dataset.source}; standardised")
