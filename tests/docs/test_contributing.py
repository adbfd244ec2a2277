"""What is said to contributors names files that are there, commands that CI runs, and the contract as it is."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tests.docs.pages import ROOT

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed; the docs extra brings it")

CONTRIBUTING = ROOT / "CONTRIBUTING.md"
ARCHITECTURE = ROOT / "docs" / "explanation" / "architecture.md"
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
WORKFLOWS = ROOT / ".github" / "workflows"


def named(page: Path) -> set[str]:
    """Every path in backticks: what ends in a slash, or has one and a suffix, or is a file at the top."""
    words = re.findall(r"`([\w./-]+)`", page.read_text(encoding="utf-8"))
    return {word for word in words if re.search(r"/$|/.*\.\w+$|^\w+\.(md|toml|txt)$", word)} - {"docs/_build"}


@pytest.mark.parametrize("page", [CONTRIBUTING, ARCHITECTURE, ROOT / "SECURITY.md"], ids=lambda page: page.name)
def test_every_path_that_is_named_is_there(page: Path):
    paths = named(page) - {"results.json", "report.html"}
    assert len(paths) > (20 if page != ROOT / "SECURITY.md" else 0)
    assert [path for path in sorted(paths) if not (ROOT / path).exists()] == []


def test_every_kind_of_change_has_a_file_and_a_test():
    rows = [line.split("|")[1:-1] for line in CONTRIBUTING.read_text(encoding="utf-8").splitlines() if line[:1] == "|"]
    changes = {row[0].strip(): row for row in rows if len(row) == 3}
    assert len(changes) >= 2 + 12  # the header and its rule
    for change, (_, files, tests) in list(changes.items())[2:]:
        assert "/" in files, change
        assert "`tests/" in tests, change


@pytest.mark.parametrize("page", [CONTRIBUTING, ARCHITECTURE], ids=lambda page: page.name)
def test_the_contract_is_told_as_it_is_held(page: Path):
    (layers,) = (
        contract["layers"] for contract in PYPROJECT["tool"]["importlinter"]["contracts"] if "layers" in contract
    )
    text = page.read_text(encoding="utf-8")
    told = re.search(r"__main__, pytest_plugin\s.*?model_spec\n", text, re.S)
    rows = [row for row in re.split(r"\s*[>\n]\s*", told[0]) if row]
    assert rows == [layer.replace(" : ", ", ") for layer in layers]


def test_continuous_integration_calls_what_a_contributor_calls():
    steps = yaml.safe_load((WORKFLOWS / "ci.yml").read_text())["jobs"]["ci"]["steps"]
    assert [step["run"] for step in steps if "run" in step] == [".ci/run"]
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    for hook in hooks:
        assert hook["entry"].split()[0].removeprefix(".venv/bin/") in (ROOT / ".ci" / "run").read_text()


def test_the_lowest_python_is_tried_with_the_lowest_versions_and_the_newest_with_the_newest():
    matrix = yaml.safe_load((WORKFLOWS / "supported-versions.yml").read_text())["jobs"]["check"]["strategy"]["matrix"]
    lowest = PYPROJECT["project"]["requires-python"].removeprefix(">=")
    assert (matrix["python"], matrix["resolution"]) == ([lowest], ["lowest-direct"])
    newest = [entry["python"] for entry in matrix["include"] if entry["resolution"] == "highest"]
    assert newest == [f"3.{minor}" for minor in range(int(lowest.split(".")[1]), int(newest[-1].split(".")[1]) + 1)]
