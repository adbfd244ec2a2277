"""A ``results.json`` that is damaged, or never was one: an `InputError`, or a result of which every report is made."""

from __future__ import annotations

import copy
import io
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import strategies as st
from rich.console import Console

from gradparity.judge.speed.compare import compare_runs
from gradparity.model_spec.errors import InputError
from gradparity.report.blocks import blocks_frame
from gradparity.report.export import benchmarks
from gradparity.report.facts.overview import overview
from gradparity.report.frame import frame
from gradparity.report.markdown import MOST_CHARACTERS, markdown
from gradparity.report.notebook import html
from gradparity.report.page.assembly import first_screen, receipt, sections
from gradparity.report.page.render import packed
from gradparity.report.terminal.compare import print_comparison
from gradparity.report.terminal.first_screen import MOST_LINES, print_first_screen, print_one_line
from gradparity.report.terminal.tables import print_problem, text
from gradparity.results import RunResult
from gradparity.results.store import encode, read
from tests.fuzz.inputs import anything_or, fuzz, written_anew
from tests.samples import SAMPLES, SCHEMA_2

_FILES = (*SAMPLES, SCHEMA_2)
_SAMPLE = read(str(SAMPLES[1]))
_NOW = datetime(2026, 1, 1, tzinfo=UTC)


def narrow(result: RunResult) -> None:
    console = Console(file=io.StringIO(), width=80, markup=False, emoji=False, highlight=False)
    for problem in result.problems:
        print_problem(console, problem, brief=True)


def short(result: RunResult) -> None:
    out = io.StringIO()
    console = Console(file=out, width=80, markup=False, emoji=False, highlight=False)
    print_first_screen(console, overview(result), ["somewhere"])
    assert len(out.getvalue().splitlines()) <= MOST_LINES
    print_one_line(console, overview(result), "somewhere")


def page(result: RunResult) -> None:
    """All that the templates are given; they themselves take ten times as long."""
    first_screen(result)
    packed([plot.figure for section in sections(result) for panel in section.panels for plot in panel.plots])
    receipt(result)


def comment(result: RunResult) -> None:
    assert len(markdown(result)) <= MOST_CHARACTERS


def compared(result: RunResult) -> None:
    console = Console(file=io.StringIO(), width=120, markup=False, emoji=False, highlight=False)
    for old, new in ((result, _SAMPLE), (_SAMPLE, result), (result, result)):
        print_comparison(console, compare_runs(old, new))


RENDERERS: dict[str, Callable[[RunResult], object]] = {
    "str": text,
    "narrow": narrow,
    "html": html,
    "frame": frame,
    "first screen": short,
    "page": page,
    "comment": comment,
    "blocks": blocks_frame,
    "export": lambda result: benchmarks(result, _NOW),
    "json": encode,
    "compare": compared,
}


def render(read: tuple[RunResult, bytes]) -> None:
    """Two of the renderers, by the content: all of them would take a second for every ten inputs."""
    result, content = read
    names, chosen = list(RENDERERS), zlib.crc32(content)
    for name in {names[chosen % len(names)], names[chosen // len(names) % len(names)]}:
        RENDERERS[name](result)


@pytest.mark.parametrize("path", _FILES, ids=lambda path: path.stem)
def test_every_report_is_made_of_the_samples(path: Path):
    for make in RENDERERS.values():
        make(read(str(path)))


@pytest.mark.slow
def test_a_damaged_file_of_results_is_reported_or_refused_in_words(tmp_path: Path):
    _fuzz(tmp_path, "results.json, damaged", anything_or(*(path.read_bytes() for path in _FILES)))


#: What may stand in any place of a file of results.
_VALUES: list[Any] = [
    *(None, True, False, "", "agrees", "x" * 300, "\x1b[31m\x07", "größe", "[/]", "[bold]", "{", "%s"),
    *(0, 1, -1, 2, 3, 2**31, 2**53, 2**63 - 1, 2**63, 2**64 - 1, -(2**63), 10**30),
    *(0.0, -0.0, 0.5, -2.5, 1e-300, 5e-324, 1e300, -1e300, 1.5e308, 1e19),
    *([], {}, [None], [0], [1, 2], [""], ["a", "b"], [[]], [[1]], {"a": 1}, {"": None}, [{}], [["w", [2], "float64"]]),
]
_DOCUMENTS = [msgspec.json.decode(path.read_bytes()) for path in _FILES]


def _paths(at: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of everything in a document."""
    if path:
        yield path
    for key in at if isinstance(at, dict) else range(len(at)) if isinstance(at, list) else ():
        yield from _paths(at[key], (*path, key))


def _fields(document: Any) -> list[list[tuple[Any, ...]]]:
    """The paths field by field, so that one which comes a thousand times is changed no more often than another."""
    found: dict[tuple[Any, ...], list[tuple[Any, ...]]] = {}
    for path in _paths(document):
        found.setdefault(tuple("*" if isinstance(key, int) else key for key in path), []).append(path)
    return list(found.values())


_FIELDS = [_fields(document) for document in _DOCUMENTS]


def _reshaped(plan: bytes) -> bytes:
    """A file with some of its values, or whole parts, left out, emptied, or of another value or type."""
    which = plan[0] % len(_DOCUMENTS)
    document = copy.deepcopy(_DOCUMENTS[which])
    for begin in range(1, len(plan) - 5, 6):
        field, place = (
            int.from_bytes(plan[begin : begin + 2], "big"),
            int.from_bytes(plan[begin + 2 : begin + 4], "big"),
        )
        paths = _FIELDS[which][field % len(_FIELDS[which])]
        _change(document, paths[place % len(paths)], *plan[begin + 4 : begin + 6])
    return msgspec.json.encode(document)


def _change(document: Any, path: tuple[Any, ...], what: int, value: int) -> None:
    """Change what is there; nothing where an earlier change took it away."""
    parent = document
    for key in path[:-1]:
        if not _has(parent, key):
            return
        parent = parent[key]
    key = path[-1]
    if not _has(parent, key):
        return
    at = parent[key]
    of_its_type = [each for each in _VALUES if isinstance(each, int | float if isinstance(at, float) else type(at))]
    match what % 16:
        case 0:
            del parent[key]
        case 1:
            parent[key] = None
        case 2 | 3 | 4 | 5 if isinstance(at, dict | list):
            parent[key] = type(at)()
        case 6 if isinstance(at, int | float):
            parent[key] = at * [-1, 0, 1e-30, 1e30, 2**40][value % 5]
        case 7:
            parent[key] = copy.deepcopy(_VALUES[value % len(_VALUES)])
        case _ if of_its_type:
            parent[key] = copy.deepcopy(of_its_type[value % len(of_its_type)])


def _has(at: Any, key: Any) -> bool:
    return key in at if isinstance(at, dict) else isinstance(at, list) and isinstance(key, int) and key < len(at)


@pytest.mark.slow
def test_results_of_any_shape_are_reported_or_refused_in_words(tmp_path: Path):
    plans = st.binary(min_size=7, max_size=19)
    _fuzz(tmp_path, "results.json, of any shape", plans.map(_reshaped))


def _fuzz(folder: Path, target: str, files: st.SearchStrategy[bytes]) -> None:
    path = folder / "results.json"

    def read_anew(content: bytes) -> tuple[RunResult, bytes]:
        written_anew(path, content)
        return read(str(path)), content

    fuzz(target, files, read_anew, render, InputError)


@pytest.mark.parametrize("depth", [1_000, 100_000])
def test_a_file_nested_without_end_is_refused(depth: int, tmp_path: Path):
    path = tmp_path / "results.json"
    path.write_bytes(SAMPLES[0].read_bytes().replace(b'"settings":{', b'"settings":{"a":' + b"[" * depth + b",", 1))
    with pytest.raises(InputError, match="a file that is none"):
        read(str(path))


@pytest.mark.parametrize("step", [-1, 10**6, 2**62])
def test_a_training_run_that_records_a_step_it_has_no_loss_of_is_refused(step: int, tmp_path: Path):
    document = msgspec.json.decode(SAMPLES[0].read_bytes())
    document["problems"][0]["training"][0]["recorded_steps"] = [step]
    path = tmp_path / "results.json"
    path.write_bytes(msgspec.json.encode(document))
    with pytest.raises(InputError, match="a step without a loss"):
        read(str(path))
