"""Files of data that are damaged, or never were any: an `InputError` or a data set, and nothing else."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import strategies as st

from gradparity.model_spec.data.datasets import Dataset, load
from gradparity.model_spec.data.files import read_rows
from gradparity.model_spec.data.npy import scan
from gradparity.model_spec.errors import InputError
from tests.fuzz.inputs import anything_or, fuzz, written_anew

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((12, 3)), np.arange(12) % 2


def saved(save: Callable[[io.BytesIO], object]) -> bytes:
    stream = io.BytesIO()
    save(stream)
    return stream.getvalue()


def parquet(frame: pl.DataFrame, compression: str) -> bytes:
    return saved(lambda stream: frame.write_parquet(stream, compression=compression))  # type: ignore[arg-type]


def npz(**arrays: np.ndarray) -> bytes:
    return saved(lambda stream: np.savez_compressed(stream, **arrays))


_FRAME = pl.DataFrame({"a": X[:, 0], "b": X[:, 1], "y": Y})
_MATRIX = np.column_stack([X, Y])

VALID: dict[str, list[bytes]] = {
    ".csv": [
        _FRAME.write_csv().encode(),
        b'a,"b ""c""",y\r\n1,2,0\r\n"3",4e-300,1\r\n\r\n',
        b"\xef\xbb\xbfa;b;y\n1;2;0\n",
        "größe,y\n1,true\n2,false\n".encode(),
    ],
    ".parquet": [
        *(parquet(_FRAME, compression) for compression in ("uncompressed", "snappy", "zstd")),
        parquet(pl.DataFrame({"a": [None, 1.0] * 6, "y": [True, False] * 6}), "uncompressed"),
        parquet(pl.DataFrame({"a": ["x"] * 12, "b": [[1, 2]] * 12, "y": Y}), "uncompressed"),
    ],
    ".npy": [
        saved(lambda stream: np.save(stream, _MATRIX)),
        saved(lambda stream: np.save(stream, _MATRIX.astype("float32"))),
        saved(lambda stream: np.save(stream, np.asfortranarray(_MATRIX))),
        saved(lambda stream: np.save(stream, np.array([["x", "y"]]))),
        saved(lambda stream: np.lib.format.write_array(stream, _MATRIX, version=(2, 0))),
    ],
    ".npz": [
        npz(X=X, y=Y),
        npz(a=X[:, 0], b=X[:, 1].astype("float16"), y=Y > 0),
        npz(a=np.array(["x"] * 12), y=Y),
        saved(lambda stream: np.savez(stream, X=X, y=Y)),
    ],
    ".svmlight": [
        b"1 1:0.5 3:-2 # comment\n0 2:1e-3\n1 1:1\n",
        b"0 qid:1 0:1 7:2\n1 qid:2 1:3\n",
    ],
}
KINDS = {".csv": "csv", ".parquet": "parquet", ".npy": "npy", ".npz": "npz", ".svmlight": "svmlight"}
TARGETS: dict[str, list[str | None]] = {".npy": [None, "0", "-1"], ".npz": [None, "a"], ".svmlight": [None]}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_data_is_read_or_refused_in_words(kind: str, tmp_path: Path):
    path = tmp_path / f"fuzzed{kind}"

    def read(given: tuple[bytes, str | None, bool]) -> Dataset:
        content, target, standardise = given
        written_anew(path, content)
        return load(str(path), target=target, standardise=standardise)

    def use(data: Dataset) -> None:
        assert np.isfinite(data.X).all()
        assert set(np.unique(data.y)) == {0.0, 1.0}
        assert len(set(data.feature_names)) == data.features >= 1

    targets = st.sampled_from(TARGETS.get(kind, ["y", "y", "a", None]))
    inputs = st.tuples(anything_or(*VALID[kind]), targets, st.booleans())
    fuzz(KINDS[kind], inputs, read, use, InputError, named=str(path))


def test_rows_of_a_file_are_read_in_pieces_or_refused_in_words(tmp_path: Path):
    path = tmp_path / "fuzzed.npy"

    def read(content: bytes) -> int:
        written_anew(path, content)
        rows = read_rows(str(path), None)
        return len(scan(rows).y) * rows.row_bytes

    def use(read_bytes: int) -> None:
        assert read_bytes <= path.stat().st_size

    fuzz("row file", anything_or(*VALID[".npy"]), read, use, InputError, named=str(path))
