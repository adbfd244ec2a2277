"""The command line: arguments and exit codes only. Everything heavy is imported inside the commands.

Exit codes: 0 everything agrees; 1 a verdict other than agrees or kink, or training that diverges; 2 the input or the
command is at fault; 3 a requested backend failed, or gave nothing; 4 gradparity itself failed.
"""

from __future__ import annotations

import errno
import gc
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gradparity.cli import atlas, gradbench, streams
from gradparity.cli.execution import PRINTED, execute
from gradparity.cli.exits import ExitCode, exit_code
from gradparity.cli.options import EXAMPLES, JSON, QUIET, VERBOSE, Grouped, Panelled, given_of, with_options
from gradparity.model_spec.errors import InputError
from gradparity.version import __version__

if TYPE_CHECKING:
    from gradparity.runner.defaults import Asked
    from gradparity.runner.settings import Command

app = typer.Typer(
    name="gradparity",
    cls=Grouped,
    help="Do autograd, JAX and PyTorch compute the same gradient? Which is wrong where they differ, and which is "
    "fastest here?",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: to draw it, Rich would take longer than all the rest of --help
)


#: Asks for JSON, from every command that has something to say.
JSON_FLAG = "--json"


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


@app.command(cls=Panelled, epilog=EXAMPLES["run"])
@with_options
def run(**words: Any) -> ExitCode:
    """Check gradients, train, time and recommend. Data: toy and breast_cancer unless told otherwise."""
    return _measure("run", **words)


@app.command(cls=Panelled, epilog=EXAMPLES["check"])
@with_options
def check(**words: Any) -> ExitCode:
    """Check derivatives and training against the truth. Loss, gradient, JVP and HVP; nothing is timed."""
    return _measure("check", **words)


@app.command(cls=Panelled, epilog=EXAMPLES["bench"])
@with_options
def bench(**words: Any) -> ExitCode:
    """Time gradient steps and training loops of every backend, in turns. Every ratio has an interval."""
    return _measure("bench", **words)


app.command(cls=Panelled, epilog=atlas.EXAMPLES)(atlas.atlas)
app.add_typer(gradbench.app, name="gradbench")


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


@app.command(cls=Panelled)
def record(
    path: Annotated[str, typer.Argument(help="The model: a file or a folder.", metavar="MODEL")],
    out: Annotated[str, typer.Option(help="File to write.", metavar="FILE.safetensors")],
    backend: Annotated[
        str | None, typer.Option(help="Whose answers are written. Default: nobody's, the inputs alone.", metavar="NAME")
    ] = None,
    dtype: Annotated[str | None, typer.Option(help="As of check. Default: as the model is.", metavar="DTYPE")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of parameters, data and direction. Default: 0.")] = None,
    env: Annotated[
        list[str] | None, typer.Option(help="As of check: a variable that the model reads. Repeatable.", metavar="NAME")
    ] = None,
    intermediates: Annotated[
        bool,
        typer.Option(
            "--intermediates", help="Also results on the way, and the source: a check says where they diverge."
        ),
    ] = False,
) -> ExitCode:
    """Write a backend's loss, gradient, JVP and HVP to a file that check --reference holds others to; or the inputs."""
    from gradparity.cli.printing import console, say
    from gradparity.formatting import printable
    from gradparity.processes.peer import WorkerFailed
    from gradparity.runner.defaults import with_defaults
    from gradparity.runner.recording import record as write
    from gradparity.runner.settings import settings_from

    here = {"dtype": dtype, "seed": seed, "env": env}  # what the inputs depend on, a project's defaults among it
    asked = with_defaults("check", {name: value for name, value in here.items() if value is not None}, [path], Path())
    given = {name: asked.given.get(name) for name in here}
    given |= {"out": out, "backends": [backend] if backend else None}
    try:
        written = write(settings_from("check", given, path), intermediates=intermediates)
    except WorkerFailed as failure:
        say(str(failure), "red")
        return ExitCode.BACKEND
    console().print(f"Written: {printable(out)}: {printable(written)}", soft_wrap=True)
    return ExitCode.AGREES


@app.command(cls=Panelled)
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
    files = write_reports(result, folder)
    if json:
        print_document(encode(result))
        return exit_code(result)
    if verbose:
        print_problems(console(), result)
    there = [RESULTS_FILE, *files] if (folder / RESULTS_FILE).exists() else files
    print_result(result, str(folder), there, quiet=quiet, verbose=verbose)
    return exit_code(result)


@app.command(cls=Panelled)
def compare(
    old: Annotated[str, typer.Argument(help="results.json of the earlier run.", metavar="OLD")],
    new: Annotated[str, typer.Argument(help="results.json of the later run.", metavar="NEW")],
    json: Annotated[bool, typer.Option("--json", help="Print the comparison as one JSON document.")] = False,
) -> ExitCode:
    """Compare two runs: what became faster or slower, and which verdicts are worse or better. Worse ends with 1."""
    from gradparity.cli.printing import console, print_json
    from gradparity.judge.speed.compare import compare_runs
    from gradparity.report.terminal.compare import print_comparison
    from gradparity.results.store import read

    found = compare_runs(read(old), read(new))
    if json:
        print_json(found)
    else:
        print_comparison(console(), found)
    nothing = found.finished and not (found.compared or found.worse)
    return ExitCode.AGREES if found.ok else ExitCode.BACKEND if nothing else ExitCode.DISAGREES


@app.command()
def baseline(
    path: Annotated[str, typer.Argument(help="results.json of a run, or its folder.", metavar="PATH")],
    out: Annotated[str, typer.Option(help="The file; reasons that it has already are kept.", metavar="FILE")],
    reason: Annotated[str, typer.Option(help="Of entries that have none. Default: none.", metavar="TEXT")] = "",
) -> ExitCode:
    """Write the disagreements of a run into a list for --baseline, each with a reason that you fill in."""
    from gradparity.cli.printing import console
    from gradparity.formatting import printable
    from gradparity.judge.baseline import entries_of
    from gradparity.results.baseline import is_list, parsed, written
    from gradparity.results.store import read, replace_file

    result, file = read(path), Path(out).resolve()  # so that a link stays one
    if file.exists() and not file.is_file():  # to open a pipe waits for its other end, possibly for ever
        raise InputError("--out", got=f"{out}, which is no file", expected="a file that can be written")
    there = parsed(out) if file.exists() else []
    if file.exists() and not there and not is_list(file):
        raise InputError("--out", got=f"{out}, which no gradparity has written", expected="a new file, or such a list")
    entries = entries_of(result, there, reason)
    replace_file(file, written(entries, Path(out).name).encode(), cure="")
    cure = " Write a reason into each entry that has none." if any(not entry.reason for entry in entries) else ""
    console().print(f"Written: {printable(out)}.{cure}", soft_wrap=True)
    return ExitCode.AGREES


def _measure(command: Command, *, context: typer.Context, path: list[str] | None, **words: Any) -> ExitCode:
    """A command's words, and what a project's file adds to them."""

    def asked() -> Asked:
        from gradparity.runner.defaults import with_defaults

        return with_defaults(command, given_of(context, words), path or [], Path())

    return execute(command, asked, **{name: words[name] for name in words if name in PRINTED})


def main() -> None:
    """Entry point of the ``gradparity`` command; without arguments it shows its help."""
    gc.set_threshold(100_000)  # imports make hardly any garbage: looking for it took 7% of a small check
    streams.prepare()
    code: int = ExitCode.FAULT
    try:
        code = app(sys.argv[1:] or ["--help"], prog_name="gradparity", standalone_mode=False)
    except InputError as error:
        code = _refuse(str(error), rule=error.rule, got=error.got, expected=error.expected, cure=error.cure)
    except typer.TyperException as error:  # an unknown command or option, or a value of the wrong type
        code = _refuse(f"{error.format_message().rstrip('.')}. See gradparity --help.")
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.ENOMEM and "numpy" not in sys.modules:
            raise  # what says so imports NumPy, for which there is no memory
        _confess(error)
    failed = streams.flushed()
    if failed is not None:
        _confess(failed)
        code = ExitCode.FAULT
    sys.exit(code)


def _confess(error: Exception) -> None:
    """Say that it is none of the user's code that has failed, and where who reports it finds how."""
    from gradparity.cli.printing import say
    from gradparity.processes.limits import refused
    from gradparity.results.store import SAVED

    words = " ".join(next(iter(str(error).strip().splitlines()), "").split())  # a traceback behind it is in the file
    left = f"; {SAVED}" if SAVED in getattr(error, "__notes__", ()) else ""
    if refused(error):  # no descriptors, no room, no memory, no threads: not ours, and not the model's either
        if isinstance(error, OSError):
            words = (error.strerror or words) + (f": {error.filename}" if error.filename else "")
        printed = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EIO) and not error.filename
        what = "standard output could not be written" if printed else "the system refused, and no verdict was given"
        say(f"{what}: {words or 'no memory'}{left}.", "red")
        return
    where = streams.reported(error)
    told = f"what to report is in {where}" if where else "nothing could be written about it"
    say(f"a fault of gradparity itself, {type(error).__name__}: {words}. No verdict was given{left}; {told}.", "red")


def _refuse(message: str, **parts: str) -> ExitCode:
    """Say what is at fault in one line, and lines of code to copy below; also as JSON, where that was asked for."""
    from gradparity.cli.printing import print_json, say

    if JSON_FLAG in sys.argv[1:]:  # of what could not be parsed nothing else is known
        print_json({"error": {"message": message, **parts}, "exit_code": ExitCode.INPUT.value})
    cure = parts.get("cure", "")
    first, *code = cure.split("\n")
    say(message.removesuffix(cure) + first if code else message, "red", *code)
    return ExitCode.INPUT
