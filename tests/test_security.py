"""What comes from others is data: no file of theirs is run, no path in one is followed, no terminal obeys one."""

from __future__ import annotations

import ast
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from gradparity.report.terminal.tables import text
from gradparity.results import RunResult
from gradparity.results.store import read
from tests.conftest import Command, python
from tests.samples import SAMPLES

ROOT = Path(__file__).parents[1]
PACKAGES = ("model_spec", "backends", "bench", "gradparity")

#: Modules whose readers run what the data say.
_MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "yaml", "code", "pty"}
_MODULES |= {"distributed", "dask"}  # whoever reaches one of their processes has it run what he likes
_BUILTINS = {"eval", "exec", "compile", "__import__"}
#: Of any object: `Connection.recv` and `send` pickle, and `exec_module` runs a file.
_METHODS = {"recv", "exec_module", "run_path", "run_module", "unsafe_load"}
_FUNCTIONS = {"os.system", "os.popen", "torch.load"}
_KEYWORDS = {"allow_pickle", "shell", "weights_only"}

#: What is found all the same, and why it may stay.
ALLOWED = {
    ("model_spec/user/model.py", "exec_module"): "the user's own model, which the user asked to run",
    ("model_spec/user/edited.py", "exec_module"): "the same with an edit of ours, in the port's own process",
    ("model_spec/user/edited.py", "compile"): "the same",
    ("gradparity/worker/channel.py", "recv"): "bytes of a socket, which nothing unpickles",
    ("gradparity/worker/cures/search.py", "compile"): "to see whether an edit is Python; its result is not run",
    ("gradparity/runner/campaign.py", "distributed"): "pickles, of a cluster that the user names: the page says so",
    ("gradparity/runner/cluster.py", "distributed"): "the same",
    ("gradparity/runner/remote.py", "distributed"): "the same, in the cluster's worker; what it is sent is msgspec's",
    ("gradparity/runner/local_node.py", "distributed.cli"): "of this machine's own, on the loopback interface",
    ("gradparity/runner/function_sources.py", "compile"): "to hold a source to a function's bytecode; it is not run",
}


def risks(source: str) -> Iterator[str]:
    """Whatever in the source runs text or data as code, by name."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name.split(".")[0] in _MODULES)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            if node.module.split(".")[0] in _MODULES:
                yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names if name.name in ("system", "popen"))
        elif isinstance(node, ast.Call):
            called = node.func
            if isinstance(called, ast.Name) and called.id in _BUILTINS:
                yield called.id
            if isinstance(called, ast.Attribute) and called.attr in _METHODS:
                yield called.attr
            if isinstance(called, ast.Attribute) and ast.unparse(called) in _FUNCTIONS:
                yield ast.unparse(called)
            for keyword in node.keywords:
                safe = keyword.arg == "weights_only"
                if keyword.arg in _KEYWORDS and ast.unparse(keyword.value) != str(safe):
                    yield f"{keyword.arg}={ast.unparse(keyword.value)}"


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from dask.distributed import Client",
        "from pickle import loads",
        "import yaml; yaml.load(text)",
        "import marshal as m",
        "import shelve",
        "eval(text)",
        "exec(text)",
        "compile(text, '', 'exec')",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=trusted)",
        "torch.load(path)",
        "subprocess.run(command, shell=True)",
        "os.system(command)",
        "from os import system",
        "pipe.recv()",
        "__import__(name)",
    ],
)
def test_the_scan_finds(line: str):
    assert list(risks(line))


def test_nothing_in_the_packages_runs_data_as_code():
    files = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    assert len(files) > 100
    found = {(path.relative_to(ROOT).as_posix(), risk) for path in files for risk in risks(path.read_text("utf-8"))}
    assert found == set(ALLOWED)


class MakesFolder:
    """Unpickled, it makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("kind", ["npz", "npy"])
def test_an_array_of_pickled_objects_is_refused_and_not_unpickled(kind: str, tmp_path: Path, command: Command):
    made, file = tmp_path / "made", tmp_path / f"data.{kind}"
    objects = np.empty((4, 2), object)
    objects[...] = MakesFolder(made)
    if kind == "npy":
        np.save(file, objects, allow_pickle=True)
    else:
        np.savez(file, X=objects, y=np.array([0, 1, 0, 1]))
    code, _, said = command("check", "--backends", "numpy", "--data", str(file), "--out", str(tmp_path / "out"))
    assert code == 2
    assert str(file) in said
    assert "object" in said
    assert not made.exists()
    loaded = np.load(file, allow_pickle=True)  # the trap works: whoever allows pickles falls into it
    if kind == "npz":
        with loaded:
            assert loaded["X"].dtype == object
    assert made.is_dir()


#: Writes a line for every file that is opened and every folder that is listed from here on.
_AUDITED = """
import sys
seen = []
def hook(event, arguments):
    if event in ("open", "os.listdir", "os.scandir", "subprocess.Popen", "socket.connect"):
        seen.append(f"{event} {arguments[0]}")
sys.addaudithook(hook)
from gradparity.cli.app import main
try:
    main()
finally:
    with open(sys.argv[0], "w") as log:
        log.write("\\n".join(seen))
"""


def test_comparing_opens_the_two_files_and_no_path_that_they_name(tmp_path: Path):
    secret = tmp_path / "secret"
    (secret / "logs").mkdir(parents=True)
    for name in ("model.py", "model_spec.py", "data.csv", "results.json", "logs/jax.log"):
        (secret / name).write_text("raise SystemExit('opened')\n")
    document = msgspec.json.decode(SAMPLES[2].read_bytes())
    document["settings"].update(out=str(secret), model=str(secret / "model.py"), data=[str(secret / "data.csv")])
    for problem in document["problems"]:
        problem["source"] = f"file {secret}/data.csv, target 'y'"
        problem["spec"]["path"] = str(secret)
        problem["troubles"] = [
            {"backend": "jax", "stage": "load", "reason": "died", "detail": f"{secret}/logs/jax.log"}
        ]
    files = [tmp_path / "old.json", tmp_path / "new.json"]
    for file in files:
        file.write_bytes(msgspec.json.encode(document))
    log = tmp_path / "opened.txt"
    script = _AUDITED.replace(
        "main()\n", f"sys.argv = [{str(log)!r}, 'compare', *{list(map(str, files))!r}]\n    main()\n", 1
    )
    ended = python("-c", script, cwd=ROOT)
    assert ended.returncode == 0, ended.stderr
    seen = [line.partition(" ") for line in log.read_text().splitlines()]
    assert {event for event, _, _ in seen} <= {"open", "os.listdir", "os.scandir"}
    paths = {Path(path) for _, _, path in seen if not path.isdigit()} - {log}
    assert set(files) <= paths
    own = {Path(each).resolve() for each in (sys.prefix, sys.base_prefix, ROOT, *filter(None, sys.path))}
    foreign = {path for path in paths - set(files) if not own & {path.resolve(), *path.resolve().parents}}
    assert not foreign
    assert not any(secret in (path, *path.parents) for path in paths)


#: A window's title, an erased screen, colours by the one-byte introducer, a bell, a backspace, a line overwritten from
#: its start, and text turned round.
_HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m\x07\x08\r\u202e\x1bc"
#: Values of an enumeration, and what reports read numbers or files by.
_KEPT = {"verdict", "speed", "kind", "direction", "compile_cache"}


def _hostile(found: Any, name: str = "") -> Any:
    """The same with a control sequence after every text, names of versions and backends among them."""
    if isinstance(found, dict):
        named = name in ("versions", "idle", "parameter_floors")
        return {key + _HOSTILE if named else key: _hostile(value, key) for key, value in found.items()}
    if isinstance(found, list):
        return [_hostile(value, name) for value in found]
    return found + _HOSTILE if isinstance(found, str) and name not in _KEPT else found


def _hostile_result(path: Path, tmp_path: Path) -> Path:
    document = _hostile(msgspec.json.decode(path.read_bytes()))
    file = tmp_path / f"hostile-{path.name}"
    file.write_bytes(msgspec.json.encode(document))
    return file


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_no_control_sequence_of_a_result_is_in_its_report(sample: Path, tmp_path: Path):
    result: RunResult = read(_hostile_result(sample, tmp_path))
    assert any("\x1b" in found.backend for problem in result.problems for found in problem.findings)
    report = text(result)
    assert "AMD EPYC" in " ".join(report.split())
    assert all(line.isprintable() for line in report.split("\n"))


@pytest.mark.parametrize("colours", [False, True])
def test_no_control_sequence_of_a_result_reaches_the_terminal_by_compare(colours: bool, tmp_path: Path):
    hostile = _hostile_result(SAMPLES[1], tmp_path)
    words = ("-m", "gradparity", "compare", str(SAMPLES[1]), str(hostile))
    ended = python(*words, **({"FORCE_COLOR": "1"} if colours else {}))
    assert ended.returncode == 3, ended.stderr  # of backends that are called otherwise nothing is in common
    assert "AMD EPYC" in ended.stdout
    own = re.compile(r"\x1b\[[0-9;]*m")
    assert bool(own.search(ended.stdout)) == colours
    assert all(line.isprintable() for line in own.sub("", ended.stdout).split("\n"))
