"""Streams that are closed, full or of few characters; and a fault of gradparity's own, which is no disagreement."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gradparity.cli import app as cli
from gradparity.cli.app import ExitCode
from gradparity.results import store
from tests.samples import SAMPLES

AGREES = next(path for path in SAMPLES if store.read(path).ok)
FULL = Path("/dev/full")


def shell(script: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """What a line of shell gives in which ``$G`` is the command."""
    variables = {"G": f"{sys.executable} -m gradparity", "S": str(AGREES)} | environment  # HOME is set for all here
    return subprocess.run(
        ["/bin/bash", "-c", script], cwd=cwd, env={**os.environ, **variables}, capture_output=True, check=False
    )


@pytest.mark.parametrize(
    "environment", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}]
)
def test_an_encoding_without_our_marks_has_others_in_their_place(tmp_path: Path, environment: dict[str, str]):
    ran = shell("$G report $S --out there", tmp_path, **environment)
    assert ran.returncode == 0
    assert ran.stderr == b""
    assert "+ " in ran.stdout.decode("ascii")


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("$G report $S --out there >&-", 0),
        ("$G report $S --out there 2>&-", 0),
        ("$G report $S --out there 2>/dev/full", 0),
        ("$G report $S --out there --json | head -c 1 > /dev/null; exit ${PIPESTATUS[0]}", 0),
        ("$G report $S --out there --verbose | true; exit ${PIPESTATUS[0]}", 0),
        ("$G report $S --out there > /dev/full", 4),
        ("$G report $S --out there --json > /dev/full", 4),
    ],
)
@pytest.mark.skipif(not FULL.exists(), reason="a system without /dev/full")
def test_a_stream_that_takes_nothing_is_no_verdict_and_no_traceback(tmp_path: Path, script: str, code: int):
    ran = shell(script, tmp_path)
    assert ran.returncode == code
    assert (tmp_path / "there" / "report.md").is_file()
    if code:
        assert ran.stderr == b"gradparity: standard output could not be written: No space left on device.\n"
    else:
        assert ran.stderr == b""


@pytest.mark.skipif(not FULL.exists(), reason="a system without /dev/full")
def test_a_run_whose_progress_nobody_can_be_told_goes_on(tmp_path: Path):
    ran = shell("$G check --data toy --backends numpy --steps 2 2>/dev/full", tmp_path)
    assert ran.returncode == 0
    assert store.read(tmp_path / "gradparity-report").ok


def test_a_fault_of_our_own_has_its_own_exit_code_and_a_file_to_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    def fails(*_: object, **__: object) -> int:
        raise ZeroDivisionError("of ours")

    monkeypatch.setattr(cli, "app", fails)
    monkeypatch.setattr(sys, "argv", ["gradparity", "check"])
    monkeypatch.setattr(cli.streams, "prepare", lambda: None)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == ExitCode.FAULT == 4
    said = capfd.readouterr().err
    assert said.startswith(
        "gradparity: a fault of gradparity itself, ZeroDivisionError: of ours. No verdict was given;"
    )
    report = Path(said.rstrip(".\n").rpartition(" ")[2])
    assert "in fails" in report.read_text()
    report.unlink()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--memory-limit", "1e10"], "--memory-limit: got 10000000000.0, expected 0.05 to 4294967296"),
        (["--backend", "x=numpy@~nouser/python"], "which is no program"),
    ],
)
def test_a_number_or_a_name_that_the_system_has_not_is_refused_in_words(tmp_path: Path, words: list[str], said: str):
    ran = shell(f"$G check --data toy --backends numpy {' '.join(words)}", tmp_path)
    assert ran.returncode == 2
    assert said in ran.stderr.decode()
