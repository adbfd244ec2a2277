"""The workflow for pull requests: its own shell steps, run for real but for GitHub itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import ROOT
from tests.user_model.models import GRADIENT, HEAD, LOSS

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed; the docs extra brings it")

WORKFLOW = ROOT / "examples" / "github_actions" / "gradparity.yml"
MODEL = HEAD + LOSS + GRADIENT
WRONG = MODEL.replace("/ len(r)", "/ 3")
#: In place of GitHub: it knows of no comment, or of one, and writes down what it is asked.
GH = """#!/bin/sh
echo "$@" >> "$GH_LOG"
case "$*" in *--paginate*) echo "$GH_KNOWN" ;; esac
"""


def steps() -> list[dict[str, Any]]:
    (job,) = yaml.safe_load(WORKFLOW.read_text())["jobs"].values()
    return [step for step in job["steps"] if "run" in step and step["name"] != "Install"]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository whose base has a right model, and a stand-in for ``gh`` on the path."""
    folder = tmp_path / "repository"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "gh").write_text(GH)
    (folder / "bin" / "gh").chmod(0o755)
    git(folder, "init", "-q")
    commit(folder, MODEL, "right")
    return folder


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    ran = subprocess.run(["git", *identity, *words], cwd=folder, capture_output=True, text=True, check=True)
    return ran.stdout.strip()


def commit(folder: Path, model: str, message: str) -> str:
    (folder / "model.py").write_text(model)
    git(folder, "add", "model.py")
    git(folder, "commit", "-q", "-m", message)
    return git(folder, "rev-parse", "HEAD")


def workflow(folder: Path, known: str = "") -> dict[str, int]:
    """Run every step as GitHub would, one after the other, each with its exit code; none is left out."""
    path = os.pathsep.join([str(folder / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]])
    output = folder / "output"
    output.touch()
    environment = {
        **os.environ, "PATH": path, "MODEL": "model.py", "BACKENDS": "numpy,autograd", "GITHUB_OUTPUT": str(output),
        "BASE": git(folder, "rev-parse", "HEAD~1"), "GITHUB_REPOSITORY": "o/r", "NUMBER": "7",
        "GH_LOG": str(folder / "gh.log"), "GH_KNOWN": known,
    }  # fmt: skip
    codes = {}
    for step in steps():
        if output.read_text():
            environment["CODE"] = output.read_text().strip().removeprefix("code=")
        shell = ["bash", "-e", "-o", "pipefail", "-c", step["run"]]
        ran = subprocess.run(shell, cwd=folder, env=environment, check=False, capture_output=True, text=True)
        codes[step["name"]] = ran.returncode
    return codes


@pytest.mark.slow
def test_a_pull_request_that_breaks_a_gradient_fails_and_its_report_is_posted(repository: Path):
    commit(repository, WRONG, "halve it")
    codes = workflow(repository)
    assert codes.pop("Fail where a verdict is worse") == 1
    assert set(codes.values()) == {0}
    asked = (repository / "gh.log").read_text().splitlines()
    assert asked[-1] == "api -X POST repos/o/r/issues/7/comments -F body=@new/report.md"
    assert "numpy" in (repository / "new" / "report.md").read_text()


@pytest.mark.slow
def test_a_pull_request_that_mends_a_gradient_passes(repository: Path):
    commit(repository, WRONG, "halve it")
    commit(repository, MODEL, "mend it")
    assert set(workflow(repository).values()) == {0}


@pytest.mark.slow
def test_a_pull_request_that_leaves_the_gradients_as_they_are_passes_and_updates_its_comment(repository: Path):
    commit(repository, MODEL + "\n# a comment\n", "say more")
    assert set(workflow(repository, known="42").values()) == {0}
    assert (repository / "gh.log").read_text().splitlines()[-1] == (
        "api -X PATCH repos/o/r/issues/comments/42 -F body=@new/report.md"
    )


def test_it_asks_for_no_more_rights_than_it_needs():
    workflow = yaml.safe_load(WORKFLOW.read_text())
    assert workflow["permissions"] == {"contents": "read", "pull-requests": "write"}
