"""Files of earlier schemas load as what they were: nothing is lost that has a place, nothing invented that has none."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gradparity.cli.app import main
from gradparity.model_spec.errors import InputError
from gradparity.results import SCHEMA_VERSION, RunResult, store
from gradparity.results.old_schemas import UPGRADES, upgraded
from tests.samples import SAMPLES, SCHEMA_1
from tests.test_schema import complaints

OLD: dict[str, Any] = json.loads(SCHEMA_1.read_bytes())
NOW = next(path for path in SAMPLES if path.stem == "run")


def holds(new: Any, old: Any) -> bool:
    """Whether all of the old is in the new, which may have more fields."""
    return old.items() <= new.items() if isinstance(old, dict) else bool(new == old)


@pytest.fixture
def loaded() -> RunResult:
    return store.load(SCHEMA_1)


def test_the_fixture_is_of_the_first_schema_and_every_version_since_has_a_way_on():
    assert OLD["schema_version"] == 1
    assert sorted(UPGRADES) == list(range(1, SCHEMA_VERSION))


def test_reading_by_name_and_loading_by_path_give_the_same(loaded: RunResult):
    assert store.encode(store.read(str(SCHEMA_1))) == store.encode(loaded)


def test_what_the_first_schema_has_is_kept_as_it_was(loaded: RunResult):
    (old,), (new,) = OLD["problems"], loaded.problems
    now = json.loads(store.encode(loaded))["problems"][0]
    for name in ("findings", "training", "control", "troubles", "name", "digest", "rows", "spec", "truth", "reference"):
        if isinstance(old[name], list):
            pairs = list(zip(old[name], now[name][: len(old[name])], strict=True))
        else:
            pairs = [(old[name], now[name])]
        for before, after in pairs:
            assert holds(after, before), name
    assert new.threads == OLD["settings"]["threads"]
    assert loaded.settings == OLD["settings"]
    assert loaded.machine == OLD["machine"]
    assert loaded.complete


def test_a_timing_becomes_one_process_with_a_step(loaded: RunResult):
    for old, new in zip(OLD["problems"][0]["timings"], loaded.problems[0].timings, strict=True):
        assert (new.backend, new.import_s, new.first_call_s) == (old["backend"], old["import_s"], old["first_call_s"])
        assert new.step is not None
        assert new.step.step_ns is not None
        assert msgspec.to_builtins(new.step.blocks) == old["blocks"]
        assert new.step.step_ns.median == statistics.median(b["wall_ns"] / b["inner"] for b in old["blocks"])
        assert msgspec.to_builtins(new.step.ratio) == old["ratio"]
        assert new.step.speed == old["speed"]
        assert new.step.inner == [old["inner"]]
        assert new.import_resident_bytes == old["import_resident_bytes"]


def test_what_the_first_schema_did_not_have_is_empty_and_the_result_says_so(loaded: RunResult):
    (problem,) = loaded.problems
    for timing in problem.timings:
        assert timing.loop is timing.primal is timing.collected is timing.one_thread is None
        assert timing.peak_resident_bytes is timing.times_floor is None
        assert timing.builds == []
        assert [start.build_s for start in timing.starts] == [None]
        assert timing.step is not None
        assert timing.step.rounds == []
    assert problem.twin is problem.limits is problem.recommendation is problem.loop_control is None
    (said,) = loaded.left_out
    assert "of a file of schema 1" in said
    assert said in " ".join(str(loaded).split())


def test_the_choice_by_the_step_alone_is_kept_in_words_and_not_passed_for_one_by_total_time(loaded: RunResult):
    (told,) = [found for found in loaded.problems[0].diagnoses if found.name == "choice of schema 1"]
    for reason in OLD["problems"][0]["recommendation"]["reasons"]:
        assert reason in told.finding


def test_results_without_timings_have_nothing_left_out():
    untimed = {**OLD, "problems": [{**OLD["problems"][0], "timings": [], "recommendation": None}]}
    assert msgspec.convert(upgraded(untimed, 1), RunResult).left_out == []


def test_the_document_that_is_converted_stays_as_it_was():
    before = json.dumps(OLD)
    upgraded(OLD, 1)
    assert json.dumps(OLD) == before


def test_a_converted_result_is_valid_by_the_schema_of_today_and_loads_again(loaded: RunResult):
    assert complaints(json.loads(store.encode(loaded))) == []
    assert msgspec.json.decode(store.encode(loaded), type=RunResult) == loaded


def test_runs_of_both_schemas_are_compared(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr("sys.argv", ["gradparity", "compare", str(SCHEMA_1), str(NOW)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    out = capsys.readouterr().out
    lines = [line for line in out.splitlines() if line.startswith(("numpy", "autograd"))]
    assert len(lines) == 2
    assert all(" step " in line and "agrees" in line and "absent" not in line for line in lines), out


def shortened(document: Any) -> Any:
    """The document with two entries of each list of parts at most; lists of figures stay whole, as others count on."""
    if isinstance(document, dict):
        return {name: shortened(value) for name, value in document.items()}
    if not isinstance(document, list):
        return document
    return [shortened(each) for each in document[:2]] if isinstance(next(iter(document), None), dict) else document


def places(document: Any) -> Iterator[tuple[Any, Any]]:
    """Every container of a document with each of its keys."""
    for key in list(document) if isinstance(document, dict) else range(min(2, len(document))):
        yield document, key
        if isinstance(document[key], dict | list):
            yield from places(document[key])


def test_a_value_of_another_kind_anywhere_in_an_old_file_is_refused_in_words_or_has_no_part_in_it(tmp_path: Path):
    document, path = shortened(OLD), tmp_path / "results.json"
    for entries in (document["problems"][0][name] for name in ("timings", "findings", "training")):
        del entries[1:]  # every field of one is enough
    refused = accepted = 0
    for container, key in places(document):
        for other in (None, True, "words", [3], {"a": 1}):
            before, container[key] = container[key], other
            path.write_bytes(msgspec.json.encode(document))
            container[key] = before
            try:
                store.encode(store.read(str(path)))
                accepted += 1
            except InputError:
                refused += 1
    assert min(refused, accepted) > 100
