"""A guard against arrays that cannot fit: refused before they are allocated, with the numbers said.

What there is to take is the machine's, and what limits leave of it: those of a control group, as a container's or a
batch job's is, and those of ``ulimit``.
"""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from gradparity.model_spec.errors import InputError

#: Copies alive at the worst moment: what was read, the same as float64, and one to work on.
COPIES = 3

#: A short string and its place in a tuple: what one feature's name takes.
NAME_BYTES = 64

#: Which control groups this process is in.
_OWN = Path("/proc/self/cgroup")
#: Of each version of control groups: where it is mounted, the files of a group's limit and use, and the beginning of
#: the lines of its ``memory.stat`` with the pages of files, which make room for what is asked for.
_GROUPS = {
    "": (Path("/sys/fs/cgroup"), "memory.max", "memory.current", ""),
    "memory": (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes", "memory.usage_in_bytes", "total_"),
}


def available_bytes() -> int:
    """Memory that this process and its children may take now, in bytes: no more than their control groups leave."""
    # Here and not above: importing the data sets needs the standard library and NumPy only.
    import psutil

    return max(0, min([int(psutil.virtual_memory().available), *_left_by_groups()]))


def own_bytes() -> float:
    """Memory that ``ulimit -v`` and ``ulimit -d`` leave this process, in bytes; infinite without them."""
    try:
        import resource
    except ImportError:  # Windows
        return math.inf
    import psutil

    found = math.inf
    used = psutil.Process().memory_info()
    for which, taken in ((resource.RLIMIT_AS, used.vms), (resource.RLIMIT_DATA, getattr(used, "data", 0))):
        most = resource.getrlimit(which)[0]
        if most != resource.RLIM_INFINITY:
            found = min(found, max(0, most - taken))
    return found


def _left_by_groups() -> Iterator[int]:
    """What is left of each limit of a group that this process is in, and of those around it. Linux only."""
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError):
        for line in _OWN.read_text(encoding="utf-8").splitlines():
            _, controllers, name = line.split(":", 2)
            for kind in {"", "memory"} & set(controllers.split(",")):
                root, limit, use, begin = _GROUPS[kind]
                group = root / name.lstrip("/")
                # In a container the name may be that of the host, and the group be what is mounted.
                for folder in (group, *(each for each in group.parents if each.is_relative_to(root))):
                    with contextlib.suppress(OSError, ValueError):  # no such group, or "max"
                        lines = (folder / "memory.stat").read_text(encoding="ascii").splitlines()
                        stat = dict(each.split() for each in lines)
                        pages = sum(int(stat.get(f"{begin}{age}_file", 0)) for age in ("inactive", "active"))
                        taken = int((folder / use).read_text(encoding="ascii"))
                        yield int((folder / limit).read_text(encoding="ascii")) - max(0, taken - pages)


def require_memory(rule: str, shape: Sequence[int], *, item_bytes: int = 8, names: int = 0, beside: int = 0) -> None:
    """Refuse an array of this shape where three copies of it exceed the memory available now.

    ``names`` strings, and ``beside`` bytes, are added to the estimate.

    Raises:
        InputError: it does not fit; the message states the estimate and what is available.
    """
    needed = math.prod(shape) * item_bytes * COPIES + names * NAME_BYTES + beside
    available = min(available_bytes(), own_bytes())
    if needed > available:
        raise InputError(
            rule,
            got=f"{' x '.join(map(str, shape))} values, about {gigabytes(needed)} with working copies",
            expected=f"at most the {gigabytes(available)} of memory available",
            cure="Use fewer rows or columns, or a machine with more memory.",
        )


def gigabytes(count_bytes: float) -> str:
    """A number of bytes for people: ``1.2 GB``."""
    return f"{count_bytes / 1e9:.3g} GB"
