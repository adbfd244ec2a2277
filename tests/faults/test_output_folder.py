"""What is in an output folder: nothing of others is touched, and results stay until there are others."""

from __future__ import annotations

import errno
import os
import shutil
import signal
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import msgspec
import numpy as np
import pytest
from safetensors.numpy import save_file
from typer.testing import CliRunner

from gradparity.cli import starter
from gradparity.cli.app import app
from gradparity.model_spec.errors import InputError
from gradparity.results import RunResult, store
from gradparity.results.folder import SCHEMA_PATH, hold, without_reports
from gradparity.runner import session
from gradparity.runner.observer import NullObserver
from gradparity.runner.settings import Settings, settings_from
from tests.faults.harness import command, forks
from tests.samples import SAMPLES

MODEL = Path(starter.__file__).with_name("starter_files") / "model.py"
CHECK = ("check", "--backends", "numpy", "--data", "toy", "--steps", "2")


def settings_in(folder: Path, **more: object) -> Settings:
    return settings_from("check", {"backends": ["numpy"], "data": ["toy"], "steps": 2, "out": str(folder), **more}, ())


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def checked(folder: Path) -> dict[str, bytes]:
    """The files of a complete check."""
    assert CliRunner().invoke(app, [*CHECK, "--out", str(folder), "--quiet"], standalone_mode=False).return_value == 0
    return contents(folder)


STRANGE: dict[str, Callable[[Path], object]] = {
    "results of another tool": lambda folder: (folder / "results.json").write_text('{"benchmarks": []}'),
    "results that are none": lambda folder: (folder / "results.json").write_text("{"),
    "results in a folder": lambda folder: (folder / "results.json").mkdir(),
    "a report of the user's": lambda folder: (folder / "report.md").write_text("# Mine\n"),
    "a page of the user's": lambda folder: (folder / "report.html").write_text("<title>Mine</title>"),
    "a table of the user's": lambda folder: (folder / "blocks.parquet").write_bytes(b"PAR1"),
    "a pipe for a report": lambda folder: os.mkfifo(folder / "report.html"),
    "a pipe among the logs": lambda folder: ((folder / "logs").mkdir(), os.mkfifo(folder / "logs" / "numpy.log")),
    "a folder among the logs": lambda folder: (folder / "logs" / "numpy.log").mkdir(parents=True),
    "a link among the logs": lambda folder: (
        (folder / "logs").mkdir(),
        (folder / "logs" / "numpy.log").symlink_to(folder / "notes.txt"),
    ),
    "a log of the user's": lambda folder: (
        (folder / "logs").mkdir(),
        (folder / "logs" / "toy.numpy.log").write_text("mine"),
    ),
    "a report of the user's beside ours": lambda folder: (
        shutil.copy(SCHEMA_PATH, folder),
        (folder / "report.md").write_text("# Mine\n"),
    ),
    "logs behind a link to nowhere": lambda folder: (folder / "logs").symlink_to(folder / "nowhere"),
    "logs in a file": lambda folder: (folder / "logs").write_text("mine"),
}


@pytest.mark.parametrize("strange", STRANGE)
def test_a_file_that_is_not_ours_is_never_written_over(tmp_path: Path, strange: str):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    STRANGE[strange](folder)
    before = sorted(folder.rglob("*")), contents(folder) if "pipe" not in strange else None
    for force in (False, True):
        with (
            pytest.raises(InputError, match="expected a folder of its own") as refused,
            hold(str(folder), "check", force=force),
        ):
            pass
        assert refused.value.rule == "--out"
    assert (sorted(folder.rglob("*")), contents(folder) if "pipe" not in strange else None) == before


def test_a_report_elsewhere_is_not_written_over_what_is_not_ours(tmp_path: Path):
    checked(tmp_path / "out")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "report.md").write_text("# Mine\n")
    words = ["report", str(tmp_path / "out"), "--out", str(tmp_path / "mine")]
    with pytest.raises(InputError, match=r"report\.md is not gradparity's"):
        CliRunner().invoke(app, words, standalone_mode=False, catch_exceptions=False)
    assert contents(tmp_path / "mine") == {"report.md": b"# Mine\n"}
    again = ["report", str(tmp_path / "out"), "--out", str(tmp_path / "other"), "--quiet"]
    for _ in range(2):  # over a report of ours
        assert CliRunner().invoke(app, again, standalone_mode=False).return_value == 0


@pytest.mark.parametrize("there", ["weights", "text", "a pipe", "a folder"])
def test_a_recording_is_not_written_over_what_is_no_recording(tmp_path: Path, there: str):
    file = tmp_path / "mine.safetensors"
    make: dict[str, Callable[[], object]] = {
        "weights": lambda: save_file({"w": np.zeros(3)}, file),
        "text": lambda: file.write_text("mine"),
        "a pipe": lambda: os.mkfifo(file),
        "a folder": file.mkdir,
    }
    make[there]()
    before = file.read_bytes() if file.is_file() else None
    words = ["record", str(MODEL), "--out", str(file)]
    with pytest.raises(InputError, match=r"--out: got .*mine\.safetensors, which is no "):
        CliRunner().invoke(app, words, standalone_mode=False, catch_exceptions=False)
    assert before is None or file.read_bytes() == before


def test_a_recording_is_written_over_one_and_through_a_link_that_stays(tmp_path: Path):
    file, link = tmp_path / "old.safetensors", tmp_path / "link.safetensors"
    link.symlink_to(file)
    for _ in range(2):
        assert CliRunner().invoke(app, ["record", str(MODEL), "--out", str(link)]).exit_code == 0
    assert link.is_symlink()
    assert file.stat().st_size


def test_a_list_of_known_disagreements_waits_for_no_pipe(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    words = ["baseline", str(next(iter(SAMPLES))), "--out", str(tmp_path / "pipe")]
    with pytest.raises(InputError, match="which is no file"):
        CliRunner().invoke(app, words, standalone_mode=False, catch_exceptions=False)


def test_a_list_of_known_disagreements_is_written_over_no_notes(tmp_path: Path):
    notes, mine = tmp_path / "notes.md", "# Mine\n\n# Nothing but headings, which TOML takes for comments\n"
    notes.write_text(mine)
    words = ["baseline", str(next(iter(SAMPLES))), "--out", str(notes)]
    with pytest.raises(InputError, match="which no gradparity has written"):
        CliRunner().invoke(app, words, standalone_mode=False, catch_exceptions=False)
    assert notes.read_text() == mine
    words[-1] = str(tmp_path / "known.toml")
    for _ in range(2):  # over a list of ours, with entries or without
        assert CliRunner().invoke(app, words, standalone_mode=False).exit_code == 0


def test_a_folder_or_a_log_that_may_not_be_used_is_said_and_the_results_there_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    before = checked(tmp_path)
    accessible, opened = os.access, os.open

    def forbidden(path: Path, *how: int, **more: int) -> int:
        if Path(path) == tmp_path:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return opened(path, *how, **more)

    with monkeypatch.context() as no_rights:  # the tests may be root's, who has them all
        no_rights.setattr(os, "access", lambda path, mode: Path(path).suffix != ".log" and accessible(path, mode))
        with pytest.raises(InputError, match=r"--out: got .*\.log, which cannot be written"):
            session.run(settings_in(tmp_path), NullObserver())
        no_rights.setattr(os, "open", forbidden)
        with pytest.raises(InputError, match=r"--out: got .*Permission denied"):
            session.run(settings_in(tmp_path), NullObserver())
    assert contents(tmp_path) == before


def test_of_reports_that_cannot_all_be_taken_away_none_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("report.html", "report.md"):
        (tmp_path / name).write_text("old")
    unlink = Path.unlink

    def kept(path: Path, **how: bool) -> None:
        if path.name == "report.md":
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        unlink(path, **how)

    monkeypatch.setattr(Path, "unlink", kept)
    with pytest.raises(InputError, match="taken away"), without_reports(tmp_path):
        pass
    assert contents(tmp_path) == {"report.html": b"old", "report.md": b"old"}


def test_a_folder_without_a_name_is_not_the_working_directory():
    with pytest.raises(InputError, match="--out: got ''"), hold("", "check"):
        pass


def test_what_only_looks_like_a_file_in_the_making_is_left_alone(tmp_path: Path):
    own = tmp_path / "thesis.partial", tmp_path / ".writable", tmp_path / ".results.json.gradparity"
    for path in own:
        path.write_text("mine")
    (tmp_path / "folder.partial").mkdir()
    target = tmp_path / "target.txt"
    target.write_text("mine")
    (tmp_path / "results.json.partial").symlink_to(target)
    left = store.partial_of(tmp_path / "results.json")
    left.write_text("half a file of a run that was killed")
    with hold(str(tmp_path), "check") as held:
        store.replace_file(held.folder / "report.md", b"<!-- gradparity -->")
    assert not left.exists()
    assert [path.read_text() for path in (*own, target)] == ["mine"] * 4
    assert (tmp_path / "folder.partial").is_dir()
    assert (tmp_path / "results.json.partial").is_symlink()


def test_a_complete_run_of_another_command_is_replaced_only_by_force(tmp_path: Path):
    before = checked(tmp_path)
    with pytest.raises(InputError, match=r"a complete `gradparity check`.*--force"), hold(str(tmp_path), "bench"):
        pass
    assert contents(tmp_path) == before
    with hold(str(tmp_path), "bench", force=True), hold(str(tmp_path / "other"), "bench"):
        pass
    result = store.read(tmp_path)
    store.save(msgspec.structs.replace(result, complete=False), tmp_path)
    with hold(str(tmp_path), "bench"):  # what was never finished
        pass


def test_results_stay_until_there_are_others_and_no_report_is_of_any_but_these(tmp_path: Path):
    before = checked(tmp_path / "gradparity-report")
    with command(*CHECK, "--data", "iris", cwd=tmp_path) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "import numpy" in line or "truth" in line:
                break
        process.kill()
        process.communicate()
    after = contents(tmp_path / "gradparity-report")
    assert after["results.json"] == before["results.json"]
    assert not {"report.html", "report.md"} & after.keys()


@pytest.mark.parametrize("changed", ["a setting", "the versions", "the data", "a problem more"])
def test_a_refused_resume_leaves_what_it_refuses_as_it_was(
    tmp_path: Path, changed: str, monkeypatch: pytest.MonkeyPatch
):
    checked(tmp_path)
    result = store.read(tmp_path)
    problem = msgspec.structs.replace(result.problems[0], stages=[])
    if changed == "the data":
        problem.digest = "0" * 64
    problems = [problem]
    if changed == "a problem more":
        problems.append(msgspec.structs.replace(problem, name="another"))
    if changed == "the versions":
        problem.checked = []
        result.backends = [msgspec.structs.replace(each, versions={"numpy": "1.0"}) for each in result.backends]
    store.save(msgspec.structs.replace(result, problems=problems, complete=False), tmp_path)
    before = contents(tmp_path)
    settings = settings_in(tmp_path, seed=7) if changed == "a setting" else settings_in(tmp_path)
    with pytest.raises(InputError, match="--resume"):
        session.run(settings, NullObserver(), resume=True)
    assert contents(tmp_path) == before


def test_a_folder_that_is_taken_away_is_made_again_and_nothing_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    save, folder, saved = store.save, tmp_path / "out", list[int]()

    def taken(result: RunResult, where: Path, **how: bool) -> None:
        saved.append(len(result.problems))
        if len(saved) == 3:
            shutil.rmtree(where)
        save(result, where, **how)

    monkeypatch.setattr(store, "save", taken)
    found = session.run(settings_in(folder), NullObserver())
    assert len(saved) > 3
    assert msgspec.json.encode(store.read(folder)) == msgspec.json.encode(found)
    assert (folder / "results.schema.json").is_file()


def test_reports_are_beside_no_results_but_those_that_they_are_of(tmp_path: Path):
    checked(tmp_path / "one")
    other = tmp_path / "other"
    shutil.copytree(tmp_path / "one", other)
    store.save(msgspec.structs.replace(store.read(other), sessions=[]), other)
    shutil.copy(other / "results.json", tmp_path / "one" / "old.json")
    before = [contents(tmp_path / "one"), contents(other)]
    for words in ([str(tmp_path / "one"), "--out", str(other)], [str(tmp_path / "one" / "old.json")]):
        with pytest.raises(InputError, match="which has the results of another run"):
            CliRunner().invoke(app, ["report", *words], standalone_mode=False, catch_exceptions=False)
    with (
        hold(str(other), "check"),
        pytest.raises(InputError, match="where another run is writing"),
    ):
        CliRunner().invoke(app, ["report", str(other)], standalone_mode=False, catch_exceptions=False)
    assert [contents(tmp_path / "one"), contents(other)] == before
    assert CliRunner().invoke(app, ["report", str(other), "--quiet"], standalone_mode=False).return_value == 0


def test_a_folder_that_was_made_anew_is_one_runs_alone_as_well(tmp_path: Path):
    out = tmp_path / "out"
    with hold(str(out), "check") as first:
        first.keep()
        shutil.rmtree(out)
        first.keep()  # nobody was there before it
        with pytest.raises(InputError, match="where another run is writing"), hold(str(out), "check"):
            pass
        shutil.rmtree(out)
        with hold(str(out), "check"), pytest.raises(InputError, match="where another run is writing"):
            first.keep()
    with hold(str(out), "check"):
        pass


def test_a_run_whose_folder_has_become_another_runs_writes_nothing_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    out, taken = tmp_path / "out", ExitStack()
    checked_before = session.ProblemRun.check

    def taken_away(run: session.ProblemRun, name: str) -> None:
        shutil.rmtree(out)
        taken.enter_context(hold(str(out), "check"))
        checked_before(run, name)

    monkeypatch.setattr(session.ProblemRun, "check", taken_away)
    with taken, pytest.raises(InputError, match="where another run is writing"):
        session.run(settings_in(out), NullObserver())
    assert not (out / "results.json").exists()


@forks
@pytest.mark.skipif(not hasattr(os, "fork"), reason="a system without fork")
def test_a_process_that_was_forked_meanwhile_keeps_no_folder(tmp_path: Path):
    """As of a program that calls gradparity in a thread and has a pool of processes beside it."""
    with hold(str(tmp_path), "check"):
        child = os.fork()
        if not child:
            signal.pause()
            os._exit(0)
    try:
        with hold(str(tmp_path), "check"):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


@pytest.mark.parametrize("changed", ["a variable", "a module beside it", "what is installed"])
def test_what_is_done_is_not_shown_for_what_it_is_not_of(tmp_path: Path, changed: str, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "beside.py").write_text("import os\n\ndef factor():\n    return float(os.environ['FACTOR'])\n")
    model = tmp_path / "model.py"
    model.write_text(
        "import beside\n\n"
        "def parameters(rng):\n    return {'w': rng.standard_normal(2)}\n\n"
        "def data(rng):\n    return {'x': rng.standard_normal(2)}\n\n"
        "def loss(params, data, xp):\n    return xp.sum((params['w'] * data['x']) ** 2)\n\n"
        "def gradient(params, data):\n    return {'w': beside.factor() * 2 * params['w'] * data['x'] ** 2}\n"
    )
    out = tmp_path / "out"
    given = {"backends": ["numpy"], "steps": 2, "env": ["FACTOR"], "out": str(out)}
    settings = settings_from("check", given, str(model))
    monkeypatch.setenv("FACTOR", "1")
    assert session.run(settings, NullObserver()).ok
    if changed == "a variable":
        monkeypatch.setenv("FACTOR", "3")
    elif changed == "a module beside it":
        (tmp_path / "beside.py").write_text("def factor():\n    return 3.0\n")
    else:
        result = store.read(out)
        result.backends = [msgspec.structs.replace(each, versions={"numpy": "1.0"}) for each in result.backends]
        store.save(result, out)
    before = contents(out)
    with pytest.raises(InputError, match="--resume"):
        session.run(settings, NullObserver(), resume=True)
    assert contents(out) == before
