"""Plotly's own script, packed for a page: plotly.js 4.1.1 (MIT), of the package ``plotly``, which has 64 MB beside it.

A test holds it to the package of ``constraints.txt``; of another one it is ``gzip.compress(script, 9, mtime=0)``.
"""

from __future__ import annotations

from base64 import b64encode
from functools import cache
from pathlib import Path

_PACKED = Path(__file__).parent / "assets" / "plotly.min.js.gz"
#: SHA-256 of the script, as the page's Content-Security-Policy names it.
HASH = "sha256-O24V1F27f8pb0glCkelh3cVHLNiHAJ5gCaVtq2aNch8="


@cache
def plotly() -> str:
    """The script, compressed and in base64: 2 MB in place of 5."""
    return b64encode(_PACKED.read_bytes()).decode()
