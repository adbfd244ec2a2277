"""``atlas.html``: the worst entries, all of them to sort, filter and draw, and the conventions at kinks; one file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from gradparity.report.atlas.terminal import MARK, SAID, arrays_table, marked, totals, worst_table
from gradparity.report.facts.view import Cell, Column, Table, tabulated
from gradparity.report.page.render import asset, hash_of, packed, template
from gradparity.results.atlas import Atlas, Convention, Entry

if TYPE_CHECKING:
    import polars as pl

#: What stands for an error that has no size, and the least that is told apart: hundredths of a power of ten, in ulps.
_NOT_FINITE, _LEAST = 9999, -100
_HEADS = (
    "function",
    "backend",
    "dtype",
    "quantity",
    "relative",
    "ulp",
    "at",
    "y",
    "true",
    "given",
    "off",
    "not finite",
)


def page(frame: pl.DataFrame, atlas: Atlas) -> str:
    """The whole page."""
    scripts = [asset("page.js"), asset("atlas.js")]
    labels = list(dict.fromkeys(entry.function for entry in atlas.entries))
    return template("atlas.html").render(
        atlas=atlas,
        lines=[*totals(atlas), "Read it as docs/explanation/atlas.md says."],
        worst=worst_table(atlas),
        arrays=arrays_table(atlas) if atlas.arrays else None,
        conventions=_conventions(atlas),
        backends=[(name, name) for name in atlas.versions],
        dtypes=[(name, name) for name in ("float64", "float32")],
        quantities=list(SAID.items()),
        ranges=[("near", "-40 to 40"), ("wide", "-1000 to 1000"), ("all", "all numbers")],
        style=Markup(asset("page.css")),  # noqa: S704  # packaged
        scripts=[Markup(script) for script in scripts],  # noqa: S704  # packaged
        script_hashes=[*map(hash_of, scripts)],
        answers=packed({
            "heads": _HEADS,
            "mark": MARK,
            "backends": list(atlas.versions),
            "entries": [_row(entry, labels) for entry in atlas.entries],
            "functions": _functions(frame, labels),
        }),
    )  # fmt: skip


def _row(entry: Entry, labels: list[str]) -> list[Any]:
    worst = entry.relative
    figures: list[Any] = ["", "", "", "", "", ""]
    if worst is not None:
        held = "" if worst.y is None else worst.y
        figures = [worst.relative, worst.ulps, worst.x, held, worst.truth, worst.got]
    return [
        labels.index(entry.function), marked(entry), entry.dtype, entry.quantity, *figures,
        round(entry.off / entry.points, 4) if entry.points else 0, entry.nonfinite,
    ]  # fmt: skip


def _functions(frame: pl.DataFrame, labels: list[str]) -> list[dict[str, Any]]:
    """By dtype the inputs of each function, and the errors of every backend's quantities at these."""
    import polars as pl

    hundredths = (100 * pl.col("ulps").log10()).clip(_LEAST, _NOT_FINITE - 1).round().cast(pl.Int32, strict=False)
    rows = frame.filter(pl.col("status") != "not given").with_columns(
        code=pl.when(pl.col("status").is_in(("nonfinite", "overflow"))).then(_NOT_FINITE)
        .when(pl.col("status") == "unjudged").then(None)
        .otherwise(hundredths),
        x=pl.col("x").round_sig_figs(7), y=pl.col("y").round_sig_figs(7),
    )  # fmt: skip
    found: dict[str, dict[str, Any]] = {label: {} for label in labels}
    for (label, dtype, backend, quantity), part in rows.group_by(
        "function", "dtype", "backend", "quantity", maintain_order=True
    ):
        held = None if part["y"].null_count() else part["y"].to_list()
        series = found[str(label)].setdefault(str(dtype), {"x": part["x"].to_list(), "y": held, "errors": {}})
        series["errors"][f"{backend} {quantity}"] = part["code"].to_list()
    return [{"label": label, "series": series} for label, series in found.items()]


def _conventions(atlas: Atlas) -> Table:
    def said(backend: str) -> Column[Convention]:
        return Column(backend, lambda each: Cell(each.answers.get(backend, "-")))

    backends = dict.fromkeys(name for each in atlas.conventions for name in each.answers)
    columns: list[Column[Convention]] = [
        Column("function", lambda each: Cell(each.function)),
        Column("at", lambda each: Cell(f"{each.x:.6g}" + ("" if each.y is None else f", y = {each.y:g}"), each.x)),
        Column("slopes", lambda each: Cell(each.slopes)),
        *map(said, backends),
    ]
    return tabulated("Conventions", atlas.conventions, columns)
