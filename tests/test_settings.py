"""The table of options: what they set, the same from words and from Python's values; and the cells of a bench."""

from __future__ import annotations

import inspect
import pydoc
from inspect import Parameter
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec
import numpy as np
import psutil
import pytest

import gradparity
from gradparity import api
from gradparity.model_spec.errors import InputError
from gradparity.runner.data import require_sizes_fit
from gradparity.runner.options import OPTIONS, PANELS, in_python, options_of
from gradparity.runner.settings import Command, Settings, settings_from


@pytest.mark.parametrize("options", [api.RunOptions, api.CheckOptions, api.BenchOptions])
def test_the_api_has_the_options_of_the_table(options: type) -> None:
    names = set(get_type_hints(options)) - {"params"}  # beside functions, which the command line has not
    assert names == in_python(options.__name__.removesuffix("Options").lower())


@pytest.mark.parametrize("function", [api.run, api.check, api.bench])
def test_help_shows_every_option_with_its_default_and_what_it_is(function: Any) -> None:
    shown = inspect.signature(function).parameters
    assert set(shown) - {"model", "params"} == in_python(function.__name__)
    assert {each.kind for each in shown.values()} == {Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY}
    given = {name: each.default for name, each in shown.items() if name not in ("model", "params", "out", "resume")}
    assert settings_from(function.__name__, given) == settings_from(function.__name__, {})
    said = pydoc.render_doc(function, renderer=pydoc.plaintext)
    assert "**options" not in said
    assert "        params, data: beside functions" in said
    assert [name for name in in_python(function.__name__) if f"\n        {name}: " not in said] == []


def test_every_option_stands_under_one_heading_of_the_help() -> None:
    headings = [name for names in PANELS.values() for name in names]
    assert sorted(headings) == sorted({option.name for option in OPTIONS})


def test_what_the_package_shows_is_its_api_whatever_is_loaded() -> None:
    assert dir(gradparity) == sorted(gradparity.__all__)
    assert all(hasattr(gradparity, name) for name in dir(gradparity))


@pytest.mark.parametrize("command", get_args(Command))
def test_what_is_not_given_is_as_in_settings(command: Command) -> None:
    own = {"steps": 1000, "formulations": ("as_written",), "thread_counts": (1,)} if command == "bench" else {}
    expected = Settings(command=command, out="gradparity-report", **own)
    assert settings_from(command, {}) == expected
    assert settings_from(command, {option.name: option.default for option in options_of(command)}) == expected


@pytest.mark.parametrize(
    ("command", "words", "values", "fields"),
    [
        ("bench", {"backends": "numpy, jax"}, {"backends": ["numpy", "jax"]}, {"backends": ("numpy", "jax")}),
        ("bench", {"threads": "1,1"}, {"threads": 1}, {"thread_counts": (1,)}),
        ("bench", {"profile": "full"}, {"profile": "full"}, {"profile": "full"}),
        ("check", {"projection": "none"}, {"projection": None}, {"projection": None}),
        ("check", {"projection": "7"}, {"projection": 7}, {"projection": 7}),
        ("check", {"data": ["iris"]}, {"data": "iris"}, {"data": ("iris",)}),
        ("check", {"optimiser": ["gd", "adam"]}, {"optimiser": iter(["gd", "adam"])}, {"optimiser": ("gd", "adam")}),
        ("check", {"data": []}, {"data": None}, {}),
        ("check", {"data": ["d.csv"]}, {"data": Path("d.csv")}, {"data": ("d.csv",)}),
        ("check", {"steps": 3}, {"steps": np.int64(3)}, {"steps": 3}),
        ("check", {"lr": 0.5}, {"lr": np.float32(0.5)}, {"learning_rate": 0.5}),
        ("bench", {}, {"formulations": None, "sizes": None, "threads": None, "steps": None}, {}),
        ("run", {"quick": True}, {"quick": True}, {"profile": "brief"}),
    ],
)
def test_words_and_values_mean_the_same(
    command: Command, words: dict[str, Any], values: dict[str, Any], fields: dict[str, Any]
) -> None:
    expected = msgspec.structs.replace(settings_from(command, {}), **fields)
    assert settings_from(command, words) == settings_from(command, values) == expected


def test_timeouts_and_memory_are_what_a_process_is_allowed() -> None:
    allowance = settings_from("check", {"timeout": ["step=7", "import=9"], "memory_limit": 2.0}).allowance
    assert (allowance.timeouts_s, allowance.memory_gib) == ({"step": 7.0, "import": 9.0}, 2.0)


@pytest.mark.parametrize("width", [2.7, [2], "wide"])
def test_a_projection_that_is_no_integer_is_refused(width: Any) -> None:
    with pytest.raises(InputError, match=r"--projection: got .*, expected an integer of 1 or more, or none"):
        settings_from("check", {"projection": width})


@pytest.mark.parametrize(
    ("option", "value"),
    [("projection", "7"), ("projection", 3), ("projection", None), ("l2", 0.5), ("data", "toy"), ("standardise", False),
     ("formulation", "blocked"), ("start", "zeros")],
)  # fmt: skip
def test_what_describes_the_built_in_model_is_refused_beside_another(option: str, value: Any) -> None:
    with pytest.raises(
        InputError, match=f"--{option}: got .* beside the path of a model, expected none: it is an option"
    ):
        settings_from("check", {option: value}, "model.py")


@pytest.mark.parametrize("given", [{}, {"projection": "5", "l2": 0.0, "data": None}, {"projection": 5}])
def test_a_model_of_the_users_keeps_the_precision_of_its_arrays(given: dict[str, Any]) -> None:
    assert settings_from("check", given, "model.py").dtype is None
    assert settings_from("check", {**given, "dtype": "float32"}, "model.py").dtype == "float32"


@pytest.mark.parametrize("function", [api.run, api.check, api.bench])
def test_an_option_that_there_is_not_is_named(function: Any) -> None:
    with pytest.raises(TypeError, match=r"unexpected option 'json, warp'"):
        function(json=True, warp=9)


def test_a_size_is_refused_for_the_workers_that_it_is_to_have(monkeypatch: pytest.MonkeyPatch) -> None:
    # 10,000 x 1,000 is 80 MB: six copies in the parent and two in each worker, which has 400 MiB of its own.
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": 2 * 2**30}))
    settings = settings_from("bench", {"sizes": "10000x1000"})
    require_sizes_fit(settings, 2)
    with pytest.raises(InputError, match=r"about 4\.\d+ GiB needed with 8 workers, expected at most the 2\.00 GiB"):
        require_sizes_fit(settings, 8)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            {"sizes": "4x3x3, 50x4", "formulations": "blocked,as_written", "threads": "1,4"},
            [
                (*size, formulation, threads)
                for size in (("synthetic:4x3", 3), ("synthetic:50x4", None))
                for formulation in ("blocked", "as_written")
                for threads in (1, 4)
            ],
        ),
        (
            {"sizes": "4x3x3,4x3x3", "formulations": "blocked,blocked", "threads": "1,1"},
            [("synthetic:4x3", 3, "blocked", 1)],
        ),
        (
            {"sizes": "4x3", "formulations": "all"},
            [("synthetic:4x3", None, each, 1) for each in ("as_written", "reassociated", "blocked")],
        ),
        ({"projection": "7"}, [(source, 7, "as_written", 1) for source in ("toy", "breast_cancer")]),
    ],
    ids=["every combination", "given twice", "all formulations", "data sets"],
)
def test_a_bench_has_a_cell_for_every_combination(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], expected: list[tuple[Any, ...]]
) -> None:
    monkeypatch.setattr("gradparity.runner.settings.usable_cores", lambda: 4)
    cells = settings_from("bench", given).cells()
    assert [(*cell.data, cell.projection, cell.formulation, cell.threads) for cell in cells] == expected
