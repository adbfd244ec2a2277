"""A file of the schema before loads as what it was, with today's names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gradparity.model_spec.errors import InputError
from gradparity.results import SCHEMA_VERSION, RunResult, store
from gradparity.results.old_schemas import OLDEST, from_2
from gradparity.runner.record import go_on
from tests.conftest import Command
from tests.samples import SCHEMA_2
from tests.test_schema import complaints

OLD: dict[str, Any] = json.loads(SCHEMA_2.read_bytes())


@pytest.fixture
def loaded() -> RunResult:
    return store.read(SCHEMA_2)


def _known_to(old: Any, new: Any) -> Any:
    """The part of what is new that an old document has fields for; later ones have their defaults."""
    if isinstance(old, dict) and isinstance(new, dict):
        return {name: _known_to(old[name], value) for name, value in new.items() if name in old}
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [_known_to(*pair) for pair in zip(old, new, strict=True)]
    return new


def test_every_field_is_kept_as_it_was_under_its_name_of_today(loaded: RunResult):
    assert OLD["schema_version"] == OLDEST == SCHEMA_VERSION - 1
    new = json.loads(store.encode(loaded))
    (old_problem,), (new_problem,) = OLD["problems"], new["problems"]
    divergences = new_problem.pop("divergences")
    assert divergences.pop("lines") == []
    assert divergences == old_problem["partings"]
    assert old_problem["partings"]["found"]
    of_today = json.loads(json.dumps(old_problem).replace('"parts at ', '"diverges at '))
    assert of_today != old_problem
    of_today.pop("partings")
    assert _known_to(of_today, new_problem) == of_today
    assert new.pop("sessions") == OLD["sittings"]
    assert len(OLD["sittings"]) == 2
    left = {"problems", "sittings", "schema_version"}
    old = {name: OLD[name] for name in OLD if name not in left}
    assert {name: new[name] for name in old} == old


def test_a_converted_result_is_valid_by_the_schema_of_today_and_loads_again(loaded: RunResult):
    assert complaints(json.loads(store.encode(loaded))) == []
    assert msgspec.json.decode(store.encode(loaded), type=RunResult) == store.read(str(SCHEMA_2))


def test_the_document_that_is_converted_stays_as_it_was():
    before = json.dumps(OLD)
    from_2(OLD)
    assert json.dumps(OLD) == before


def test_runs_of_both_schemas_are_compared(loaded: RunResult, tmp_path: Path, command: Command):
    store.save(loaded, tmp_path)
    code, out, _ = command("compare", str(SCHEMA_2), str(tmp_path))
    assert code == 0
    lines = [line for line in out.splitlines() if line.startswith(("autograd", "torch"))]
    assert len(lines) == 4  # step and loop of both
    assert all("1.00x" in line and "absent" not in line for line in lines), out


def test_a_run_goes_on_where_an_earlier_version_was_interrupted(loaded: RunResult, tmp_path: Path):
    (tmp_path / store.RESULTS_FILE).write_bytes(SCHEMA_2.read_bytes())
    new = msgspec.structs.replace(loaded, sessions=[], problems=[])
    assert go_on(new, tmp_path) == loaded.problems
    assert new.sessions == loaded.sessions
    assert new.schema_version == SCHEMA_VERSION


@pytest.mark.parametrize(
    "change",
    [{"sittings": 3}, {"problems": 3}, {"problems": [3]}, {"problems": [{**OLD["problems"][0], "partings": "words"}]}],
    ids=["sessions", "problems", "a problem", "divergences"],
)
def test_what_is_not_of_the_schema_is_refused_in_words(change: dict[str, Any], tmp_path: Path):
    path = tmp_path / store.RESULTS_FILE
    path.write_bytes(msgspec.json.encode({**OLD, **change}))
    with pytest.raises(InputError, match="a file that is none"):
        store.read(str(path))
