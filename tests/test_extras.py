"""Without the extra ``files`` everything else works, and what needs it says in one line what to install."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from gradparity.model_spec import extras
from gradparity.model_spec.errors import InputError
from gradparity.results.store import encode
from tests.conftest import Command, python
from tests.report.samples import samples

CURE = "pip install polars"
CONTENT = {
    "d.csv": b"a,b,y\n1,2,0\n3,4,1\n",
    "d.parquet": b"PAR1",
    "d.svmlight": b"0 1:2\n1 1:3\n",
}


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither package of the extra is found."""
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name in extras.NAMES else find_spec(name))


@pytest.mark.usefixtures("without")
@pytest.mark.parametrize("name", CONTENT)
def test_a_file_that_takes_the_extra_is_refused_with_the_command_that_installs_it(
    name: str, tmp_path: Path, command: Command
) -> None:
    (tmp_path / name).write_bytes(CONTENT[name])
    code, printed, said = command(
        "check", "--data", str(tmp_path / name), "--backends", "numpy", "--out", str(tmp_path / "o")
    )
    assert (code, printed) == (2, "")
    assert " ".join(said.split()).endswith("pip install scikit-learn" if "svm" in name else CURE)


@pytest.mark.usefixtures("without")
def test_an_atlas_and_a_frame_are_refused_with_it(tmp_path: Path, command: Command) -> None:
    from gradparity.report.frame import frame

    code, _, said = command("atlas", "--functions", "exp", "--backends", "numpy", "--out", str(tmp_path / "atlas"))
    assert code == 2
    assert " ".join(said.split()).endswith(CURE)
    with pytest.raises(InputError, match="polars") as refused:
        frame(samples()["run"])
    assert refused.value.cure == CURE


@pytest.mark.usefixtures("without")
def test_reports_are_written_all_the_same_and_say_what_the_table_of_blocks_takes(
    tmp_path: Path, command: Command
) -> None:
    (tmp_path / "results.json").write_bytes(encode(samples()["run"]))
    _, printed, _ = command("report", str(tmp_path))
    assert {each.name for each in tmp_path.iterdir()} >= {"report.html", "report.md"}
    assert not (tmp_path / "blocks.parquet").exists()
    assert f"blocks.parquet, of the blocks that results.json has: {CURE}" in printed


# Every module of ours that reads a bundled set, checks it and reports on it, in an interpreter without these packages.
BARE = """
import importlib.abc, sys

class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"polars", "sklearn", "plotly", "narwhals", "joblib"}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
options = ["--backends", "numpy", "--data", "breast_cancer", "--steps", "2", "--out", sys.argv[1]]
sys.argv = ["gradparity", "check", *options]
from gradparity.cli.app import main
main()
"""


def test_a_bundled_set_is_checked_and_reported_on_without_any_of_what_was_left_out(tmp_path: Path) -> None:
    ran = python("-P", "-c", BARE, str(tmp_path))
    assert ran.returncode == 0, ran.stderr
    assert 'id="plotly"' in (tmp_path / "report.html").read_text()


def test_the_extra_is_what_pyproject_has_and_all_has_it() -> None:
    import tomllib

    project: dict[str, Any] = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]

    def names(requirements: list[str]) -> set[str]:
        return {re.split(r"[>=\[]", each)[0] for each in requirements}

    extra = project["optional-dependencies"]
    assert names(extra["files"]) == set(extras.NAMES.values())
    assert not names(extra["files"]) & names(project["dependencies"])
    assert "files" in extra["all"][0]
