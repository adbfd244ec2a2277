"""Every kind of bad input: one clear line, exit code 2, nothing started and nothing written over."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from gradparity.processes.machine import usable_cores
from tests.conftest import Command, python

EARLIER = b'{"the results of": "an earlier run"}\n'
SIZES = "rows x features x projection, such as 1000x20x10"
FORMULATIONS = "as_written, reassociated, blocked"

CSV = {
    "three.csv": "a,b,label\n1,2,0\n3,4,1\n5,6,2\n",
    "nan.csv": "a,b,label\n1,2,0\n3,nan,1\n",
    "one-class.csv": "a,b,label\n1,2,1\n3,4,1\n",
    "good.csv": "a,b,label\n1,2,0\n3,4,1\n",
    "huge.csv": "a,b,label\n1,2,0\n3,1e300,1\n",
    os.fsdecode(b"\xff.csv"): "a,b,label\n1,2,0\n3,4,1\n",
    "red\x1b[31m.csv": "a,b,label\n1,2,1\n3,4,1\n",
}


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of bad files, and the results of an earlier run that no bad input may touch."""
    folder = tmp_path_factory.mktemp("bad")
    for name, text in CSV.items():
        (folder / name).write_text(text)
    (folder / "noise.parquet").write_bytes(b"\x00" * 64)
    (folder / "taken").write_text("a file, where a folder is wanted")
    (folder / "kept").mkdir()
    (folder / "kept" / "results.json").write_bytes(EARLIER)
    (folder / "odd" / "results.json").mkdir(parents=True)
    return folder


def data(source: str, *options: str) -> list[str]:
    return ["--data", source, "--target", "label", *options]


# Arguments of a check, and what the message must say.
CHECKS: list[tuple[list[str], list[str]]] = [
    # What the file holds: the message names file, column and row. All kinds of it are tests/datasets'.
    (data("three.csv"), ["three.csv", "'label'", "row 3", "2"]),
    (data("nan.csv"), ["nan.csv", "'b'", "row 2", "line 3", "nan"]),
    (["--data", "good.csv", "--target", "labels"], ["good.csv", "'labels'", "a, b, label", "Did you mean 'label'?"]),
    (["--data", "toy", "--projection", "0"], ["projection", "0", "1 or more"]),
    (["--backends", "tensorflow"], ["'tensorflow'", "numpy, autograd, jax, torch, torch-compile"]),
    (["--data", "synthetic:100000000x1000"], ["synthetic:100000000x1000", "memory"]),
    (["--dtype", "float16"], ["--dtype", "'float16'", "float64, float32"]),
    (["--steps", "0"], ["--steps", "0", "1"]),
    (["--lr", "0"], ["--lr", "0"]),
    (["--threads", "100000"], ["--threads", "100000", "cores"]),
    (["--seed", "-1"], ["--seed", "-1"]),
    (["--steps", "many"], ["--steps", "integer"]),
    (data("huge.csv", "--dtype", "float32", "--raw"), ["float32", "inf"]),
    (["--data", "good.csv"], ["good.csv", "--target"]),
    (["--data", "toy", *data("one-class.csv")], ["toy", "--target"]),
    (data(os.fsdecode(b"\xff.csv")), [r"--data: got '\udcff.csv'"]),
    # Files that cannot be read at all.
    (data("absent.csv"), ["absent.csv", "No such file"]),
    (data("noise.parquet"), ["noise.parquet", "a valid Parquet file"]),
    (data("red\x1b[31m.csv"), ["--data", r"red\x1b[31m.csv"]),
    # Sizes.
    (["--data", "toy", "--projection", "100000000000"], ["toy", "memory", "a smaller projection"]),
    (["--data", "toy", "--projection", "9" * 40], ["toy", "memory", "a smaller projection"]),
    (["--data", "toy", "--projection", "9" * 5000], ["--projection", "integer"]),
    # Settings.
    (["--projection", "five"], ["--projection", "'five'"]),
    (["--projection", "²"], ["--projection", "'²'"]),
    (["--projection=--5"], ["--projection", "'--5'"]),
    (["--backends", ""], ["backend", "''"]),
    (["--formulation", "fast"], ["--formulation", "'fast'", "as_written, reassociated, blocked"]),
    (["--steps", "1" + "0" * 30], ["--steps", "10000000"]),
    (["--lr", "nan"], ["--lr", "nan"]),
    (["--lr", "1e999"], ["--lr", "inf"]),
    (["--data", "toy", "--l2", "-1"], ["l2", "-1"]),
    (["--threads", "0"], ["--threads", "0"]),
    (["--seed", "1" + "0" * 30], ["--seed", "1" + "0" * 30]),
    # Wrong types, options and arguments, which the parser refuses.
    (["--lr", "fast"], ["--lr", "number"]),
    (["--seed", "1.5"], ["--seed", "integer"]),
    (["--bogus"], ["--bogus"]),
    (["stray"], ["stray"]),
    (["--backends"], ["--backends"]),
]

# The same of a bench.
BENCHES: list[tuple[list[str], list[str]]] = [
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
def command(command: Command, bad: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command line in the folder of bad files, where no worker may start."""

    def no_process(*arguments: Any, **options: Any) -> None:
        raise AssertionError("a worker was started")

    monkeypatch.chdir(bad)
    monkeypatch.setattr("gradparity.processes.peer.subprocess.Popen", no_process)
    return command


def require_one_line_that_says(words: list[str], code: object, out: str, err: str) -> None:
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert err.startswith("gradparity: ")
    assert err.endswith("\n")
    assert [word for word in words if word not in err] == []


def cases() -> list[Any]:
    """Every case, with its name in the list of tests."""
    both = [(["check", "--out", "kept", *words], said) for words, said in CHECKS]
    both += [(["bench", "--out", "kept", *words], said) for words, said in BENCHES]
    return [pytest.param(words, said, id=ascii(" ".join([words[0], *words[3:]]))[1:60]) for words, said in both]


@pytest.mark.parametrize(("arguments", "said"), cases())
def test_bad_input_is_one_clear_line_and_nothing_is_started_or_written_over(
    bad: Path, arguments: list[str], said: list[str], command: Command
):
    before = sorted(bad.rglob("*"))
    require_one_line_that_says(said, *command(*arguments))
    assert (bad / "kept" / "results.json").read_bytes() == EARLIER
    assert sorted(bad.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["check", "--json", "--out", "kept", "--data", "absent.csv"], {"rule": "absent.csv"}),
        (["bench", "--json", "--out", "kept", "--sizes", "4"], {"rule": "--sizes", "got": "'4'", "expected": SIZES}),
        (["compare", "absent", "absent", "--json"], {"rule": "absent"}),
        (["report", "--json", "absent"], {"rule": "absent"}),
        (["check", "--json", "--steps", "many"], {}),
        (["backends", "--json", "--nonsense"], {}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_with_json_bad_input_is_a_document_on_standard_output_too(
    arguments: list[str], named: dict[str, str], command: Command
):
    code, out, err = command(*arguments)
    document = json.loads(out)
    assert (code, document["exit_code"]) == (2, 2)
    assert err == f"gradparity: {document['error']['message']}\n"
    assert named.items() <= document["error"].items()
    assert set(document["error"]) == ({"message", "rule", "got", "expected", "cure"} if named else {"message"})


@pytest.mark.parametrize("arguments", [["nonsense"], ["--nonsense"], ["backends", "--nonsense"]], ids=" ".join)
def test_an_unknown_command_or_option_is_named(arguments: list[str], command: Command):
    require_one_line_that_says(["nonsense", "See gradparity --help"], *command(*arguments))


@pytest.mark.parametrize("out", ["taken", "taken/deeper", "/proc/gradparity", "odd", "n" * 300, "line\nbreak"])
def test_an_output_folder_that_cannot_be_written_is_refused(bad: Path, out: str, command: Command):
    quickly = ["check", "--backends", "numpy", "--data", "toy", "--steps", "3"]
    require_one_line_that_says(["--out: got", "expected"], *command(*quickly, "--out", out))
    assert (bad / "taken").read_text() == "a file, where a folder is wanted"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (data("three.csv"), r"three\.csv, .+"),
        (data(os.fsdecode(b"\xff.csv")), r"--data: got '\\udcff\.csv', expected .+"),
        (["--steps", "many"], r".*--steps.*integer.*"),
    ],
    ids=["a file", "a name that is no text", "a type"],
)
def test_a_process_of_its_own_ends_so_too(bad: Path, arguments: list[str], said: str):
    ran = python("-P", "-m", "gradparity", "check", "--out", "kept", *arguments, cwd=bad)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert re.fullmatch(rf"gradparity: {said}\n", ran.stderr)
