"""Every command of the README and the documentation is run, page by page, as a reader would; the site builds."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from gradparity.backends import Registration, missing
from tests.docs.pages import ROOT, Block, blocks, pages

#: Commands that stand beside one that installs, and what runs them; each must still be on a page.
RUN_ELSEWHERE = {
    ".venv/bin/gradparity run --quick --out gradparity-report/first": "the script of CI, with this very block",
    ".venv/bin/pytest -q -n 2": "the same: it is this test run",
    "gradparity backends": "tests/examples/test_third_party.py, which installs the package",
    "gradparity check --data toy --backends autograd,autograd-forward": "the same",
    "gradparity check --data toy --backends numpy,casadi": "tests/examples/test_engines.py, where CasADi is installed",
}
#: Words of an output that a run need not repeat: figures, times, versions.
_FIGURE = re.compile(r"[-+]?[0-9][0-9.,]*(e[-+]?[0-9]+)?")
#: The block of a worst entry, in a column behind figures and in a sentence: a processor's own rounding chooses it.
_WORST_COLUMN = re.compile(r"(?<=[0-9-])  (?:loss|jvp|(?:gradient|hvp) [\w.]+)(?:, [\w.:]+)?(?=\s)")
_WORST = re.compile(r"\bin (?:loss|jvp|(?:gradient|hvp) [\w.]+)(?:\[.*?\])? (?=\((?:relative|[0-9]))")

EXTRAS = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])
PAGES = [page for page in pages() if any(block.kind == "run" for block in blocks(page))]
CSV = "age,dose,died\n" + "".join(f"{30 + i % 17},{(7 * i) % 11},{(i * i) % 3 % 2}\n" for i in range(40))


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


#: Pages whose commands are those of others, or of `tests/campaign`, with other data.
VARIED = ("campaign.md", "choose_a_backend.md", "raw_data.md", "compare_versions.md", "project.md")


def marks_of(page: Path) -> list[pytest.MarkDecorator]:
    return [pytest.mark.variation] if page.name in VARIED else []


@pytest.fixture(scope="session")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what a reader of the README has already: data, and the results of two runs."""
    folder = tmp_path_factory.mktemp("earlier")
    (folder / "patients.csv").write_text(CSV)
    for out in ("old", "new"):
        run("gradparity check --data toy --backends numpy --steps 3 --quiet --out " + out, folder)
    return folder


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A block of commands in a shell that stops at the first that fails."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "NO_COLOR": "1"}
    environment.pop("FORCE_COLOR", None)
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def words_of(output: str) -> str:
    """The words without figures and blocks of worst entries, whatever the width at which lines were broken."""
    words = " ".join(_WORST_COLUMN.sub("", output).split())
    return " ".join(_FIGURE.sub("", _WORST.sub("in ", words)).split())


@pytest.mark.slow
@pytest.mark.parametrize("page", [pytest.param(p, marks=marks_of(p), id=name_of(p)) for p in PAGES])
def test_every_command_of_a_page_ends_as_the_page_says(page: Path, earlier: Path, tmp_path: Path):
    shutil.copytree(earlier, tmp_path, dirs_exist_ok=True)
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    printed = ""
    for block in blocks(page):
        if block.kind == "file":
            path = tmp_path / block.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.body)
        elif block.kind == "run":
            ran = run(block.body, tmp_path)
            assert ran.returncode == block.code, f"{block.body}\n{ran.stdout[-3000:]}\n{ran.stderr[-3000:]}"
            printed = ran.stdout
        elif block.language == "text" and printed:
            for paragraph in block.body.split("\n\n"):  # between two, a page may leave something out
                assert words_of(paragraph) in words_of(printed), f"{paragraph}\n--- printed:\n{printed}"


def installing() -> list[tuple[str, Block]]:
    return [(name_of(page), block) for page in pages() for block in blocks(page) if block.kind == "install"]


def test_what_a_page_installs_are_extras_that_exist():
    found = installing()
    assert found
    for name, block in found:
        for named in re.findall(r"(?:gradparity|\.)\[([\w,]+)\]", block.body):
            assert set(named.split(",")) <= EXTRAS, f"{name}: {named}"
        for command in re.split(r"&&|\n", block.body):
            if command.strip() and not re.search(r"\bpip install\b|\bvenv\b", command):
                assert command.strip() in RUN_ELSEWHERE, f"{name}: {command}"


#: What a page may have pip install by its name: all else is a folder, or an address.
RELEASED = {"flax", "pip", "pre-commit", "pytest-benchmark", "safetensors", "uv"}


def asked_of_pip() -> list[tuple[str, str]]:
    """Each thing that pip is told to install, on a page or in a workflow, inline code among it."""
    files = [*pages(), ROOT / "CONTRIBUTING.md", *(ROOT / "examples").rglob("*.yml"), *(ROOT / "docs").rglob("*.py")]
    found = []
    for file in dict.fromkeys(files):
        for command in re.findall(r"pip install ([^`\n]+)", file.read_text(encoding="utf-8")):
            words = iter(shlex.split(command.partition("&&")[0], comments=True))
            for word in words:
                if word in ("-c", "-r", "--target", "--python"):
                    next(words)
                elif not word.startswith("-"):
                    found.append((str(file.relative_to(ROOT)), word))
    return found


def test_nothing_is_installed_by_a_name_that_no_registry_has():
    asked = asked_of_pip()
    assert len({name for name, _ in asked}) > 4
    for name, what in asked:
        place, _, extras = what.partition("[")
        if what.startswith("gradparity"):
            assert re.fullmatch(r"gradparity\[[\w,]+\] @ \$GRADPARITY", what), f"{name}: pip install {what}"
        elif what.startswith("."):
            assert (ROOT / place / "pyproject.toml").is_file(), f"{name}: {what}"
            assert set(filter(None, extras.rstrip("]").split(","))) <= EXTRAS, f"{name}: {what}"
        else:
            assert what in RELEASED, f"{name}: {what}"
    workflow = (ROOT / "examples/github_actions/gradparity.yml").read_text(encoding="utf-8")
    assert re.search(r"^  GRADPARITY: git\+https://\S+  # a placeholder: .* no release yet$", workflow, re.M)


@pytest.mark.slow
def test_the_command_that_adds_a_framework_needs_no_release():
    pytest.importorskip("pip", reason="pip is not installed here")
    for name in ("autograd", "jax", "torch"):
        cure = missing(Registration("module:Name", requires=f"no_such_module_{name}"))
        assert cure == f"pip install 'gradparity[no_such_module_{name}]'"
        words = [sys.executable, "-m", "pip", "install", "--no-index", "--dry-run", f"gradparity[{name}]"]
        ran = subprocess.run(words, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr  # the installed one has the extra: no registry is asked for it


def test_what_is_run_elsewhere_is_still_on_a_page():
    text = "".join(page.read_text(encoding="utf-8") for page in pages())
    assert all(command in text for command in RUN_ELSEWHERE)
    found = "\n".join(block.body for _, block in installing())
    assert all(command in found for command in RUN_ELSEWHERE)


def test_the_readmes_links_lead_somewhere():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#\s]+)", text) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_generated_pages_are_as_the_code_makes_them():
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    for path, content in generate.pages().items():
        assert path.read_text(encoding="utf-8") == content, f"run: python docs/generate.py ({path.name})"


def test_the_site_builds_without_a_warning(tmp_path: Path):
    pytest.importorskip("sphinx", reason="the docs extra is not installed")
    words = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "-d", str(tmp_path / "trees")]
    built = subprocess.run(
        [*words, str(ROOT / "docs"), str(tmp_path / "site")], capture_output=True, text=True, timeout=120, check=False
    )
    assert built.returncode == 0, built.stdout + built.stderr
    for page in (ROOT / "docs").rglob("*.md"):
        if "_build" not in page.parts:
            assert (tmp_path / "site" / page.relative_to(ROOT / "docs").with_suffix(".html")).exists()


def test_every_verdict_has_its_row_and_the_limits_are_those_of_the_code():
    from typing import get_args

    from gradparity.benchmark.stats import Verdict as SpeedVerdict
    from gradparity.judge.training import PATH_FLOORS
    from gradparity.judge.verdicts import AGREES_FLOORS
    from gradparity.results import Verdict

    text = (ROOT / "docs" / "reference" / "verdicts.md").read_text(encoding="utf-8")
    rows = "\n".join(line.partition("|")[2].partition("|")[0] for line in text.splitlines() if line.startswith("|"))
    assert [verdict for verdict in (*get_args(Verdict), *get_args(SpeedVerdict)) if f"`{verdict}`" not in rows] == []
    assert f"at most {AGREES_FLOORS:g} noise floors" in text
    assert f"have a limit of {PATH_FLOORS:g}" in text
