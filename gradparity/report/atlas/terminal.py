"""The worst of an atlas on one screen."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from rich.console import Console

from gradparity.formatting import apart, large
from gradparity.report.facts.view import Cell, Column, Figures, tabulated
from gradparity.report.terminal.style import Shown
from gradparity.results.atlas import Atlas, Entry, Worst

#: Rows that are shown.
MOST = 20
_SAID = {"value": "value", "reverse": "derivative", "forward": "derivative, forward", "second": "second derivative"}


def worst_entries(atlas: Atlas, dtype: str = "float64") -> list[Entry]:
    """Of each function in each backend the worst quantity, the worst of them first.

    First what is not finite at an input of an ordinary size, then by the error that is felt at such.
    """
    worst: dict[tuple[str, str], Entry] = {}
    for entry in atlas.entries:
        key = re.split(r"[(,]", entry.function)[0], entry.backend
        if (
            entry.dtype == dtype
            and entry.off
            and shown_of(entry)
            and (key not in worst or _rank(entry) > _rank(worst[key]))
        ):
            worst[key] = entry
    return sorted(worst.values(), key=_rank, reverse=True)


def shown_of(entry: Entry) -> Worst | None:
    """The answer by which an entry is shown: one that is not finite, or the one that is felt most."""
    return entry.nonfinite_at or entry.ordinary


def _rank(entry: Entry) -> tuple[bool, float]:
    return entry.nonfinite_at is not None, (entry.ordinary.error if entry.ordinary else None) or 0.0


def print_atlas(console: Console, atlas: Atlas, out: str) -> None:
    """The worst entries, and what all of them come to."""
    found = worst_entries(atlas)[:MOST]
    columns: list[Column[Entry]] = [
        Column("function", lambda entry: Cell(entry.function)),
        Column("backend", lambda entry: Cell(entry.backend)),
        Column("quantity", lambda entry: Cell(_SAID[entry.quantity])),
        Column("at", lambda entry: Cell(_at(_shown(entry)))),
        Figures("true", lambda entry: Cell(_number(_shown(entry).truth))),
        Figures("given", lambda entry: Cell(_given(_shown(entry)))),
        Figures("relative", lambda entry: Cell(_error(_shown(entry).relative))),
        Figures("ulp", lambda entry: Cell(_error(_shown(entry).ulps))),
        Figures("off", lambda entry: Cell(f"{entry.off / entry.points:.0%}")),
    ]
    console.print(
        Shown(
            tabulated(
                "The worst in float64 at inputs from 0.001 to 1000, by error beside max(1, |true|)", found, columns
            )
        )
    )
    console.print(*_totals(atlas), sep="\n", style="dim")
    console.print(f"{out}/: atlas.json, atlas.parquet", style="dim", soft_wrap=True)


def _totals(atlas: Atlas) -> Iterator[str]:
    counted = ("points", "off", "zeros", "nonfinite", "overflow", "flushed", "unknown")
    total = {name: sum(getattr(entry, name) for entry in atlas.entries) for name in counted}
    yield (
        f"{atlas.functions} functions at {atlas.points:,} points: of {total['points']:,} answers {total['off']:,} are "
        f"beyond 8 floors, of these {total['zeros']:,} zero where the truth is not, {total['nonfinite']:,} not finite "
        f"where it is, {total['overflow']:,} wrong where it is beyond the dtype"
    )
    yield f"{total['flushed']:,} more are flushed to zero; not known, and not counted as right: {total['unknown']:,}"
    yield ", ".join(dict.fromkeys(atlas.versions.values()))


def _shown(entry: Entry) -> Any:
    return shown_of(entry)


def _at(worst: Worst) -> str:
    return f"{worst.x:.6g}" + ("" if worst.y is None else f", y = {worst.y:g}")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"


def _given(worst: Worst) -> str:
    """As many digits as show that it is another number."""
    if worst.got is None or worst.truth is None:
        return "not finite"
    return apart(worst.truth, worst.got)[1]


def _error(value: float | None) -> str:
    return "-" if value is None else f"{value:.1e}" if value < 1e-2 else large(value)
