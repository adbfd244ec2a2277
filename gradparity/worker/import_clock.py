"""NumPy, imported under the clock before anything else in a worker brings it in: every backend's import includes it."""

from __future__ import annotations

import time

#: When this process began, nearly, in seconds since the epoch: before any file of the user's was loaded.
STARTED_S = time.time()

_started_s, _cpu_started_s = time.perf_counter(), time.process_time()

import numpy  # noqa: E402, F401

#: Wall-clock and CPU seconds that importing NumPy took in this process.
NUMPY_S, NUMPY_CPU_S = time.perf_counter() - _started_s, time.process_time() - _cpu_started_s
