"""Plotly's own script, packed for a page. The package is not imported: it would bring its whole figure machinery."""

from __future__ import annotations

import gzip
from base64 import b64encode
from functools import cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from threading import Lock

from gradparity.threads import Thread

_LOCK = Lock()


def plotly() -> tuple[str, str]:
    """The script, compressed and in base64 (2 MB in place of 5), and the hash of what it is before.

    Raises:
        FileNotFoundError: the ``plotly`` package lacks its script.
    """
    with _LOCK:
        return _plotly()


def prepare() -> None:
    """Pack it on a thread, which takes 0.1 s, while the caller waits for something else."""
    Thread(target=_try, daemon=True).start()


def _try() -> None:
    try:
        plotly()
    except FileNotFoundError:
        return  # who needs it is told


@cache
def _plotly() -> tuple[str, str]:
    found = find_spec("plotly")
    if found is None or found.origin is None:
        raise FileNotFoundError("the plotly package is missing: pip install plotly")
    content = (Path(found.origin).parent / "package_data" / "plotly.min.js").read_bytes()
    packed = gzip.compress(content, compresslevel=1, mtime=0)
    return b64encode(packed).decode(), f"sha256-{b64encode(sha256(content).digest()).decode()}"
