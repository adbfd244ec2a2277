"""A project's defaults: what ``[tool.gradparity]`` of the nearest ``pyproject.toml`` says, and what wins over it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gradparity.model_spec.errors import InputError
from gradparity.results import store
from gradparity.runner.defaults import FILE, is_default, with_defaults
from gradparity.runner.options import OPTIONS, options_of
from gradparity.runner.settings import Settings, settings_from
from tests.conftest import Command, python
from tests.test_pytest_plugin import session
from tests.user_model.models import HEAD, LOSS, model_file


def project(folder: Path, table: str) -> Path:
    (folder / FILE).write_text(f"[project]\nname = 'p'\n\n[tool.gradparity]\n{table}\n")
    return folder


def taken(folder: Path, table: str, command: str = "check", given: Any = (), models: Any = ()) -> Any:
    return with_defaults(command, dict(given), models, project(folder, table))


def test_the_nearest_file_that_has_the_table_is_taken_and_the_command_line_wins(tmp_path: Path, command: Command):
    model_file(
        project(tmp_path, 'backends = ["autograd"]\nsteps = 2\nmemory-limit = 16\nmodels = ["model.py"]'), HEAD + LOSS
    )
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (inner / FILE).write_text("[tool.other]\nsteps = 9\n")
    ran = python("-P", "-m", "gradparity", "check", "--steps", "3", "--out", "here", cwd=inner)
    assert ran.returncode == 0, ran.stderr
    result = store.read(inner / "here")
    file = str(tmp_path / FILE)
    assert result.settings["defaults"] == dict.fromkeys(["backends", "memory_limit", "models"], file)
    assert {f.backend for f in result.problems[0].findings} == {"autograd"}
    assert [len(trained.losses) for trained in result.problems[0].training] == [4, 4]
    assert result.settings["model"] == str(tmp_path / "model.py")
    assert file in (inner / "here" / "report.html").read_text()  # among the settings


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ('backend_s = "jax"', ["pyproject.toml: backend_s of [tool.gradparity]", "Did you mean 'backends'?"]),
        ("memory-limt = 2", ["memory-limt", "Did you mean 'memory-limit'?"]),
        ("model = 'model.py'", ["model of", "Did you mean 'models'?"]),
        ("steps = 'many'", ["steps of", "'many'", "expected an integer"]),
        ("steps = true", ["steps of", "True", "expected an integer"]),
        ("budget = 'soon'", ["budget of", "expected a number"]),
        ("standardise = 1", ["standardise of", "expected true or false"]),
        ("data = [1.5]", ["data of", "[1.5]", "a string or a list"]),
        ("models = 3", ["models of", "a string or a list"]),
        ("out = 3", ["out of", "expected a string"]),
        ("quiet = true", ["quiet of", "a switch", "could turn it off"]),
        ("memory-limit = 2\nmemory_limit = 2", ["a second time"]),
        ("backends = [", ["pyproject.toml: got", "TOML"]),
        # What is of the right type, and of no use: the file is named, and not an option that nobody gave.
        ("steps = 0", ["pyproject.toml: steps: got 0"]),
        ("backends = 'toch'", ["pyproject.toml: backends: got 'toch'"]),
        ("lr = nan", ["pyproject.toml: lr: got nan"]),
        ("env = ['OMP_NUM_THREADS=7']", ["pyproject.toml: env: got OMP_NUM_THREADS"]),
    ],
)  # fmt: skip
def test_what_is_at_fault_in_the_file_is_one_line_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: str, said: list[str]
):
    def settings() -> Settings:
        asked = taken(tmp_path, table)
        return settings_from("check", asked.given, None, asked.defaults)

    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as refused:
        settings()
    assert [words for words in said if words not in str(refused.value)] == []
    assert str(refused.value).startswith(FILE)


def test_a_value_means_what_the_command_lines_words_do(tmp_path: Path):
    table = "backends = ['numpy', 'jax']\ntimeout = 'step=7'\noptimiser = ['gd', 'adam']\nprojection = 'none'\nlr = 1"
    asked = taken(tmp_path, table)
    words = {"backends": "numpy,jax", "timeout": ["step=7"], "optimiser": ["gd", "adam"], "projection": "none", "lr": 1}
    assert settings_from("check", asked.given) == settings_from("check", words)


def test_paths_are_relative_to_the_file_and_names_of_data_sets_are_no_paths(tmp_path: Path):
    inner = tmp_path / "inner"
    inner.mkdir()
    table = "out = 'reports'\nmodels = 'ports'\ndata = ['iris', 'synthetic:9x2', 'd.csv']\n"
    table += "backend = 'old=jax@venv/bin/python'"
    project(tmp_path, table)
    asked = with_defaults("check", {}, [], inner)
    assert asked.models == (str(tmp_path / "ports"),)
    assert asked.given["out"] == str(tmp_path / "reports")
    assert "data" not in asked.given  # models have their own
    assert asked.given["backend"] == [f"old=jax@{tmp_path / 'venv/bin/python'}"]
    project(tmp_path, table.replace("models = 'ports'\n", ""))
    assert with_defaults("check", {}, [], inner).given["data"] == ["iris", "synthetic:9x2", str(tmp_path / "d.csv")]


@pytest.mark.parametrize(
    ("command", "given", "models", "left"),
    [
        ("check", {}, [], {"models", "backends", "steps"}),
        ("check", {}, ["other.py"], {"backends", "steps"}),
        ("check", {"data": ["toy"]}, [], {"backends", "steps", "l2"}),  # of the built-in model, which is meant then
        ("check", {"stress": True}, [], {"backends", "steps", "l2"}),
        ("run", {"backends": "jax"}, [], {"models", "steps"}),
        ("bench", {"sizes": "4x3"}, [], {"backends", "l2", "profile"}),  # steps of a bench are another thing
        ("bench", {"l2": 0.5}, [], {"backends", "sizes", "profile"}),
    ],
)
def test_a_default_is_taken_where_it_goes_with_what_is_given(
    tmp_path: Path, command: Any, given: dict[str, Any], models: list[str], left: set[str]
):
    table = (
        "models = 'm.py'\nbackends = 'autograd'\nsteps = 7\nl2 = 0.1\ndata = 'iris'\nsizes = '9x2'\nprofile = 'full'"
    )
    asked = taken(tmp_path, table, command, given, models)
    assert set(asked.defaults) == left
    assert given.items() <= asked.given.items()
    settings_from(command, asked.given, next(iter(asked.models), None), asked.defaults)  # nothing is refused


def test_every_option_of_a_check_is_a_key_or_a_switch_or_says_what_is_printed(tmp_path: Path):
    others = {option.name for option in options_of("check") if not is_default(option)}
    assert others == {"resume", "force", "json", "quiet", "verbose", "stress", "scheduler"}
    assert all(option.name.replace("_", "-") == option.spelling[2:] for option in OPTIONS)


def test_without_a_file_nothing_is_read(tmp_path: Path):
    assert with_defaults("check", {"steps": 3}, ["m.py"], tmp_path).given == {"steps": 3}


def test_a_budget_of_the_file_is_said_to_be_its(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    asked = taken(tmp_path, "budget = 30")
    said = settings_from("check", asked.given, None, asked.defaults).budget_said()
    assert said == "at most 30 s in all (budget of pyproject.toml)"


@pytest.mark.slow
def test_a_check_in_a_test_has_the_projects_defaults_under_those_of_its_marker(tmp_path: Path):
    model_file(project(tmp_path, "models = 'model.py'\nbackends = 'numpy'\nsteps = 2\nseed = 5"), HEAD + LOSS)
    (tmp_path / "tests").mkdir()
    body = "found = gradparity.assert_agree()\n    assert (found.settings['seed'], found.settings['steps']) == (5, 3)"
    ran = session(tmp_path / "tests", body, "backends=['autograd'], steps=3")
    assert ran.returncode == 0, ran.stdout


@pytest.mark.slow
def test_a_check_in_python_reads_no_file(tmp_path: Path):
    path = model_file(project(tmp_path, "backends = 'nonsense'"), HEAD + LOSS)
    program = f"import gradparity; assert gradparity.check({path!r}, backends='autograd', steps=2).ok"
    assert python("-c", program, cwd=tmp_path).returncode == 0
