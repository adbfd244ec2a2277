"""What the answers of an atlas come to, entry by entry, and what is answered where there is no derivative."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gradparity.results.atlas import OURS, ArrayEntry, Atlas, Convention, Entry, NotGiven, Worst
from gradparity.version import __version__

if TYPE_CHECKING:
    import polars as pl

#: Inputs of an ordinary size, zero among them.
ORDINARY = (1e-3, 1e3)
#: Places of one function that are told of, those nearest to zero.
MOST_PLACES = 4
_ENTRY = ["function", "backend", "dtype", "quantity"]
#: Below it a dtype has fewer digits, and a relative error says little.
_TINY = {dtype: float(np.finfo(dtype).tiny) for dtype in ("float64", "float32")}
#: Answers with an error that has a size.
_MEASURED = ("right", "off", "zero")


def summary(frame: pl.DataFrame, versions: Mapping[str, str], arrays: Sequence[ArrayEntry] = ()) -> Atlas:
    """The record of an atlas.

    Args:
        frame: its rows, as `gradparity.results.atlas.COLUMNS` has them.
        versions: of each backend.
        arrays: what was found of functions of whole arrays.
    """
    import polars as pl

    given = frame.filter(pl.col("status") != "not given")
    places = given.select("function", "dtype", "x", "y").unique()
    not_given = frame.filter((pl.col("status") == "not given") & (pl.col("note") != ""))
    return Atlas(
        gradparity_version=__version__,
        versions={name: said.partition(" (")[0] for name, said in versions.items()},
        functions=given["function"].n_unique(),
        points=len(places),
        answers=len(given),
        entries=_entries(given),
        conventions=_conventions(given),
        not_given=[
            NotGiven(*row)
            for row in not_given.select("function", "backend", "quantity", "note")
            .unique(maintain_order=True)
            .iter_rows()
        ],
        arrays=[*arrays],
    )


def _entries(given: pl.DataFrame) -> list[Entry]:
    import polars as pl

    def count(*statuses: str) -> pl.Expr:
        return pl.col("status").is_in(statuses).sum()

    judged = ("right", "off", "zero", "flushed", "nonfinite", "overflow")
    counts = given.group_by(_ENTRY, maintain_order=True).agg(
        points=count(*judged), off=count("off", "zero", "nonfinite", "overflow"), zeros=count("zero"),
        unknown=(pl.col("point") == "unknown").sum(), ours=(pl.col("note") == OURS).any(),
        **{name: count(name) for name in ("flushed", "nonfinite", "overflow")},
    )  # fmt: skip
    measured = given.filter(pl.col("status").is_in(_MEASURED))
    ordinary = pl.lit(value=True)
    for axis in (pl.col("x"), pl.col("y").fill_null(0.0)):
        ordinary &= (axis == 0) | axis.abs().is_between(*ORDINARY)
    whole = pl.col("truth").abs() >= pl.when(pl.col("dtype") == "float64").then(_TINY["float64"]).otherwise(
        _TINY["float32"]
    )
    worst = {"ulps": _worst(measured, "ulps"), "relative": _worst(measured.filter(whole), "relative")}
    worst["felt"] = _worst(measured, "felt")
    worst["ordinary"] = _worst(measured.filter(ordinary & (pl.col("status") != "right")), "felt")
    worst["nonfinite_at"] = _worst(given.filter(ordinary & (pl.col("status") == "nonfinite")), "felt")
    entries = []
    for row in counts.iter_rows(named=True):
        key = tuple(row[each] for each in _ENTRY)
        row |= {name: found.get(key) for name, found in worst.items()}
        entries.append(Entry(**row))
    return entries


def _worst(rows: pl.DataFrame, measure: str) -> dict[tuple[Any, ...], Worst]:
    """The largest of each entry by a measure; of those that are alike the one at the smallest input."""
    import polars as pl

    first = (
        rows.sort([measure, pl.col("x").abs()], descending=[True, False]).group_by(_ENTRY, maintain_order=True).first()
    )
    return {
        tuple(row[each] for each in _ENTRY): Worst(
            *(_finite(row[each]) for each in (measure, "x", "y", "truth", "got", "relative", "ulps"))
        )
        for row in first.iter_rows(named=True)
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _conventions(given: pl.DataFrame) -> list[Convention]:
    """Derivatives in float64 where there are two one-sided ones, or none that is finite: of each function a few."""
    import polars as pl

    rows = given.filter(
        ((pl.col("point") == "kink") | ((pl.col("point") == "edge") & pl.col("y").is_null()))
        & (pl.col("dtype") == "float64")
        & (pl.col("quantity") != "value")
    ).sort(pl.col("x").abs(), pl.col("y").abs(), maintain_order=True)
    found: dict[str, list[Convention]] = {}
    for (function, x, y), part in rows.group_by("function", "x", "y", maintain_order=True):
        several = found.setdefault(str(function), [])
        firsts = part.filter(pl.col("quantity") != "second")
        same = firsts["truth"].append(firsts["left"]).append(firsts["got"]).n_unique() == 1
        if len(several) == MOST_PLACES or (same and several):  # both slopes, and all answers
            continue
        answers: dict[str, str] = {}
        for backend, each in part.group_by("backend", maintain_order=True):
            answers[str(backend[0])] = _said(dict(each.select("quantity", "got").iter_rows()))
        slopes = _slopes(firsts.row(0, named=True))
        several.append(
            Convention(function=str(function), x=x, y=y, point=part["point"][0], slopes=slopes, answers=answers)
        )
    return [each for function in sorted(found) for each in found[function]]


def _slopes(sides: Mapping[str, Any]) -> str:
    if sides["point"] == "edge":
        return "none finite"
    return " and ".join(
        "none finite" if math.isnan(sides[side]) else f"{sides[side]:.4g}" for side in ("left", "truth")
    )


def _said(by: Mapping[str, float]) -> str:
    """Reverse mode, forward mode where that is another, and the second derivative."""
    reverse, forward, second = (f"{by[each]:.4g}" if each in by else "-" for each in ("reverse", "forward", "second"))
    first = reverse if reverse == forward else f"{reverse} (forward {forward})"
    return f"{first}; {second}"
