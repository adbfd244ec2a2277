"""Every raw block of the timing as a table, for who wants to do statistics of their own: ``blocks.parquet``."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradparity.benchmark.protocol import Block
from gradparity.benchmark.rounds import Round
from gradparity.benchmark.schedule import reference_first
from gradparity.model_spec.extras import installed
from gradparity.results import ProblemResult, RunResult, Timed, Timing
from gradparity.results.store import remove_file, replace_file

if TYPE_CHECKING:
    import polars as pl

#: Kinds of call, by the name of their field in a `Timing`.
CALLS = ("step", "loop", "primal", "collected", "communication")


def blocks_frame(result: RunResult) -> pl.DataFrame:
    """A row a block, in the order of the results.

    ``call`` is the kind of call: ``step``, ``loop``, ``primal`` (the loss alone), ``collected`` (the step with the
    garbage collector on) or ``communication`` (what ranks exchange in a step). A round is that of one ``challenger`` in
    one process ``pair``, and ``order`` is a block's place in it, 0 to 3. ``backend`` is who ran the block, in the
    ``role`` of ``challenger``, ``reference`` or ``twin``; in rounds of the last three kinds the reference is the same
    backend's step. ``inner`` is gradient steps in the block, or losses of ``primal``, and ``step_ns`` wall-clock
    nanoseconds of one. ``waited_ns`` is of a program that is asked. ``disturbed`` is of the whole round. Blocks outside
    any round have no ``pair``, ``round``, ``order``, ``challenger`` and ``disturbed``.
    """
    import polars as pl

    text, whole = pl.String, pl.Int64
    schema = {
        "problem": text, "digest": text, "formulation": text, "threads": whole, "dtype": text, "rows": whole,
        "call": text, "challenger": text, "pair": whole, "round": whole, "order": whole, "backend": text, "role": text,
        "inner": whole, "wall_ns": whole, "cpu_ns": whole, "step_ns": pl.Float64, "stolen_ns": whole,
        "waited_ns": whole, "minor_faults": whole, "context_switches": whole, "disturbed": pl.Boolean,
    }  # fmt: skip
    return pl.DataFrame(list(_rows(result)), schema=schema)


def write_blocks(result: RunResult, path: Path) -> bool:
    """Write the Parquet file whole or not at all; where nothing was timed, take away the one of an earlier run.

    Without Polars there is none either: ``results.json`` has the same blocks.

    Returns:
        Whether there is a file now.

    Raises:
        InputError: it cannot be written, or taken away.
    """
    if not has_blocks(result) or not installed("polars"):  # which a check has no need of
        remove_file(path)
        return False
    content = io.BytesIO()
    blocks_frame(result).write_parquet(content)
    replace_file(path, content.getvalue())
    return True


def has_blocks(result: RunResult) -> bool:
    """Whether anything was timed."""
    return next(_rows(result), None) is not None


def _rows(result: RunResult) -> Iterator[dict[str, Any]]:
    for problem in result.problems:
        shared = {
            "problem": problem.label,
            "digest": problem.digest,
            "formulation": problem.spec.get("formulation"),
            "threads": problem.threads,
            "dtype": problem.spec.get("dtype"),
            "rows": problem.rows,
        }
        for timing in problem.clocks:
            for call in CALLS:
                timed: Timed | None = getattr(timing, call)
                if timed is not None:
                    for row in _of_call(problem, timing, call, timed):
                        yield {**shared, "call": call, **row}


def _of_call(problem: ProblemResult, timing: Timing, call: str, timed: Timed) -> Iterator[dict[str, Any]]:
    """The blocks of one kind of call of one backend: those in turns, then those outside any round."""
    mine = timing.backend
    role = "twin" if timing is problem.twin else "challenger"
    reference = problem.reference if call in ("step", "loop") else mine
    for each in timed.rounds:
        yield from _of_round(each, mine, role, reference)
    alone = "reference" if role == "challenger" and mine == problem.reference else role
    for block in timed.blocks:
        yield {"backend": mine, "role": alone, **_figures(block)}


def _of_round(each: Round, challenger: str, role: str, reference: str) -> Iterator[dict[str, Any]]:
    shared = {"challenger": challenger, "pair": each.pair, "round": each.index, "disturbed": each.disturbed}
    outer, inner = (each.reference, each.challenger), (each.challenger, each.reference)
    first, second = outer if reference_first(each.pair, each.index) else inner
    for order, block in enumerate((first[0], second[0], second[1], first[1])):
        ours = (order in (0, 3)) == (first is each.reference)
        backend, played = (reference, "reference") if ours else (challenger, role)
        yield {**shared, "order": order, "backend": backend, "role": played, **_figures(block)}


def _figures(block: Block) -> dict[str, Any]:
    return {**vars(block), "step_ns": block.call_ns}
