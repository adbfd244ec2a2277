"""The command line: arguments and exit codes only. Everything heavy is imported inside the commands.

Exit codes: 0 everything agrees; 1 a verdict other than agrees or kink; 2 the input or the command is at fault;
3 a requested backend failed, or gave nothing.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gradparity.cli.options import JSON, QUIET, VERBOSE, with_options
from gradparity.model_spec.errors import InputError
from gradparity.version import __version__

if TYPE_CHECKING:
    from gradparity.results import RunResult
    from gradparity.runner.settings import Command

app = typer.Typer(
    name="gradparity",
    help="Do autograd, JAX and PyTorch compute the same gradient? Which is wrong where they differ, and which is "
    "fastest here?",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: to draw it, Rich would take longer than all the rest of --help
)


class ExitCode(IntEnum):
    """What the process ends with."""

    AGREES = 0
    DISAGREES = 1
    INPUT = 2
    BACKEND = 3
    INTERRUPTED = 130


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"gradparity {__version__}")
        raise typer.Exit


@app.callback()
def gradparity(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Options of the program itself; `app` has its help."""


@app.command()
@with_options
def run(**words: Any) -> ExitCode:
    """Check gradients, train, time and recommend. Data: toy and breast_cancer unless told otherwise."""
    return _execute("run", **words)


@app.command()
@with_options
def check(**words: Any) -> ExitCode:
    """Check derivatives and training against the truth. Loss, gradient, JVP and HVP; nothing is timed."""
    return _execute("check", **words)


@app.command()
@with_options
def bench(**words: Any) -> ExitCode:
    """Time gradient steps and training loops of every backend, in turns. Every ratio has an interval."""
    return _execute("bench", **words)


@app.command(name="backends")
def list_backends(json: bool = JSON) -> ExitCode:
    """List the backends, and what adds those that are missing."""
    from gradparity.cli.printing import console, print_json
    from gradparity.report.terminal.inventory import inventory, print_inventory

    if json:
        print_json(inventory())
    else:
        print_inventory(console(), inventory())
    return ExitCode.AGREES


@app.command()
def new(
    directory: Annotated[str, typer.Argument(help="Folder to write it into; made if need be.", metavar="DIR")],
) -> ExitCode:
    """Write a commented model.py of your own to start from; it passes a check as it stands."""
    import shlex

    from gradparity.cli.printing import console
    from gradparity.cli.starter import write_starter
    from gradparity.formatting import printable

    model = write_starter(directory)
    check = f"gradparity check {shlex.quote(printable(str(model.parent)))}"
    console().print(f"Written: {printable(str(model))}\nCheck it: {check}", soft_wrap=True)
    return ExitCode.AGREES


@app.command()
def report(
    path: Annotated[str, typer.Argument(help="results.json of a run, or its folder.", metavar="PATH")],
    out: Annotated[
        str | None, typer.Option(help="Folder for the files. Default: that of the results.", metavar="DIR")
    ] = None,
    json: bool = JSON,
    quiet: bool = QUIET,
    verbose: bool = VERBOSE,
) -> ExitCode:
    """Write report.html and report.md of a run again, and print its first screen. Nothing is measured."""
    from gradparity.cli.printing import console, print_document, print_result, require_one
    from gradparity.report.files import write_reports
    from gradparity.report.terminal.tables import print_problems
    from gradparity.results.store import RESULTS_FILE, encode, read

    require_one(json=json, quiet=quiet, verbose=verbose)
    result = read(path)
    folder = Path(out) if out is not None else Path(path) if Path(path).is_dir() else Path(path).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError("--out", got=f"{folder} ({error.strerror})", expected="a folder that can be made") from None
    files = write_reports(result, folder)
    if json:
        print_document(encode(result))
        return exit_code(result)
    if verbose:
        print_problems(console(), result)
    there = [RESULTS_FILE, *files] if (folder / RESULTS_FILE).exists() else files
    print_result(result, str(folder), there, quiet=quiet, verbose=verbose)
    return exit_code(result)


@app.command()
def compare(
    old: Annotated[str, typer.Argument(help="results.json of the earlier run.", metavar="OLD")],
    new: Annotated[str, typer.Argument(help="results.json of the later run.", metavar="NEW")],
    json: Annotated[bool, typer.Option("--json", help="Print the comparison as one JSON document.")] = False,
) -> ExitCode:
    """Compare two runs: what became faster or slower, and which verdicts changed."""
    from gradparity.cli.printing import console, print_json
    from gradparity.judge.speed.compare import compare_runs
    from gradparity.report.terminal.compare import print_comparison
    from gradparity.results.store import read

    found = compare_runs(read(old), read(new))
    if json:
        print_json(found)
    else:
        print_comparison(console(), found)
    return ExitCode.AGREES if found.ok else ExitCode.DISAGREES


def _execute(
    command: Command,
    *,
    path: str | None,
    resume: bool,
    json: bool,
    quiet: bool,
    verbose: bool,
    export: tuple[str, str] | None = None,
    **words: Any,
) -> ExitCode:
    """Settings from words, the run, its report and its exit code."""
    started_s = time.monotonic()  # what follows is slow to import, and part of a time budget
    # This process calls BLAS on little but vectors, and OpenBLAS takes 60 ms to start its threads: 160 ms of an import
    # of NumPy, and 100 ms without. Workers get an environment of their own.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from gradparity.cli import printing
    from gradparity.report.page.plotly import prepare
    from gradparity.report.terminal.progress import Watch
    from gradparity.results.store import RESULTS_FILE, encode
    from gradparity.runner.settings import settings_from

    out, err = printing.console(), printing.console(stderr=True)
    exported = None
    with printing.interruption_said(words["out"]):
        printing.require_one(json=json, quiet=quiet, verbose=verbose)
        settings = settings_from(command, words, path)
        if export is not None:
            from gradparity.report.export import export_to, write_export

            exported = export_to(*export, out=settings.out)
        prepare()
        each = verbose and not settings.stress_suite  # the suite has one table for all its problems
        errors, said = None if quiet else err, settings.budget_said()
        with Watch(out if each else None, errors, brief=command == "bench", at_first=said) as watch:
            from gradparity.runner.session import run

            result = run(settings, watch, started_s, resume=resume)
        from gradparity.report.files import write_reports

        written = write_reports(result, Path(settings.out))
    if json:
        printing.print_document(encode(result))
    else:
        printing.print_result(result, settings.out, [RESULTS_FILE, *written], quiet=quiet, verbose=verbose)
    if export is not None and exported is not None:
        write_export(result, exported)
        if not (json or quiet):
            out.print(f"Timings for {export[0]}: {export[1]}", style="dim", soft_wrap=True)
    return exit_code(result)


def exit_code(result: RunResult) -> ExitCode:
    """What a finished run ends with; a wrong derivative outranks a lost backend."""
    if result.disagreements:
        return ExitCode.DISAGREES
    return ExitCode.BACKEND if result.troubles or result.unanswered else ExitCode.AGREES


def main() -> None:
    """Entry point of the ``gradparity`` command; without arguments it shows its help."""
    gc.set_threshold(100_000)  # imports make hardly any garbage: looking for it took 7% of a small check
    try:
        code = app(sys.argv[1:] or ["--help"], prog_name="gradparity", standalone_mode=False)
    except InputError as error:
        code = _refuse(str(error))
    except typer.TyperException as error:  # an unknown command or option, or a value of the wrong type
        code = _refuse(f"{error.format_message().rstrip('.')}. See gradparity --help.")
    sys.exit(code)


def _refuse(message: str) -> ExitCode:
    from gradparity.cli.printing import say

    say(message, "red")
    return ExitCode.INPUT
