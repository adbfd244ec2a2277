"""The environment of a worker: allow-listed, and the threads of every library set before it is imported."""

from __future__ import annotations

import getpass
import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

#: Variables that a worker inherits; everything else could change what is measured.
_INHERITED = (
    *("PATH", "HOME", "USER", "LANG", "LC_ALL", "TMPDIR", "TZ", "SYSTEMROOT", "VIRTUAL_ENV"),
    *("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "CC", "CXX", "XDG_CACHE_HOME"),
    *("PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "COVERAGE_PROCESS_START"),
)

#: Where the compiler of PyTorch is told to keep its work.
CACHE = "TORCHINDUCTOR_CACHE_DIR"


def worker_environment(threads: int) -> dict[str, str]:
    """The environment of a worker: allow-listed, with every framework's thread count set before it is imported.

    XLA's CPU client obeys ``NPROC`` alone; NumPy and PyTorch read the OpenMP and BLAS variables at import. In
    multi-threaded runs idle pool threads sleep instead of spinning.
    """
    environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    environment |= dict.fromkeys(
        ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NPROC"), str(threads)
    )
    if threads > 1:
        environment |= {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0", "OPENBLAS_THREAD_TIMEOUT": "4"}
    return environment | {
        "JAX_ENABLE_X64": "1",
        "JAX_PLATFORMS": "cpu",
        "TORCHINDUCTOR_COMPILE_THREADS": "1",  # no pool of compiler processes to outlive the worker
        "THP_MEM_ALLOC_ENABLE": "1",  # PyTorch's temporaries on huge pages, as NumPy's are of its own accord
        CACHE: compile_cache(),
        "PYTHONUNBUFFERED": "1",
    }


def set_for_workers(thread_counts: Sequence[int]) -> dict[str, str]:
    """The variables that are set for every worker, and inherited from nobody: several values where threads differ."""
    found: dict[str, dict[str, None]] = {}
    for threads in thread_counts:
        for name, value in worker_environment(threads).items():
            if name not in _INHERITED and name != CACHE:
                found.setdefault(name, {})[value] = None
    return {name: " or ".join(values) for name, values in sorted(found.items())}


def compile_cache() -> str:
    """Where PyTorch's compiler keeps its work between runs, said to workers since their ``TMPDIR`` is another.

    Reference: torch._inductor.runtime.cache_dir_utils.default_cache_dir.
    """
    own = os.environ.get(CACHE)
    if own:
        return own
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # no name for this user
        user = str(os.getuid())
    return str(Path(tempfile.gettempdir()) / ("torchinductor_" + re.sub(r'[\\/:*?"<>|]', "_", user)))
