"""How large this process is, was, and may become."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path


def limit_memory(size: int) -> None:
    """Let this process have no more than ``size`` bytes of its own: an allocation beyond fails, and nothing else does.

    On Linux that is what it can write to; address space alone, of which runtimes reserve much more than they use, is
    free. Elsewhere the address space is limited, as far as the system minds it.
    """
    try:
        import resource
    except ImportError:  # Windows
        return
    which = resource.RLIMIT_DATA if sys.platform == "linux" else resource.RLIMIT_AS
    hard = resource.getrlimit(which)[1]  # which stays, so that a later limit may be a larger one
    resource.setrlimit(which, (size if hard == resource.RLIM_INFINITY else min(size, hard), hard))


def resident_bytes() -> int:
    """Resident size now: from Linux itself, so that an interpreter without psutil can be a worker's."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        import psutil

        return int(psutil.Process().memory_info().rss)


def peak_resident_bytes() -> int:
    """Largest resident size so far. ``ru_maxrss`` on Linux starts at the parent's size, so ``VmHWM`` comes first."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    try:
        import resource
    except ImportError:  # Windows
        return resident_bytes()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
