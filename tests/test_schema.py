"""The JSON Schema of results.json: what the package ships is what the code makes, and holds for what runs write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator

from gradparity.results import SCHEMA_VERSION, store
from gradparity.results.folder import SCHEMA_PATH, hold
from gradparity.results.schema import encoded
from tests.samples import SAMPLES, SCHEMA_2

SHIPPED: dict[str, Any] = json.loads(SCHEMA_PATH.read_bytes())
VALIDATOR = Draft202012Validator(SHIPPED)


def complaints(document: Any) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in VALIDATOR.iter_errors(document)]


def test_the_committed_schema_is_the_one_that_the_types_make():
    said = "make it again: python -m gradparity.results.schema > gradparity/results/results.schema.json"
    assert SCHEMA_PATH.read_bytes() == encoded(), said


def test_the_schema_is_a_valid_one_of_its_draft():
    Draft202012Validator.check_schema(SHIPPED)
    assert SHIPPED["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert SHIPPED["$id"].endswith(f":{SCHEMA_VERSION}")


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_results_of_real_runs_are_valid_as_they_lie_and_as_they_are_written_again(sample: Path):
    assert complaints(json.loads(sample.read_bytes())) == []
    assert complaints(json.loads(store.encode(store.read(sample)))) == []


def test_every_part_of_the_schema_has_a_title_and_a_description():
    parts = SHIPPED["$defs"]
    assert [name for name, part in parts.items() if not (part["title"] and part["description"])] == []


def test_a_field_is_described_by_the_sentence_of_the_docstring_that_names_it():
    fields = SHIPPED["$defs"]["Finding"]["properties"]
    assert fields["relative_error"]["description"] == (
        "``relative_error`` is over the block: largest error over largest true magnitude."
    )
    assert "description" not in fields["backend"]  # no docstring says more than its name does


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "another schema version": ({"schema_version": SCHEMA_VERSION + 1}, "$.schema_version"),
    "the schema before": (json.loads(SCHEMA_2.read_bytes()), "$.schema_version"),
    "a verdict that is none": (
        {"problems": [{"findings": [{"verdict": "fine"}]}]},
        "$.problems[0].findings[0].verdict",
    ),
    "a number in words": ({"problems": [{"rows": "four"}]}, "$.problems[0].rows"),
}


@pytest.mark.parametrize("change, path", WRONG.values(), ids=WRONG.keys())
def test_the_schema_refuses(change: dict[str, Any], path: str):
    document = {**json.loads(SAMPLES[0].read_bytes()), **change}
    assert [said for said in complaints(document) if said.startswith(f"{path}: ")]


def test_fields_of_later_versions_are_allowed_as_readers_are_told_to_expect_them():
    document = json.loads(SAMPLES[0].read_bytes())
    document["later"] = document["problems"][0]["later"] = 1
    assert complaints(document) == []
    assert msgspec.json.decode(json.dumps(document), type=store.RunResult).problems


def test_an_output_folder_has_the_schema_beside_its_results(tmp_path: Path):
    folder, there = tmp_path / "out", tmp_path / "out" / "results.schema.json"
    with hold(str(folder), "check"):
        assert there.read_bytes() == SCHEMA_PATH.read_bytes()
    there.write_text('{"$id": "urn:gradparity:results:1"}')
    with hold(str(folder), "check"):
        assert there.read_bytes() == SCHEMA_PATH.read_bytes()
    assert sorted(path.name for path in folder.iterdir()) == ["logs", "results.schema.json"]
