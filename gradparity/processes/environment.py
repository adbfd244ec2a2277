"""The environment of a worker: allow-listed, and the threads of every library set before it is imported."""

from __future__ import annotations

import contextlib
import getpass
import os
import re
import stat
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from gradparity.model_spec.errors import InputError

#: Variables that a worker inherits; everything else could change what is measured.
_INHERITED = (
    *("PATH", "HOME", "USER", "LANG", "LC_ALL", "TMPDIR", "TZ", "SYSTEMROOT", "VIRTUAL_ENV"),
    *("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "CC", "CXX", "XDG_CACHE_HOME"),
    *("PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "COVERAGE_PROCESS_START"),
)

#: Variables that a process has for its own temporary files, and what leads to a variable's purpose otherwise.
_OURS = frozenset({"TMPDIR", "JAX_COMPILATION_CACHE_DIR", "PYTHONPATH"})
_INSTEAD = {
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NPROC"), "--threads N sets it."),
    "JAX_ENABLE_X64": "--dtype float32 is a check in float32.",
    "PYTHONPATH": "It is passed on as it is.",
}
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


def require_variables(texts: Sequence[str]) -> None:
    """See that each of the user's variables is ``NAME`` or ``NAME=value``, and none that gradparity itself sets.

    Raises:
        InputError: one is not.
    """
    for text in texts:
        name = text.partition("=")[0]
        if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name) or not text.isprintable():
            raise InputError("--env", got=repr(text), expected="NAME or NAME=value")
        if (name in worker_environment(2) and name not in _INHERITED) or name in _OURS:
            expected = "a variable that gradparity does not set for every process itself"
            raise InputError("--env", got=name, expected=expected, cure=_INSTEAD.get(name, ""))


def passed_on(texts: Sequence[str]) -> dict[str, str]:
    """The user's variables with their values: as given, or as they are here; what is not set here is not set there."""
    pairs = [text.partition("=") for text in texts]
    found = {name: value if mark else os.environ.get(name) for name, mark, value in pairs}
    return {name: value for name, value in found.items() if value is not None}


def withheld(missed: Mapping[str, str]) -> dict[str, str]:
    """Of the variables that a process does not have, with where they were read, those that are set here."""
    return {name: place for name, place in missed.items() if name in os.environ}


def set_for_workers(thread_counts: Sequence[int], own: Sequence[str] = ()) -> dict[str, str]:
    """The variables that are set for every worker, and inherited from nobody: several values where threads differ.

    Of the user's ``own`` those with a value given; one that is passed on as it is here may be a secret, and only said.
    """
    found: dict[str, dict[str, None]] = {}
    for threads in thread_counts:
        for name, value in worker_environment(threads).items():
            if name not in _INHERITED and name != CACHE:
                found.setdefault(name, {})[value] = None
    pairs = [text.partition("=") for text in own]
    said = {name: value if mark else "as it is where gradparity was called" for name, mark, value in pairs}
    return {name: " or ".join(values) for name, values in sorted(found.items())} | said


def is_private(folder: str, *, make: bool) -> bool:
    """Whether nobody else can put anything into a folder, or there is none; ``make``: then it is made.

    What is compiled there is run: in a place that everybody can write to another user may have made it first. One that
    the user has named is as it is meant.
    """
    if os.environ.get(CACHE) == folder or not hasattr(os, "getuid"):
        return True
    try:
        with contextlib.suppress(FileExistsError):
            if make:
                os.mkdir(folder, 0o700)  # noqa: PTH102
        there = os.lstat(folder)
    except FileNotFoundError:
        return not make
    except OSError:
        return False
    return stat.S_ISDIR(there.st_mode) and there.st_uid == os.getuid() and not there.st_mode & stat.S_IWOTH


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
