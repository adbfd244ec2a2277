"""What disagrees, as annotations at the lines of a pull request: GitHub's workflow commands.

Reference: https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands; what is escaped is in
https://github.com/actions/toolkit, packages/core/src/command.ts. The runner takes them from standard error, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gradparity.formatting import printable
from gradparity.report.facts.faults import Fault, faults_on
from gradparity.report.facts.words import entry
from gradparity.results import ProblemResult, RunResult
from gradparity.results.initialisers import MODEL
from gradparity.results.lines import Cure, Site


def annotations_of(result: RunResult, environment: Mapping[str, str]) -> list[str]:
    """A workflow command for each fault of a model of the user's and each place of it; none outside GitHub Actions.

    Args:
        result: the run, of files that are where they were.
        environment: variables of the process: ``GITHUB_ACTIONS`` is ``true`` there, and ``GITHUB_WORKSPACE`` the folder
            that the repository is in. A model outside of it, as one of the base branch may be, has no annotation.
    """
    if environment.get("GITHUB_ACTIONS") != "true":
        return []
    workspace = Path(environment.get("GITHUB_WORKSPACE") or Path.cwd()).resolve()
    found = (each for problem in result.problems if "path" in problem.spec for each in _of(result, problem, workspace))
    return list(dict.fromkeys(found))


def command(level: str, message: str, **properties: Any) -> str:
    """One workflow command, its text escaped as GitHub reads it."""
    given = ",".join(f"{name}={_escaped(str(value), ':,')}" for name, value in properties.items() if value)
    return f"::{level} {given}::{_escaped(message)}"


def _escaped(text: str, more: str = "") -> str:
    """With what would end a line, a property or an escape written as a percent sign and two digits."""
    for mark in ("%", "\r", "\n", *more):
        text = text.replace(mark, f"%{ord(mark):02X}")
    return text


def _of(result: RunResult, problem: ProblemResult, workspace: Path) -> Iterator[str]:
    place = Path(problem.spec["path"].partition("::")[0])
    for fault in faults_on(problem):
        shown = f"{fault.verdicts[0]} in {entry(fault.shown)}" if fault.shown else "training diverges"
        said = [f"{problem.label}: {', '.join(fault.size)}" if fault.size else problem.label, *fault.reasons]
        for file, line in _places(problem, fault, place):
            properties = {"file": _within(file, workspace), "line": line, "title": f"{fault.backend} {shown}"}
            if properties["file"]:
                yield command(_level(result, problem, fault), "\n".join(map(printable, said)), **properties)
    for title, backends, lines in _as_written(problem):
        for file in (_port(place, backend) for backend in backends):
            if name := _within(file, workspace):
                yield command("error", "\n".join(filter(None, lines)), file=name, title=title)


def _as_written(problem: ProblemResult) -> Iterator[tuple[str, Sequence[str], Sequence[str]]]:
    """What differs of the ports' own steps and initialisers: a title, whom of, and lines of text."""
    for part in problem.own_training.divergences if problem.own_training else ():
        said = f"{problem.label}: {' and '.join(part.backends)} part after step {part.step}, first in {part.what}"
        yield "training diverges", part.backends, [said, part.detail, *part.rules]
    for each in problem.initialisers.differences if problem.initialisers else ():
        said = f"{problem.label}: {' and '.join(each.backends)} start {each.block} otherwise"
        ports = [backend for backend in each.backends if backend != MODEL]
        yield "initialisers differ", ports, [said, each.said, each.hint]


def _level(result: RunResult, problem: ProblemResult, fault: Fault) -> str:
    """An error; a warning where nothing is known to be wrong, a notice where it is known and listed."""
    listed = result.baseline.known if result.baseline is not None else []
    known = {each.block for each in listed if (each.model, each.backend) == (problem.label, fault.backend)}
    blocks = {*fault.blocks, *(f"training with {ran.method}" for ran in fault.trainings)}
    return "notice" if blocks <= known else "warning" if fault.unresolved else "error"


def _places(problem: ProblemResult, fault: Fault, place: Path) -> list[tuple[Path, int]]:
    """Where an edit would mend the port, or else where it diverges, or else its file; both of two, neither blamed."""
    lines = problem.divergences.lines if problem.divergences else []
    mine = [each for each in lines if fault.backend in (each.backend, *each.also)]
    cures: Iterable[Site | Cure] = (
        c for each in mine for c in each.cures if fault.undecided or c.backend in (each.backend, *each.also)
    )
    sites = (s for each in mine for s in each.here if fault.undecided or s.backend in (each.backend, *each.also))
    for found in (cures, sites):
        places = [(file, each.line) for each in found if each.line and (file := _file(place, each.file))]
        if places:
            return list(dict.fromkeys(places))
    return [(_port(place, fault.backend), 0)]


def _folder(place: Path) -> Path:
    return place if place.is_dir() else place.parent


def _file(place: Path, name: str) -> Path | None:
    """A file that is named as reports name it: relative to the model's folder, or to its ``backends``."""
    candidates = [_folder(place) / name, _folder(place) / "backends" / name]
    return next((file for file in candidates if file.is_file()), None)


def _port(place: Path, backend: str) -> Path:
    """A backend's own file, or else the model's."""
    names = [f"backends/{backend}.py", "model.py", "model_spec.py"] if place.is_dir() else []
    return next((file for name in names if (file := place / name).is_file()), place)


def _within(file: Path, workspace: Path) -> str:
    """The path from the root of the repository that a file is in; ``""`` outside of the workspace."""
    full = file.resolve()
    if not full.is_relative_to(workspace):
        return ""
    inside = [folder for folder in full.parents if folder.is_relative_to(workspace)]
    root = next((folder for folder in inside if (folder / ".git").exists()), workspace)
    return full.relative_to(root).as_posix()
