"""Pieces of an evidence campaign: one after the other here, or as tasks of a Dask cluster, in the same order.

Workers import this package: those of a cluster elsewhere need the repository on their ``PYTHONPATH``.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

Found = TypeVar("Found")


def add_option(parser: argparse.ArgumentParser) -> None:
    """Let a campaign take the address of a cluster, as ``gradparity check`` does."""
    parser.add_argument(
        "--scheduler", help="tcp://host:port of a Dask scheduler, or local:N for N workers of this machine"
    )


def over(address: str | None, function: Callable[..., Found], pieces: Sequence[tuple[Any, ...]]) -> Iterator[Found]:
    """What a function of a module makes of the arguments in each piece, in their order."""
    if address is None:
        yield from (function(*piece) for piece in pieces)
        return
    from gradparity.runner.cluster import connected
    from gradparity.runner.observer import NullObserver
    from gradparity.runner.parsing import address as checked

    root = str(Path(__file__).parents[2])
    os.environ["PYTHONPATH"] = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    with connected(checked(address), NullObserver()) as client:
        futures = [client.submit(function, *piece, pure=False) for piece in pieces]
        began_s = time.monotonic()
        for place, future in enumerate(futures):
            yield future.result()
            took_s = time.monotonic() - began_s
            print(f"{place + 1} of {len(pieces)} pieces, {took_s:.0f} s", file=sys.stderr, flush=True)
