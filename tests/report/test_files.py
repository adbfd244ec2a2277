"""The files of a report, and the command that writes them again."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradparity.model_spec.errors import InputError
from gradparity.report.files import write_reports
from gradparity.results import store
from tests.conftest import Command
from tests.report.samples import samples
from tests.samples import SAMPLES, SCHEMA_2

TIMED, _, OFF, _ = SAMPLES  # run, bench, broken, ported


def test_all_are_written_and_a_check_leaves_no_blocks_of_an_earlier_run(tmp_path: Path):
    names = ["report.html", "report.md", "blocks.parquet"]
    assert write_reports(store.read(TIMED), tmp_path) == names
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    assert write_reports(samples()["checked"], tmp_path) == names[:2]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names[:2])


def test_a_folder_that_is_gone_is_made_again_and_one_that_cannot_be_is_said_in_words(tmp_path: Path):
    assert write_reports(samples()["one"], tmp_path / "gone")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="Not a directory"):
        write_reports(samples()["one"], tmp_path / "file" / "gone")


def test_the_command_writes_them_where_it_is_told_and_ends_as_the_run_did(tmp_path: Path, command: Command):
    again = tmp_path / "again"
    code, out, _ = command("report", str(OFF), "--out", str(again))
    assert code == 1
    assert out.lstrip().startswith("✗ ")
    assert len(out.splitlines()) <= 40
    assert {path.name for path in again.iterdir()} == {"report.html", "report.md"}
    write_reports(store.read(OFF), tmp_path)
    assert (again / "report.md").read_text() == (tmp_path / "report.md").read_text()


def test_a_file_of_an_old_schema_has_a_report_too(tmp_path: Path, command: Command):
    code, out, err = command("report", str(SCHEMA_2), "--out", str(tmp_path), "--quiet")
    assert code == 1, err  # torch was wrong
    assert len(out.splitlines()) == 1
    assert (tmp_path / "report.html").exists()


def test_the_results_of_a_folder_are_found_and_json_is_nothing_else(tmp_path: Path, command: Command):
    (tmp_path / "results.json").write_bytes(TIMED.read_bytes())
    code, out, _ = command("report", str(tmp_path), "--json")
    assert code == 0
    assert store.encode(store.read(TIMED)) == out.encode().rstrip(b"\n")
    assert "Errors in noise floors" in command("report", str(tmp_path), "--verbose")[1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nowhere",), "No such file or directory"),
        ((str(Path(__file__)),), "a file that is none"),
        ((str(TIMED), "--quiet", "--verbose"), "--verbose: got --quiet beside it"),
        ((str(TIMED), "--json", "--quiet"), "--quiet: got --json beside it"),
        ((str(TIMED), "--out", str(Path(__file__))), "--out: got"),
    ],
)
def test_what_is_at_fault_is_one_line(words: tuple[str, ...], said: str, command: Command):
    code, out, err = command("report", *words)
    assert (code, err.count("\n")) == (2, 1)
    assert bool(out) is ("--json" in words)  # a fault is a document there too
    assert said in err
