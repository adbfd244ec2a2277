"""The data of a cell and the problem on them: read, checked, and refused where no memory of this machine holds them."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

from gradparity.formatting import size
from gradparity.model_spec.data.datasets import Dataset, load
from gradparity.model_spec.data.files import read_rows
from gradparity.model_spec.data.frames import ParquetRows
from gradparity.model_spec.data.memory import available_bytes, own_bytes
from gradparity.model_spec.data.npy import StreamedDataset, scan
from gradparity.model_spec.errors import InputError
from gradparity.model_spec.problem import Problem, make_problem
from gradparity.model_spec.spec import Logistic, ProjectedLogistic
from gradparity.runner.settings import Settings

#: Copies of X that the parent holds at its peak: float64, the spec's dtype, and two in 16-byte extended precision.
_PARENT_COPIES = 6
#: Copies of X in a worker: the message, and the framework's own.
_WORKER_COPIES = 2
#: Resident bytes of a framework's process without data; PyTorch's, with a compiler at work, is the largest.
_PROCESS_BYTES = 400 * 2**20

_FEWER = "Use fewer rows, a smaller projection, or fewer backends at once (--backends)."


def dataset_of(
    cell: Settings, workers: int = 1, scratch: Callable[[], Path] | None = None
) -> Dataset | StreamedDataset:
    """Read and check the data of a cell.

    Args:
        cell: settings with one data set; its options ``target``, ``standardise`` and ``seed`` are followed.
        workers: number of processes that hold the data beside this one.
        scratch: makes a folder where the rows of a Parquet file are written, to be read in pieces; without it that must
            fit.

    Returns:
        The data set; of a ``.npy`` or Parquet file that does not fit into memory, one that is read in pieces.

    Raises:
        InputError: the source is unknown, unreadable, or not binary classification data.
    """
    source = cell.data[0]
    file = read_rows(source, cell.target)
    whole = isinstance(file, ParquetRows) and scratch is None
    if file is None or whole or not _in_pieces(cell, file.rows, file.features, workers):
        return load(
            source,
            target=cell.target,
            positive=cell.positive,
            standardise=_standardised(cell, source),
            seed=cell.seed,
        )
    _require_streaming(cell, file.rows, file.features, workers)
    if cell.positive is not None:
        expected = "none of a file that is read in pieces: the larger label is 1"
        raise InputError("--positive", got=repr(cell.positive), expected=expected, cure="Write 0 and 1 into the file.")
    if isinstance(file, ParquetRows):
        assert scratch is not None  # noqa: S101  # without one it is read whole
        file = file.on_disk(scratch())
    return scan(file)


def problem_on(cell: Settings, data: Dataset | StreamedDataset, workers: int) -> Problem:
    """The problem on a cell's data.

    Args:
        cell: settings that say the model and its start.
        data: features (rows, features) and labels (rows,), as read by `dataset_of`.
        workers: number of processes that hold the data beside this one.

    Raises:
        InputError: the model does not fit the data, or the run would not fit in memory beside ``workers`` workers.
    """
    rows, features = data.X.shape
    spec = cell.spec(features)  # a fault of the model is said before one of memory
    if isinstance(data, StreamedDataset):
        _require_streaming(cell, rows, features, workers)
    else:
        _require_fits(data.name, rows, spec, workers)
    return make_problem(data.name, spec, data.X, data.y, seed=cell.seed, start=cell.start)


def require_sizes_fit(settings: Settings, workers: int) -> None:
    """Estimate every size before any is made.

    Raises:
        InputError: one does not fit in memory beside its workers; the message has the estimate.
    """
    for cell in settings.cells() if settings.sizes else ():
        rows, features = map(int, cell.data[0].removeprefix("synthetic:").split("x"))
        _require_fits("--sizes", rows, cell.spec(features), workers)


def _standardised(cell: Settings, source: str) -> bool:
    if cell.standardise is not None:
        return cell.standardise
    # A .npy file may be too large to be changed, and is not to mean something else on a larger machine.
    return source != "toy" and not source.startswith("synthetic:") and not source.lower().endswith(".npy")


def _in_pieces(cell: Settings, rows: int, features: int, workers: int) -> bool:
    """Whether a file does not fit: into memory or, where it can be read in pieces, into what each process may have."""
    spec = cell.spec(features)
    if not _fits(rows, spec, workers):
        return True
    can = cell.formulation == "blocked" and not _standardised(cell, cell.data[0]) and cell.positive is None
    most = min(cell.allowance.memory_bytes or math.inf, own_bytes())
    return can and 8 * _values(rows, spec) * _WORKER_COPIES > most / 2  # the framework has the other half


def _require_streaming(cell: Settings, rows: int, features: int, workers: int) -> None:
    """Raises InputError unless what does not fit into memory can be read in pieces."""
    source = cell.data[0]
    if cell.formulation != "blocked":
        cure = "Use --formulation blocked, which reads a .npy or Parquet file in pieces."
        _require_fits(source, rows, cell.spec(features), workers, cure)
    if _standardised(cell, source):
        cure = "Standardise the features before they are saved."
        raise InputError("--standardise", got=f"{source}, too large for memory", expected="--raw", cure=cure)


def _require_fits(what: str, rows: int, spec: Logistic, workers: int, cure: str = _FEWER) -> None:
    """Raises InputError with the estimate if it is over the memory that is available."""
    if not _fits(rows, spec, workers):
        raise InputError(
            f"memory for {what} ({rows} x {spec.features}) with {spec.layout}",
            got=f"about {size(_needed_bytes(rows, spec, workers))} needed with {workers} workers",
            expected=f"at most the {size(min(available_bytes(), own_bytes()))} available",
            cure=cure,
        )


def _fits(rows: int, spec: Logistic, workers: int) -> bool:
    """Whether the machine's free memory, and that of this process, hold the data as often as a run has to."""
    held = 8 * _values(rows, spec) * _PARENT_COPIES
    return _needed_bytes(rows, spec, workers) <= available_bytes() and held <= own_bytes()


def _needed_bytes(rows: int, spec: Logistic, workers: int) -> int:
    return 8 * _values(rows, spec) * (_PARENT_COPIES + _WORKER_COPIES * workers) + workers * _PROCESS_BYTES


def _values(rows: int, spec: Logistic) -> int:
    """Numbers in a copy: X, its product with W, and the parameters with their tangent, gradient and HVP."""
    width = spec.shapes["w"][0] if isinstance(spec, ProjectedLogistic) else 1
    return rows * spec.features + rows * width + 4 * spec.size
