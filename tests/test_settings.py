"""The options of ``bench``: what they mean, and every bad value as one clear line before anything starts."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from gradparity.cli.app import main
from gradparity.model_spec.errors import InputError
from gradparity.processes import peer as launch
from gradparity.processes.machine import usable_cores
from gradparity.runner.data import require_sizes_fit
from gradparity.runner.settings import Settings, settings_from

EARLIER = b'{"the results of": "an earlier run"}\n'
SIZES = "rows x features x projection, such as 1000x20x10"
FORMULATIONS = "as_written, reassociated, blocked"

# Arguments, and what the message must say beside being one line.
BAD: list[tuple[list[str], list[str]]] = [
    # Sizes that are none.
    *(
        (["--sizes", text], ["--sizes", SIZES])
        for text in ("4", "4x3x3x3", "0x3x3", "4x0x3", "4x3x0", "-4x3x3", "4x3x", "x3x3", "axbxc", "4X3X3", "4.0x3x3")
    ),
    (["--sizes", ""], ["--sizes: got ''", SIZES]),
    (["--sizes", "4x3x3,"], ["--sizes: got ''", SIZES]),
    (["--sizes", "4x3x3,50x4x²"], ["--sizes: got '50x4x²'"]),
    (["--sizes", "1e3x20x10"], ["--sizes: got '1e3x20x10'"]),
    (["--sizes", "9" * 40 + "x3x3"], ["--sizes", SIZES]),
    # Sizes that no memory holds: 800 GB of X, 800 GB of W, and as many digits as are taken at all.
    (
        ["--sizes", "100000000x1000x5"],
        ["memory for --sizes (100000000 x 1000)", "needed with", "GiB available", "fewer"],
    ),
    (["--sizes", "4x3x3,100000000x1000"], ["memory for --sizes (100000000 x 1000)", "w (1000,)"]),
    (["--sizes", "4x100000x1000000"], ["memory for --sizes (4 x 100000)", "W (100000, 1000000)"]),
    (["--sizes", "x".join(["9" * 18] * 3)], ["memory for --sizes", "GiB available"]),
    # Sizes beside what does not go with them.
    (["--sizes", "4x3x3", "--data", "toy"], ["--sizes", "--data beside it"]),
    (["--data", "toy", "--sizes", ""], ["--sizes", "--data beside it"]),
    (["--sizes", "4x3x3", "--target", "label"], ["--target"]),
    (["--sizes", "4x3x3", "--l2", "-1"], ["l2", "-1"]),
    (["--sizes", "4x3x3", "--logit-scale", "nan"], ["logit_scale", "nan"]),
    # Threads.
    (["--threads", "100000"], ["--threads", "100000", f"1 to {usable_cores()}", "cores"]),
    (["--threads", "1,100000"], ["--threads", "100000"]),
    (["--threads", "0"], ["--threads: got 0"]),
    (["--threads", "1,x"], ["--threads", "'1,x'", "1,2"]),
    (["--threads", "1,"], ["--threads", "'1,'", "1,2"]),
    (["--threads", ""], ["--threads", "''", "1,2"]),
    (["--threads=-1"], ["--threads", "'-1'", "1,2"]),
    (["--threads", "1.5"], ["--threads", "'1.5'"]),
    (["--threads", "²"], ["--threads", "'²'"]),
    (["--threads", "9" * 5000], ["--threads"]),
    # The rest.
    (["--profile", "fast"], ["--profile: got 'fast'", "brief, quick, standard, full"]),
    (["--profile", ""], ["--profile: got ''"]),
    (["--budget", "0"], ["--budget: got 0", "seconds over 0"]),
    (["--budget", "nan"], ["--budget: got nan", "seconds over 0"]),
    (["--budget", "inf"], ["--budget: got inf"]),
    (["--budget=-5"], ["--budget: got -5"]),
    (["--budget", "soon"], ["--budget", "number"]),
    (["--formulations", "fast"], ["--formulations", "'fast'", FORMULATIONS]),
    (["--formulations", "blocked,fast"], ["--formulations", "'fast'", FORMULATIONS]),
    (["--formulations", ""], ["--formulations", "''", FORMULATIONS]),
    (["--formulation", "blocked"], ["--formulation"]),
    (["--steps", "0"], ["--steps: got 0"]),
    (["--quick"], ["--quick"]),
]


@pytest.fixture
def bench(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[[list[str]], tuple[Any, str, str]]:
    """Runs ``bench`` in this process, in a folder with the results of an earlier run; no worker may start."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "results.json").write_bytes(EARLIER)

    def no_process(*arguments: Any, **options: Any) -> None:
        raise AssertionError("a worker was started")

    monkeypatch.setattr(launch.subprocess, "Popen", no_process)

    def run(arguments: list[str]) -> tuple[Any, str, str]:
        monkeypatch.setattr(sys, "argv", ["gradparity", "bench", "--out", "kept", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code, *capfd.readouterr()

    return run


@pytest.mark.parametrize(("arguments", "said"), [pytest.param(*case, id=" ".join(case[0])[:50]) for case in BAD])
def test_a_bad_option_is_one_clear_line_and_nothing_is_started_or_written_over(
    tmp_path: Path, arguments: list[str], said: list[str], bench: Callable[[list[str]], tuple[Any, str, str]]
) -> None:
    code, out, err = bench(arguments)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert err.startswith("gradparity: ")
    assert [word for word in said if word not in err] == []
    assert (tmp_path / "kept" / "results.json").read_bytes() == EARLIER
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["kept", "results.json"]


def test_a_size_is_refused_for_the_workers_that_it_is_to_have(monkeypatch: pytest.MonkeyPatch) -> None:
    # 10,000 x 1,000 is 80 MB: six copies in the parent and two in each worker, which has 400 MiB of its own.
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": 2 * 2**30}))
    settings = bench_settings(sizes="10000x1000")
    require_sizes_fit(settings, 2)
    with pytest.raises(InputError, match=r"about 4\.\d+ GiB needed with 8 workers, expected at most the 2\.00 GiB"):
        require_sizes_fit(settings, 8)


def bench_settings(**words: Any) -> Settings:
    asked: dict[str, Any] = {"backends": None, "data": None, "projection": "5", "lr": 0.1, "out": "out"}
    return settings_from("bench", **asked | words)


def test_every_size_formulation_and_number_of_threads_is_a_cell_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gradparity.runner.settings.usable_cores", lambda: 4)
    cells = bench_settings(sizes="4x3x3, 50x4", formulations="blocked,as_written", thread_counts="1,4").cells()
    assert [(cell.data, cell.projection, cell.formulation, cell.threads) for cell in cells] == [
        (("synthetic:4x3",), 3, "blocked", 1),
        (("synthetic:4x3",), 3, "blocked", 4),
        (("synthetic:4x3",), 3, "as_written", 1),
        (("synthetic:4x3",), 3, "as_written", 4),
        (("synthetic:50x4",), None, "blocked", 1),
        (("synthetic:50x4",), None, "blocked", 4),
        (("synthetic:50x4",), None, "as_written", 1),
        (("synthetic:50x4",), None, "as_written", 4),
    ]


def test_a_value_given_twice_is_one_cell() -> None:
    cells = bench_settings(sizes="4x3x3,4x3x3", formulations="blocked,blocked", thread_counts="1,1").cells()
    assert [(cell.data, cell.formulation, cell.threads) for cell in cells] == [(("synthetic:4x3",), "blocked", 1)]


def test_all_formulations_are_the_three_there_are() -> None:
    cells = bench_settings(sizes="4x3x3", formulations="all").cells()
    assert [cell.formulation for cell in cells] == ["as_written", "reassociated", "blocked"]


def test_without_sizes_each_data_set_is_a_cell_with_the_projection_asked_for() -> None:
    cells = bench_settings(projection="7").cells()
    assert [(cell.data, cell.projection, cell.threads) for cell in cells] == [
        (("toy",), 7, 1),
        (("breast_cancer",), 7, 1),
    ]


@pytest.mark.parametrize(
    ("words", "profile"), [({}, "quick"), ({"quick": True}, "brief"), ({"profile": "standard"}, "standard")]
)
def test_the_profile_is_the_one_asked_for_or_that_of_a_quick_run(words: dict[str, Any], profile: str) -> None:
    assert bench_settings(**words).profile == profile
