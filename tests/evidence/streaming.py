"""What a gradient step over a file costs beside reading the file: ``python -m tests.evidence.streaming [--gb 8]``.

A file of so many bytes is made in a temporary folder and deleted afterwards. For each backend, in a process of its own
on one thread beside the one that reads ahead: reading alone (R), into the same buffers by calls of the same size,
and a whole value and gradient under ``blocked`` (S), in turns R S S R. The ratio of their speeds is of one round, so
that what else the machine does in the meantime is in both. With ``--cold`` the file is dropped from the page cache
before each pass; whether it came from there or from the disk is counted by the system and printed.

Resident growth is the peak after all passes over the resident size once the framework is imported, and over the peak
after a first call on two chunks of the file, which compiles what there is to compile: what the length of the file adds.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from gradparity.backends import available, load, lookup
from gradparity.backends.streamed import StreamedBackend
from gradparity.model_spec.data.npy import open_rows
from gradparity.model_spec.data.row_file import Buffers, OnDisk, RowFile
from gradparity.model_spec.spec import ProjectedLogistic

#: Bytes of different rows, which a file repeats: what they are makes no difference to its speed.
PATTERN_BYTES = 2**26

HEADER = f"{'backend':14} {'read GB/s':>9} {'step GB/s':>9} {'step/read':>17} {'from disk':>9} {'MB grown since':>16}"


def make_file(path: Path, size_bytes: float, features: int, dtype: str) -> None:
    """A ``.npy`` file of about that size: standard normal features, and labels 0 and 1 in the last column."""
    rng = np.random.default_rng(0)
    row_bytes = (features + 1) * np.dtype(dtype).itemsize
    pattern = rng.standard_normal((PATTERN_BYTES // row_bytes, features + 1)).astype(dtype)
    pattern[:, -1] = rng.integers(0, 2, len(pattern))
    rows = max(1, int(size_bytes / row_bytes))
    with path.open("wb") as file:
        header = {"descr": pattern.dtype.str, "fortran_order": False, "shape": (rows, features + 1)}
        np.lib.format.write_array_header_1_0(file, header)
        for begin in range(0, rows, len(pattern)):
            file.write(pattern[: rows - begin].data)
        os.fsync(file.fileno())


def read_all(file: RowFile, buffers: Buffers) -> None:
    """Every row into the buffers in turn, and nothing else."""
    size = len(buffers.X[0])
    with file.opened() as stream:
        stream.seek(file.offset)
        for number, begin in enumerate(range(0, file.rows, size)):
            file.read_into(stream, buffers.X[number % len(buffers.X)][: file.rows - begin])


def measure(name: str, path: str, projection: int, rounds: int, *, cold: bool) -> dict[str, Any]:
    """One backend in this process: seconds of each pass, bytes that came from the disk, resident sizes."""
    framework = load(lookup(name).target)
    framework.configure(1)
    imported = _status_bytes("VmRSS")
    file = replace(open_rows(path, None), low=0.0, high=1.0)
    spec = ProjectedLogistic(
        features=file.features, projection=projection, dtype=file.dtype, formulation="blocked", reduction="mean"
    )
    backend = StreamedBackend(framework)
    program = backend.program(backend.loss(spec))
    params = backend.put(spec.initial(0))

    def step(file: RowFile) -> None:
        data: dict[str, Any] = {axis: OnDisk(file, axis, file.dtype) for axis in ("X", "y")}
        backend.wait(program.value_and_gradient(params, data))

    chunk = file.chunk_rows(file.dtype)
    step(replace(file, rows=min(file.rows, 2 * chunk)))
    if file.rows % chunk:
        step(replace(file, rows=chunk + file.rows % chunk))
    first = _status_bytes("VmHWM")
    buffers = program.loss.buffers.setdefault(file, Buffers(file, file.dtype))
    passes: dict[str, Callable[[], None]] = {"R": lambda: read_all(file, buffers), "S": lambda: step(file)}
    taken: dict[str, list[float]] = {"R": [], "S": []}
    from_disk = -_disk_bytes()
    for kind in "RSSR" * rounds:
        if cold:
            _drop_from_cache(path)
        began = time.perf_counter()
        passes[kind]()
        taken[kind].append(time.perf_counter() - began)
    size_bytes = file.rows * file.row_bytes
    return {
        "backend": name,
        "gb": size_bytes / 1e9,
        **taken,
        "from_disk": (from_disk + _disk_bytes()) / (size_bytes * 4 * rounds),
        "since_import": _status_bytes("VmHWM") - imported,
        "since_first": _status_bytes("VmHWM") - first,
    }


def ratios(found: dict[str, Any]) -> list[float]:
    """Speed of the step over the speed of reading, one for each round R S S R."""
    reads, steps = (np.reshape(found[kind], (-1, 2)).sum(axis=1) for kind in "RS")
    return sorted(float(ratio) for ratio in reads / steps)


def _drop_from_cache(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


def _status_bytes(field: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


def _disk_bytes() -> int:
    """Bytes that this process had read from a disk."""
    lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("read_bytes:"))


def main() -> None:
    """Make the file, measure every backend, print a table."""
    parser = argparse.ArgumentParser(prog="python -m tests.evidence.streaming", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--gb", type=float, default=8.0, help="size of the file, 10^9 bytes")
    parser.add_argument("--features", type=int, default=100)
    parser.add_argument("--projection", type=int, default=50)
    parser.add_argument("--dtype", choices=("float64", "float32"), default="float64")
    parser.add_argument("--backends", default=",".join(available()))
    parser.add_argument("--rounds", type=int, default=2, help="rounds R S S R of each backend")
    parser.add_argument("--cold", action="store_true", help="drop the file from the page cache before each pass")
    parser.add_argument("--within", nargs=2, metavar=("BACKEND", "FILE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.within:
        name, path = options.within
        print(json.dumps(measure(name, path, options.projection, options.rounds, cold=options.cold)))
        return
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NPROC"), "1")
    print(HEADER)
    with tempfile.TemporaryDirectory(prefix="gradparity-") as folder:
        path = Path(folder) / "rows.npy"
        make_file(path, options.gb * 1e9, options.features, options.dtype)
        for name in options.backends.split(","):
            command = [sys.executable, "-m", "tests.evidence.streaming", "--within", name, str(path)]
            command += ["--rounds", str(options.rounds), "--projection", str(options.projection)]
            command += ["--cold"] if options.cold else []
            done = subprocess.run(command, env={**os.environ, **one}, check=True, stdout=subprocess.PIPE, text=True)
            found = json.loads(done.stdout.splitlines()[-1])
            read, step = (found["gb"] / float(np.median(found[kind])) for kind in "RS")
            spread = ratios(found)
            row = (
                f"{name:14} {read:9.2f} {step:9.2f} {np.median(spread):6.2f} [{spread[0]:.2f}, {spread[-1]:.2f}] "
                f"{found['from_disk']:9.0%} {found['since_import'] / 1e6:9.0f} import, "
                f"{found['since_first'] / 1e6:.0f} first call"
            )
            print(row, flush=True)


if __name__ == "__main__":
    main()
