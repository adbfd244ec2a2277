"""Raw blocks as Parquet: nothing is lost, nothing is there twice, and the figures of results.json follow from them."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from typing import Any

import polars as pl
import pytest

from gradparity.model_spec.errors import InputError
from gradparity.report.blocks import blocks_frame, write_blocks
from gradparity.results import RunResult, Timed, store
from gradparity.results.folder import BLOCKS_FILE
from gradparity.worker import messages as m
from tests.conftest import python
from tests.samples import SAMPLES, SCHEMA_2
from tests.simulated_workers import STILL, Computer, Speed, clocked

TIMED = [path for path in SAMPLES if path.stem in ("run", "bench")]


def every_timed(result: RunResult) -> dict[tuple[str, str, str], Timed]:
    """Everything that was timed, by problem, backend (the twin's too) and kind of call."""
    return {
        (problem.label, timing.backend, call): timed
        for problem in result.problems
        for timing in [*problem.timings, *([problem.twin] if problem.twin else [])]
        for call in ("step", "loop", "primal", "collected")
        if (timed := getattr(timing, call)) is not None
    }


def blocks_in(document: Any) -> int:
    """How many blocks the document of timings has, by their shape alone."""
    if isinstance(document, dict):
        return ("minor_faults" in document) + sum(map(blocks_in, document.values()))
    return sum(map(blocks_in, document)) if isinstance(document, list) else 0


@pytest.mark.parametrize("sample", TIMED, ids=lambda path: path.stem)
def test_medians_from_parquet_are_those_in_results_json(sample: Path, tmp_path: Path):
    result = store.read(sample)
    assert write_blocks(result, tmp_path / BLOCKS_FILE)
    table = pl.read_parquet(tmp_path / BLOCKS_FILE)
    seen = 0
    for (problem, backend, call), timed in every_timed(result).items():
        mine = table.filter(problem=problem, backend=backend, call=call)
        if call in ("primal", "collected"):  # its own step takes turns with it
            mine = mine.filter(role="challenger")
        assert median(mine["wall_ns"] / mine["inner"]) == timed.step_ns.median
        assert median(mine["step_ns"]) == timed.step_ns.median
        assert len(mine) == timed.step_ns.count
        seen += 1
    assert seen >= 6


@pytest.mark.parametrize("sample", [*TIMED, SCHEMA_2], ids=lambda path: path.stem)
def test_every_block_of_the_timings_is_one_row(sample: Path):
    problems = json.loads(sample.read_bytes())["problems"]
    expected = sum(blocks_in([problem["timings"], problem.get("twin")]) for problem in problems)
    assert blocks_frame(store.read(sample)).height == expected > 0


def test_a_file_read_again_is_the_frame_that_was_written(tmp_path: Path):
    result = store.read(TIMED[0])
    write_blocks(result, tmp_path / BLOCKS_FILE)
    assert pl.read_parquet(tmp_path / BLOCKS_FILE).equals(blocks_frame(result))
    assert [path.name for path in tmp_path.iterdir()] == [BLOCKS_FILE]


def test_the_order_in_a_round_is_the_order_in_which_the_workers_were_asked(tmp_path: Path):
    computer = Computer(STILL, {"numpy": Speed(step_s=1e-3), "jax": Speed(step_s=2e-3)})
    run = clocked(computer, tmp_path, profile="quick")
    asked = [name for name, request in computer.asked if isinstance(request, m.Sample) and request.call == "step"]
    steps = blocks_frame(run.result).filter(call="step").sort("pair", "round", "order")
    for challenger, role in (("jax", "challenger"), ("numpy~twin", "twin")):
        mine = steps.filter(challenger=challenger)
        in_turns = [name for index in range(0, len(asked), 4) if challenger in (four := asked[index : index + 4])
                    for name in four]  # fmt: skip
        assert mine["backend"].to_list() == in_turns[: mine.height]
        assert mine.height >= 16  # so that both orders are there
        assert set(mine["role"]) == {"reference", role}


def test_rows_say_what_was_timed_and_how():
    result = store.read(TIMED[1])
    table = blocks_frame(result)
    assert set(table["call"]) == {"step", "loop", "primal", "collected"}
    rounds = table.filter(pl.col("round").is_not_null()).group_by("call", "challenger", "pair", "round").len()
    assert set(rounds["len"]) == {4}
    assert set(table["formulation"]) == {"as_written"}
    assert set(table["problem"]) == {"4x3x2"}
    disturbed = sum(each.disturbed for timed in every_timed(result).values() for each in timed.rounds)
    assert table["disturbed"].sum() == 4 * disturbed


def test_without_timings_nothing_is_written_and_an_older_file_goes(tmp_path: Path):
    stale = tmp_path / BLOCKS_FILE
    stale.write_bytes(b"of an earlier run")
    broken = store.read(next(path for path in SAMPLES if path.stem == "broken"))
    assert not write_blocks(broken, stale)
    assert not write_blocks(broken, stale)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_replaced_leaves_nothing_half_written(tmp_path: Path):
    (tmp_path / BLOCKS_FILE).mkdir()
    with pytest.raises(InputError, match="Is a directory"):
        write_blocks(store.read(TIMED[0]), tmp_path / BLOCKS_FILE)
    assert [path.name for path in tmp_path.iterdir()] == [BLOCKS_FILE]


WITHOUT_POLARS = """
import sys
from pathlib import Path
from gradparity.results import store
from gradparity.report.blocks import write_blocks
assert not write_blocks(store.read(Path(sys.argv[1])), Path(sys.argv[2]))
assert "polars" not in sys.modules
"""


def test_a_run_without_timings_does_not_wait_for_polars(tmp_path: Path):
    broken = next(path for path in SAMPLES if path.stem == "broken")
    ran = python("-P", "-c", WITHOUT_POLARS, str(broken), str(tmp_path / BLOCKS_FILE))
    assert ran.returncode == 0, ran.stderr
