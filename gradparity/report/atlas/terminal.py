"""The worst of an atlas on one screen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from rich.console import Console

from gradparity.formatting import apart, large
from gradparity.report.facts.view import Cell, Column, Figures, Table, tabulated
from gradparity.report.terminal.style import Shown
from gradparity.results import GOOD
from gradparity.results.atlas import ARRAYS, PAGE_FILE, POINTS_FILE, SUMMARY_FILE, ArrayEntry, Atlas, Entry, Worst

#: Rows that are shown.
MOST = 20
MARK = "†"
MARKED = (
    f"{MARK} the formula, or its derivative rule, is gradparity's, made of that framework's functions: it has none, or "
    "one without some derivative"
)
SAID = {"value": "value", "reverse": "derivative", "forward": "derivative, forward", "second": "second derivative"}


def worst_entries(atlas: Atlas, dtype: str = "float64") -> list[Entry]:
    """Of each function in each backend the worst quantity, the worst of them first.

    First what is not finite at an input of an ordinary size, then by the error that is felt at such.
    """
    worst: dict[tuple[str, str], Entry] = {}
    for entry in atlas.entries:
        key = entry.function.partition("(")[0], entry.backend
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
    files = [PAGE_FILE, SUMMARY_FILE, *([POINTS_FILE] if atlas.functions else [])]
    if atlas.functions:
        console.print(Shown(worst_table(atlas)))
    if atlas.arrays:
        console.print(Shown(arrays_table(atlas)))
        files.append(f"{ARRAYS}/report.html")
    console.print(*totals(atlas), sep="\n", style="dim")
    console.print(f"{out}/: {', '.join(files)}", style="dim", soft_wrap=True)


def arrays_table(atlas: Atlas) -> Table:
    """A row for each function of whole arrays and backend: its quantity that is worst, where that is not good."""
    rows: dict[tuple[str, str], list[ArrayEntry]] = {}
    for each in atlas.arrays:
        if each.verdict not in GOOD:
            rows.setdefault((each.function, each.backend), []).append(each)
    found = sorted(rows.values(), key=lambda several: _severity(several[0]))
    columns: list[Column[list[ArrayEntry]]] = [
        Column("function", lambda each: Cell(each[0].function.partition(",")[0])),
        Column("backend", lambda each: Cell(marked(each[0]))),
        Column("verdict", lambda each: Cell(each[0].verdict)),
        Column("quantity", lambda each: Cell(SAID[each[0].quantity])),
        Column("at", lambda each: Cell(each[0].inputs)),
        Figures("true", lambda each: Cell(_number(each[0].truth), each[0].truth)),
        Figures("given", lambda each: Cell(_apart(each[0].truth, each[0].got), each[0].got)),
        Figures("relative", lambda each: Cell(_error(each[0].relative), each[0].relative)),
        Figures("more", lambda each: Cell(f"{len(each) - 1}", len(each) - 1)),
    ]
    words = "Functions of whole arrays, by shape, in float64: what does not agree, one quantity of each"
    return tabulated(words, [sorted(several, key=_severity) for several in found], columns)


def marked(entry: Entry | ArrayEntry) -> str:
    """The backend, with a mark where the function is gradparity's in it."""
    return f"{entry.backend} {MARK}" if entry.ours else entry.backend


def _severity(entry: ArrayEntry) -> tuple[int, float]:
    """The worst first: by the verdict, then by the error."""
    order = ("wrong", "nonfinite", "failed")
    return (order.index(entry.verdict) if entry.verdict in order else len(order)), -(entry.relative or 0.0)


def worst_table(atlas: Atlas) -> Table:
    """A row for each of the worst entries."""
    columns: list[Column[tuple[Entry, Worst]]] = [
        Column("function", lambda each: Cell(each[0].function)),
        Column("backend", lambda each: Cell(marked(each[0]))),
        Column("quantity", lambda each: Cell(SAID[each[0].quantity])),
        Figures("at", lambda each: Cell(f"{each[1].x:.6g}", each[1].x)),
        Figures("y", lambda each: Cell("" if each[1].y is None else f"{each[1].y:g}", each[1].y)),
        Figures("true", lambda each: Cell(_number(each[1].truth), each[1].truth)),
        Figures("given", lambda each: Cell(_given(each[1]), each[1].got)),
        Figures("relative", lambda each: Cell(_error(each[1].relative), each[1].relative)),
        Figures("ulp", lambda each: Cell(_error(each[1].ulps), each[1].ulps)),
        Figures("off", lambda each: Cell(f"{each[0].off / each[0].points:.0%}", each[0].off / each[0].points)),
    ]
    found = [(entry, shown) for entry in worst_entries(atlas)[:MOST] if (shown := shown_of(entry)) is not None]
    words = "The worst in float64 at inputs from 0.001 to 1000 and 0, by error over the larger of 1 and what is true"
    return tabulated(words, found, columns)


def totals(atlas: Atlas) -> Iterator[str]:
    """What all entries come to, and of which versions, a line each."""
    if atlas.functions:
        yield from _totals_of_numbers(atlas)
    if atlas.arrays:
        verdicts = Counter(each.verdict for each in atlas.arrays)
        inputs = len({(each.function, each.inputs) for each in atlas.arrays})
        functions = len({each.function.partition(",")[0] for each in atlas.arrays})
        said = ", ".join(f"{verdict}: {count:,}" for verdict, count in verdicts.most_common())
        yield f"functions of whole arrays: {functions}, at {inputs} inputs; blocks: {len(atlas.arrays):,}; {said}"
    if any(each.ours for each in atlas.entries) or any(each.ours for each in atlas.arrays):
        yield MARKED
    yield ", ".join(dict.fromkeys(each for said in atlas.versions.values() for each in said.split(", ")))


def _totals_of_numbers(atlas: Atlas) -> Iterator[str]:
    counted = ("points", "off", "zeros", "nonfinite", "overflow", "flushed", "unknown")
    total = {name: sum(getattr(entry, name) for entry in atlas.entries) for name in counted}
    yield (
        f"functions: {atlas.functions}, at {atlas.points:,} points; of {total['points']:,} answers {total['off']:,} "
        f"are beyond 8 floors, of these {total['zeros']:,} zero where the truth is not, {total['nonfinite']:,} not "
        f"finite where it is, {total['overflow']:,} wrong where it is beyond the dtype"
    )
    yield f"{total['flushed']:,} more are flushed to zero; not known, and not counted as right: {total['unknown']:,}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"


def _given(worst: Worst) -> str:
    """As many digits as show that it is another number."""
    return _apart(worst.truth, worst.got)


def _apart(truth: float | None, got: float | None) -> str:
    return "not finite" if got is None or truth is None else apart(truth, got)[1]


def _error(value: float | None) -> str:
    return "-" if value is None else f"{value:.1e}" if value < 1e-2 else large(value)
