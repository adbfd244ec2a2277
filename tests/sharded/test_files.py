"""Rows in a file that no process holds as a whole: each rank reads its own; Parquet is written as rows first."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from gradparity.backends import BACKENDS
from gradparity.backends.streamed import of_all_ranks
from gradparity.model_spec.data.frames import ParquetRows
from gradparity.model_spec.data.npy import open_rows, scan
from gradparity.model_spec.errors import InputError
from gradparity.model_spec.problem import make_problem
from gradparity.model_spec.spec import ProjectedLogistic
from gradparity.processes.group import WorkerGroup
from gradparity.processes.launch import Launch
from gradparity.runner import data as runner_data
from gradparity.runner import session as engine
from gradparity.runner.observer import NullObserver
from gradparity.runner.settings import Settings
from gradparity.worker import messages as m
from tests.conftest import configured
from tests.evidence.streaming import make_file
from tests.sharded.test_sharded import BACKENDS as SHARDED


def table(rows: int = 1003, features: int = 5) -> np.ndarray[Any, Any]:
    """Normal features, labels -1 and 2 in the last column."""
    rng = np.random.default_rng(3)
    values = rng.standard_normal((rows, features + 1))
    values[:, -1] = np.where(np.arange(rows) % 5 < 2, 2, -1)
    return values


def parquet(path: Path, values: np.ndarray[Any, Any]) -> str:
    names = [*(f"x{i}" for i in range(values.shape[1] - 1)), "label"]
    pl.DataFrame(dict(zip(names, values.T, strict=True))).write_parquet(path)
    return str(path)


@pytest.fixture
def no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which no data fits."""
    monkeypatch.setattr(runner_data, "available_bytes", lambda: 10**6)


def checked(source: str, out: Path, *backends: str, **asked: Any) -> Any:
    given = {"formulation": "blocked", "target": None, "ranks": 3, **asked}
    settings = Settings(command="check", out=str(out), data=(source,), backends=list(backends), **given)
    return engine.run(settings, NullObserver())


@pytest.mark.usefixtures("no_memory")
@pytest.mark.parametrize("name", [SHARDED[0], pytest.param(SHARDED[1], marks=pytest.mark.slow)])
def test_every_rank_reads_its_own_uneven_rows(tmp_path: Path, name: str) -> None:
    np.save(tmp_path / "rows.npy", table())
    (problem,) = checked(str(tmp_path / "rows.npy"), tmp_path / "out", name).problems
    assert problem.source.endswith("read in pieces")
    assert {each.quantity for each in problem.findings} == {"loss", "gradient", "jvp", "hvp"}
    assert {each.verdict for each in problem.findings} == {"agrees"}


@pytest.mark.usefixtures("no_memory")
def test_a_parquet_file_is_read_in_pieces_as_its_rows_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gradparity.model_spec.data.frames.BATCH_BYTES", 100 * 6 * 8)
    values = table()
    np.save(tmp_path / "rows.npy", values)
    source = parquet(tmp_path / "rows.parquet", values)
    (found,) = checked(source, tmp_path / "out", "numpy", target="label", standardise=False).problems
    (rows,) = checked(str(tmp_path / "rows.npy"), tmp_path / "out2", "numpy").problems
    assert {each.verdict for each in found.findings} == {"agrees"}
    assert (found.name, found.digest) == ("rows.parquet", rows.digest)
    assert source in found.source


@pytest.mark.usefixtures("no_memory")
def test_one_that_would_be_standardised_is_refused_with_the_cure(tmp_path: Path) -> None:
    source = parquet(tmp_path / "rows.parquet", table())
    with pytest.raises(InputError, match="expected --raw"):
        checked(source, tmp_path / "out", "numpy", target="label")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("column", "said"), [(2, "column 'x2', row 777: got nan"), (5, "column 'label', row 777")])
def test_a_cell_of_a_later_piece_is_named_by_its_row_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, column: int, said: str
) -> None:
    monkeypatch.setattr("gradparity.model_spec.data.frames.BATCH_BYTES", 100 * 6 * 8)
    values = table()
    values[776, column] = np.nan
    rows = ParquetRows.of(Path(parquet(tmp_path / "rows.parquet", values)), "label")
    with pytest.raises(InputError) as refused:
        rows.on_disk(tmp_path)
    assert said in str(refused.value)


def test_a_disk_without_room_is_said_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = ParquetRows.of(Path(parquet(tmp_path / "rows.parquet", table())), "label")
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(InputError, match="at most the 1e-06 GB"):
        rows.on_disk(tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["rows.parquet"]


def test_totals_of_ranks_are_added_with_every_digit_of_theirs() -> None:
    rng = np.random.default_rng(0)
    trees = [{"w": rng.standard_normal((2, 3)).astype(np.longdouble) / 3, "b": np.longdouble(1) / 3} for _ in range(4)]
    totals = [np.longdouble(rank) / 7 for rank in range(4)]
    sent: list[Any] = []
    for total, tree in zip(totals, trees, strict=True):
        of_all_ranks(lambda value: sent.append(value) or np.stack([value]), total, tree)
    total, tree = of_all_ranks(lambda _: np.stack(sent), totals[0], trees[0])
    eps = np.finfo(np.longdouble).eps
    assert abs(total - sum(totals)) <= 8 * eps
    assert all(np.max(np.abs(tree[name] - sum(each[name] for each in trees))) <= 16 * eps for name in tree)


def test_a_total_that_is_infinite_stays_that() -> None:
    total, tree = of_all_ranks(lambda value: np.stack([value, value]), np.longdouble(np.inf), {"w": np.ones(2)})
    assert total == np.inf
    assert tree["w"].tolist() == [2, 2]


@pytest.mark.slow
def test_each_rank_grows_by_far_less_than_its_rows(tmp_path: Path) -> None:
    make_file(tmp_path / "rows.npy", 8e8, 100, "float64")
    configured("torch")  # or a skip
    data = scan(open_rows(str(tmp_path / "rows.npy"), None))
    problem = make_problem(
        "large", ProjectedLogistic(features=100, projection=5, formulation="blocked"), data.X, data.y
    )
    launch = Launch(tmp_path / "log")
    with WorkerGroup("torch-distributed", BACKENDS["torch-distributed"], launch, 2) as group:
        start_bytes = group.configured().resident_bytes
        group.ask(m.load_request(problem))
        assert set(group.ask(m.Evaluate()).quantities) == {"loss", "gradient", "jvp", "hvp"}
        peak_bytes = group.ask(m.MeasureMemory(1)).peak_bytes
    assert peak_bytes - start_bytes < 300e6  # what the framework imports for its first calls is in it
