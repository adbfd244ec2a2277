"""One thread for everything that ``pytest bench`` times, said before NumPy or a framework is imported."""

import os

os.environ.update(
    {
        **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NPROC"), "1"),
        "JAX_ENABLE_X64": "1",
        "JAX_PLATFORMS": "cpu",
        "TORCHINDUCTOR_COMPILE_THREADS": "1",
    }
)
