"""Results as a Polars data frame: a row for every finding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gradparity.model_spec.extras import require

if TYPE_CHECKING:
    import polars as pl

    from gradparity.results import RunResult


def frame(result: RunResult) -> pl.DataFrame:
    """Every finding of every problem; the index of the worst entry as text, since blocks differ in dimensions.

    Raises:
        InputError: Polars is not installed.
    """
    require("polars", "to_frame()")
    import polars as pl

    text, number = pl.String, pl.Float64
    schema = {
        "problem": text, "backend": text, "quantity": text, "parameter": text, "verdict": text, "rule": text,
        "cause": text, "absolute_error": number, "relative_error": number, "error_ulps": number, "floor_ulps": number,
        "floors": number, "worst_index": text, "got": number, "truth": number,
    }  # fmt: skip
    rows = [
        {
            "problem": problem.label,
            **msgspec.structs.asdict(found),
            "worst_index": ", ".join(map(str, found.worst_index)),
        }
        for problem in result.problems
        for found in problem.findings
    ]
    return pl.DataFrame(rows, schema=schema)
