"""The files of a report, and the command that writes them again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gradparity.model_spec.errors import InputError
from gradparity.report.files import write_reports
from gradparity.results import store
from tests.report.samples import samples
from tests.samples import SAMPLES, SCHEMA_2

TIMED, _, OFF, _ = SAMPLES  # run, bench, broken, ported


def report(*words: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "FORCE_COLOR"}
    command = [sys.executable, "-P", "-m", "gradparity", "report", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)


def test_all_are_written_and_a_check_leaves_no_blocks_of_an_earlier_run(tmp_path: Path):
    names = ["report.html", "report.md", "blocks.parquet"]
    assert write_reports(store.read(TIMED), tmp_path) == names
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    assert write_reports(samples()["checked"], tmp_path) == names[:2]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names[:2])


def test_a_folder_that_is_gone_is_said_in_words(tmp_path: Path):
    with pytest.raises(InputError, match="No such file or directory"):
        write_reports(samples()["one"], tmp_path / "gone")


def test_the_command_writes_them_where_it_is_told_and_ends_as_the_run_did(tmp_path: Path):
    ran = report(str(OFF), "--out", str(tmp_path / "again"))
    assert ran.returncode == 1
    assert ran.stdout.lstrip().startswith("✗ ")
    assert len(ran.stdout.splitlines()) <= 40
    assert {path.name for path in (tmp_path / "again").iterdir()} == {"report.html", "report.md"}
    assert (tmp_path / "again" / "report.md").read_text() == write_and_read(OFF, tmp_path)


def write_and_read(path: Path, folder: Path) -> str:
    write_reports(store.read(path), folder)
    return (folder / "report.md").read_text()


def test_a_file_of_an_old_schema_has_a_report_too(tmp_path: Path):
    ran = report(str(SCHEMA_2), "--out", str(tmp_path), "--quiet")
    assert ran.returncode == 1, ran.stderr  # torch was wrong
    assert len(ran.stdout.splitlines()) == 1
    assert (tmp_path / "report.html").exists()


def test_the_results_of_a_folder_are_found_and_json_is_nothing_else(tmp_path: Path):
    (tmp_path / "results.json").write_bytes(TIMED.read_bytes())
    ran = report(str(tmp_path), "--json")
    assert ran.returncode == 0
    assert store.encode(store.read(TIMED)) == ran.stdout.encode().rstrip(b"\n")
    assert "Errors in noise floors" in report(str(tmp_path), "--verbose").stdout


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
def test_what_is_at_fault_is_one_line(words: tuple[str, ...], said: str):
    ran = report(*words)
    assert ran.returncode == 2
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr
    assert ran.stdout == ""
