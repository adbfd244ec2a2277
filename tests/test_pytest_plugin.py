"""The plugin in a session of pytest of its own, as a user has it: found by its entry point."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import python
from tests.user_model.models import GRADIENT, HEAD, LOSS, SUMMED_PORT, model_file, model_folder


def session(folder: Path, body: str, marker: str = "") -> subprocess.CompletedProcess[str]:
    """What pytest says of one test."""
    test = folder / "test_ports.py"
    marked = f"@pytest.mark.gradparity({marker})\n" if marker else ""
    test.write_text(f"import pytest\n\n{marked}def test_it(gradparity):\n    {body}\n", encoding="utf-8")
    return python("-m", "pytest", "-q", "-p", "no:cacheprovider", "--strict-markers", str(test), cwd=folder)


def test_a_model_whose_backends_agree_passes_and_the_result_can_be_looked_at(tmp_path: Path):
    path = model_file(tmp_path, HEAD + LOSS + GRADIENT)
    call = f"gradparity.assert_agree({path!r}, backends=['numpy', 'autograd'], steps=3)"
    ran = session(tmp_path, f"assert {call}.to_frame().height > 4")
    assert ran.returncode == 0, ran.stdout


@pytest.mark.parametrize(
    ("model", "marker", "said"),
    [
        (
            lambda folder: model_folder(folder / "m", HEAD + LOSS + GRADIENT, autograd=SUMMED_PORT),
            "backends=['numpy', 'autograd'], steps=3",
            ["not every backend agrees", "What does not agree", "6 times the truth (6 is also X.shape[0])"],
        ),
        (
            lambda folder: model_file(folder, HEAD + LOSS),
            "backends=['autograd'], budget=0.05",
            ["within 0.05 s", "autograd: cut off"],
        ),
        (lambda folder: "nowhere.py", "", ["nowhere.py"]),
    ],
    ids=["a wrong port", "left out by a budget", "no model"],
)
def test_what_does_not_agree_fails_with_the_table_of_verdicts_and_no_traceback(
    tmp_path: Path, model: Callable[[Path], str], marker: str, said: list[str]
):
    ran = session(tmp_path, f"gradparity.assert_agree({model(tmp_path)!r})", marker)
    assert ran.returncode == 1
    assert [words for words in said if words not in ran.stdout] == []
    assert "Traceback" not in ran.stdout
    assert "pytest_plugin.py" not in ran.stdout


@pytest.mark.gradparity(backends=["numpy"], steps=2)
def test_the_plugin_is_found_by_its_entry_point_here_too_and_checks_the_built_in_model(gradparity):
    assert gradparity.assert_agree(data="toy").ok
