"""Annotations of a pull request: at the line, escaped as GitHub's own toolkit does it, and nowhere else."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from gradparity.judge.baseline import entries_of, hold
from gradparity.report.annotations import annotations_of
from gradparity.report.annotations import command as command_of
from gradparity.results.store import read
from tests.conftest import Command

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def test_what_github_reads_as_its_own_is_escaped_as_its_documentation_has_it():
    # The values of escapeData and escapeProperty in actions/toolkit, packages/core/src/command.ts.
    assert command_of("error", "100% of a: b,\r\nc", file="a,b:c%.py", line=3, title="") == (
        "::error file=a%2Cb%3Ac%25.py,line=3::100%25 of a: b,%0D%0Ac"
    )


@given(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_a_command_is_one_line_and_is_read_back_whole(message: str, title: str):
    line = command_of("warning", message, title=title)
    assert line.split("\n") == [line]
    assert "\r" not in line
    head, text = line.removeprefix("::warning title=").split("::", 1)
    assert (unquote(head), unquote(text)) == (title, message)
    assert not {":", ","} & set(head)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository in a workspace, and in it a folder with a port that detaches its weight."""
    root = tmp_path / "work" / "repository"
    root.mkdir(parents=True)
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    shutil.copytree(EXAMPLES / "broken_port", root / "models" / "focal")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path / "work"))
    monkeypatch.chdir(root / "models")
    return root


@pytest.mark.slow
def test_in_github_actions_the_diverging_line_has_an_annotation(
    repository: Path, command: Command, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    code, out, err = command("check", "focal", "--backends", "torch", "--steps", "3", "--json")
    assert code == 1
    assert out.startswith("{")  # JSON alone
    (line,) = [each for each in err.splitlines() if each.startswith("::")]
    source = (repository / "models/focal/backends/torch.py").read_text().splitlines()
    number = 1 + next(n for n, text in enumerate(source) if "weight.detach()" in text)
    assert line.startswith(f"::error file=models/focal/backends/torch.py,line={number},title=torch wrong in gradient ")
    assert "no cotangent flows from" in line

    # Nothing elsewhere, and nothing of another checkout: the base branch's lines are not the pull request's.
    result = read("gradparity-report")
    here = {"GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": str(repository)}
    assert annotations_of(result, here) == [line]
    assert annotations_of(result, {"GITHUB_WORKSPACE": str(repository)}) == []
    assert annotations_of(result, here | {"GITHUB_WORKSPACE": "/elsewhere"}) == []

    # What is known and listed is a notice, and what is not known to be wrong a warning.
    entries = [structs.replace(each, reason="a ticket") for each in entries_of(result)]
    result.baseline = hold(result, entries, "known.toml")
    assert [each.partition(" ")[0] for each in annotations_of(result, here)] == ["::notice"]
    (problem,) = result.problems
    result.baseline, problem.training = None, []
    problem.findings = [structs.replace(each, verdict="unresolved") for each in problem.findings]
    assert [each.partition(" ")[0] for each in annotations_of(result, here)] == ["::warning"]
