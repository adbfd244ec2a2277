"""Files of data, written where a test asks for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest


@pytest.fixture
def csv(tmp_path: Path):
    """Writes the text of a CSV file, and gives its path as a string."""

    def write(text: str | bytes, name: str = "patients.csv") -> str:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return write


@pytest.fixture
def npz(tmp_path: Path):
    """Saves arrays as an NPZ file, and gives its path as a string."""

    def save(**arrays: object) -> str:
        path = tmp_path / "patients.npz"
        np.savez(path, **arrays)
        return str(path)

    return save


@pytest.fixture
def parquet(tmp_path: Path):
    def write(**columns: object) -> str:
        path = tmp_path / "patients.parquet"
        pl.DataFrame(columns).write_parquet(path)
        return str(path)

    return write
