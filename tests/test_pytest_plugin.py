"""The plugin in a session of pytest of its own, as a user has it: found by its entry point."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.user_model.models import GRADIENT, HEAD, LOSS, SUMMED_PORT, model_file, model_folder


def session(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    """What pytest says of one test file."""
    test = folder / "test_ports.py"
    test.write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--strict-markers", str(test)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, timeout=300)


def test_a_model_whose_backends_agree_passes_and_the_result_can_be_looked_at(tmp_path: Path):
    path = model_file(tmp_path, HEAD + LOSS + GRADIENT)
    ran = session(
        tmp_path,
        f"""
def test_it(gradparity):
    result = gradparity.assert_agree({path!r}, backends=["numpy", "autograd"], steps=3)
    assert result.to_frame().height > 4
""",
    )
    assert ran.returncode == 0, ran.stdout


def test_a_wrong_port_fails_with_the_table_of_verdicts_and_no_traceback(tmp_path: Path):
    path = model_folder(tmp_path / "m", HEAD + LOSS + GRADIENT, autograd=SUMMED_PORT)
    ran = session(
        tmp_path,
        f"""
import pytest

@pytest.mark.gradparity(backends=["numpy", "autograd"], steps=3)
def test_it(gradparity):
    gradparity.assert_agree({path!r})
""",
    )
    assert ran.returncode == 1
    assert "not every backend agrees" in ran.stdout
    assert "What does not agree" in ran.stdout
    assert "factor 6 (X.shape[0])" in ran.stdout
    assert "Traceback" not in ran.stdout
    assert "pytest_plugin.py" not in ran.stdout


def test_what_a_budget_leaves_out_fails_the_test_and_is_named(tmp_path: Path):
    path = model_file(tmp_path, HEAD + LOSS)
    ran = session(
        tmp_path,
        f"""
import pytest

@pytest.mark.gradparity(backends=["autograd"], budget=0.05)
def test_it(gradparity):
    gradparity.assert_agree({path!r})
""",
    )
    assert ran.returncode == 1
    assert "within 0.05 s" in ran.stdout
    assert "autograd: cut off" in ran.stdout


def test_a_model_that_is_not_there_fails_in_one_line(tmp_path: Path):
    ran = session(tmp_path, "def test_it(gradparity):\n    gradparity.assert_agree('nowhere.py')\n")
    assert ran.returncode == 1
    assert "nowhere.py" in ran.stdout
    assert "Traceback" not in ran.stdout


@pytest.mark.gradparity(backends=["numpy"], steps=2)
def test_the_plugin_is_found_by_its_entry_point_here_too_and_checks_the_built_in_model(gradparity):
    assert gradparity.assert_agree(data="toy").ok
