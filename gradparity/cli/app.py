"""The command line: arguments and exit codes only. Everything heavy is imported inside the commands.

Exit codes: 0 everything agrees; 1 a verdict other than agrees or kink; 2 the input or the command is at fault;
3 a requested backend failed.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from enum import IntEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gradparity.cli.options import (
    L2,
    Backend,
    Backends,
    BenchSteps,
    Budget,
    Data,
    DType,
    Export,
    Formulation,
    Formulations,
    Json,
    LogitScale,
    Lr,
    MemoryLimit,
    ModelPath,
    Momentum,
    Numerics,
    Optimiser,
    Out,
    Profile,
    Projection,
    Quick,
    Quiet,
    Reduction,
    Resume,
    Seed,
    Sizes,
    Standardise,
    Start,
    Steps,
    Stress,
    Target,
    ThreadCounts,
    Threads,
    Timeout,
    Verbose,
)

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from gradparity.report.export import Export as Exporter
    from gradparity.report.terminal.progress import Watch
    from gradparity.results import RunResult
    from gradparity.runner.settings import Settings

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


_OUT = "gradparity-report"


@app.command()
def run(
    path: ModelPath = None,
    backends: Backends = None,
    backend: Backend = None,
    data: Data = None,
    target: Target = None,
    standardise: Standardise = None,
    projection: Projection = "5",
    formulation: Formulation = "as_written",
    numerics: Numerics = "stable",
    reduction: Reduction = "mean",
    logit_scale: LogitScale = 1.0,
    l2: L2 = 0.0,
    dtype: DType = None,
    start: Start = "random",
    steps: Steps = 100,
    lr: Lr = 0.1,
    optimiser: Optimiser = None,
    momentum: Momentum = 0.9,
    seed: Seed = 0,
    threads: Threads = 1,
    timeout: Timeout = None,
    memory_limit: MemoryLimit = None,
    out: Out = _OUT,
    resume: Resume = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    quick: Quick = False,
) -> None:
    """Check gradients, train, time and recommend. Data: toy and breast_cancer unless told otherwise."""
    _execute("run", **locals())


@app.command()
def check(
    path: ModelPath = None,
    backends: Backends = None,
    backend: Backend = None,
    data: Data = None,
    target: Target = None,
    standardise: Standardise = None,
    projection: Projection = "5",
    formulation: Formulation = "as_written",
    numerics: Numerics = "stable",
    reduction: Reduction = "mean",
    logit_scale: LogitScale = 1.0,
    l2: L2 = 0.0,
    dtype: DType = None,
    start: Start = "random",
    steps: Steps = 100,
    lr: Lr = 0.1,
    optimiser: Optimiser = None,
    momentum: Momentum = 0.9,
    seed: Seed = 0,
    threads: Threads = 1,
    timeout: Timeout = None,
    memory_limit: MemoryLimit = None,
    out: Out = _OUT,
    resume: Resume = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    stress: Stress = False,
    budget: Budget = None,
) -> None:
    """Check derivatives and training against the truth. Loss, gradient, JVP and HVP; nothing is timed."""
    _execute("check", **locals())


@app.command()
def bench(
    path: ModelPath = None,
    backends: Backends = None,
    backend: Backend = None,
    sizes: Sizes = None,
    data: Data = None,
    target: Target = None,
    standardise: Standardise = None,
    projection: Projection = "5",
    formulations: Formulations = "as_written",
    numerics: Numerics = "stable",
    reduction: Reduction = "mean",
    logit_scale: LogitScale = 1.0,
    l2: L2 = 0.0,
    dtype: DType = None,
    start: Start = "random",
    steps: BenchSteps = 1000,
    lr: Lr = 0.1,
    seed: Seed = 0,
    threads: ThreadCounts = "1",
    profile: Profile = "quick",
    budget: Budget = None,
    timeout: Timeout = None,
    memory_limit: MemoryLimit = None,
    out: Out = _OUT,
    resume: Resume = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    export: Export = None,
) -> None:
    """Time gradient steps and training loops of every backend, in turns. Every ratio has an interval."""
    options = locals()
    _execute("bench", thread_counts=options.pop("threads"), **options)


@app.command(name="backends")
def list_backends(json: Json = False) -> None:
    """List the backends, and what adds those that are missing."""
    from gradparity.report.terminal.inventory import inventory, print_inventory

    found = inventory()
    if json:
        import msgspec

        _print_document(msgspec.json.format(msgspec.json.encode(found), indent=1))
    else:
        print_inventory(_console(stderr=False), found)


@app.command()
def new(
    directory: Annotated[str, typer.Argument(help="Folder to write it into; made if need be.", metavar="DIR")],
) -> None:
    """Write a commented model.py of your own to start from; it passes a check as it stands."""
    import shlex

    from gradparity.cli.starter import write_starter
    from gradparity.formatting import printable
    from gradparity.model_spec.errors import InputError

    try:
        model = write_starter(directory)
    except InputError as error:
        _say(_console(stderr=True), str(error), "red")
        raise typer.Exit(ExitCode.INPUT) from None
    check = f"gradparity check {shlex.quote(printable(str(model.parent)))}"
    _console(stderr=False).print(f"Written: {printable(str(model))}\nCheck it: {check}", soft_wrap=True)


@app.command()
def report(
    path: Annotated[str, typer.Argument(help="results.json of a run, or its folder.", metavar="PATH")],
    out: Annotated[
        str | None, typer.Option(help="Folder for the files. Default: that of the results.", metavar="DIR")
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Write report.html and report.md of a run again, and print its first screen. Nothing is measured."""
    from pathlib import Path

    from gradparity.model_spec.errors import InputError
    from gradparity.report.terminal.tables import print_problems
    from gradparity.results.store import RESULTS_FILE, encode, read

    console = _console(stderr=False)
    try:
        _require_one(json=json, quiet=quiet, verbose=verbose)
        result = read(path)
        folder = Path(out) if out is not None else Path(path) if Path(path).is_dir() else Path(path).parent
        _make_folder(folder)
        files = _write_reports(result, str(folder))
    except InputError as error:
        _say(_console(stderr=True), str(error), "red")
        raise typer.Exit(ExitCode.INPUT) from None
    if json:
        _print_document(encode(result))
    else:
        if verbose:
            print_problems(console, result)
        there = [RESULTS_FILE, *files] if (folder / RESULTS_FILE).exists() else files
        _print_result(console, result, str(folder), there, quiet=quiet, verbose=verbose)
    raise typer.Exit(exit_code(result))


@app.command()
def compare(
    old: Annotated[str, typer.Argument(help="results.json of the earlier run.", metavar="OLD")],
    new: Annotated[str, typer.Argument(help="results.json of the later run.", metavar="NEW")],
    json: Annotated[bool, typer.Option("--json", help="Print the comparison as one JSON document.")] = False,
) -> None:
    """Compare two runs: what became faster or slower, and which verdicts changed."""
    from gradparity.judge.speed.compare import compare_runs
    from gradparity.model_spec.errors import InputError
    from gradparity.report.terminal.compare import print_comparison
    from gradparity.results.store import read

    try:
        found = compare_runs(read(old), read(new))
    except InputError as error:
        _say(_console(stderr=True), str(error), "red")
        raise typer.Exit(ExitCode.INPUT) from None
    if json:
        import msgspec

        _print_document(msgspec.json.format(msgspec.json.encode(found), indent=1))
    else:
        print_comparison(_console(stderr=False), found)
    raise typer.Exit(ExitCode.AGREES if found.ok else ExitCode.DISAGREES)


def _execute(
    command: str,
    *,
    backends: str | None,
    data: list[str] | None,
    json: bool,
    quiet: bool,
    verbose: bool,
    resume: bool = False,
    export: tuple[str, str] | None = None,
    **rest: Any,
) -> None:
    """Settings from arguments, the run, its report and its exit code."""
    started_s = time.monotonic()  # what follows is slow to import, and part of a time budget
    # This process calls BLAS on little but vectors, and OpenBLAS takes 60 ms to start its threads: 160 ms of an import
    # of NumPy, and 100 ms without. Workers get an environment of their own.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from gradparity.model_spec.errors import InputError
    from gradparity.report.page.plotly import prepare
    from gradparity.report.terminal.progress import Watch
    from gradparity.results.store import RESULTS_FILE, SAVED, encode
    from gradparity.runner.settings import settings_from

    out, err = _console(stderr=False), _console(stderr=True)
    try:
        _require_one(json=json, quiet=quiet, verbose=verbose)
        settings = settings_from(command, backends=backends, data=data, **rest)
        exported = _export_to(*export, out=settings.out) if export is not None else None
        prepare()
        with Watch(out if verbose else None, None if quiet else err, brief=command == "bench") as watch:
            result = _run(settings, watch, started_s, resume=resume)
        written = _write_reports(result, settings.out)
    except InputError as error:
        _say(err, str(error), "red")
        raise typer.Exit(ExitCode.INPUT) from None
    except KeyboardInterrupt as interruption:
        saved = SAVED in getattr(interruption, "__notes__", ())
        where = f"results so far are in {rest['out']}/{RESULTS_FILE}: go on with --resume"
        _say(err, f"interrupted; {where if saved else 'nothing was measured yet'}", "yellow")
        raise
    if json:
        _print_document(encode(result))
    else:
        _print_result(out, result, settings.out, [RESULTS_FILE, *written], quiet=quiet, verbose=verbose)
    if export is not None and exported is not None:
        try:
            exported.write(result)
            if not (json or quiet):
                out.print(f"Timings for {export[0]}: {export[1]}", style="dim", soft_wrap=True)
        except InputError as error:  # it could be written before the run
            _say(err, str(error), "red")
            raise typer.Exit(ExitCode.INPUT) from None
    raise typer.Exit(exit_code(result))


def _run(settings: Settings, watch: Watch, started_s: float, *, resume: bool) -> RunResult:
    """The run, or the stress suite."""
    if settings.stress_suite:
        from gradparity.runner.stress_run import run_stress

        return run_stress(settings, watch, resume=resume)
    from gradparity.runner.session import run

    return run(settings, watch, started_s, resume=resume)


def _require_one(**chosen: bool) -> None:
    """See that at most one of the ways to print is asked for.

    Raises:
        InputError: several are.
    """
    from gradparity.model_spec.errors import InputError

    asked = [f"--{name}" for name, wanted in chosen.items() if wanted]
    if len(asked) > 1:
        raise InputError(asked[1], got=f"{asked[0]} beside it", expected="one of the two")


def _make_folder(folder: Path) -> None:
    from gradparity.model_spec.errors import InputError

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError("--out", got=f"{folder} ({error.strerror})", expected="a folder that can be made") from None


def _write_reports(result: RunResult, out: str) -> list[str]:
    from pathlib import Path

    from gradparity.report.files import write_reports

    return write_reports(result, Path(out))


def _print_result(
    console: Console, result: RunResult, out: str, files: list[str], *, quiet: bool, verbose: bool
) -> None:
    """The first screen, after all tables where they were asked for; or one line of it."""
    from gradparity.formatting import printable
    from gradparity.report.facts.overview import overview
    from gradparity.report.terminal.first_screen import MOST_LINES, print_first_screen, print_one_line

    found, place = overview(result), printable(out)
    if quiet:
        print_one_line(console, found, f"{place}/{files[0]}")
        return
    if verbose and result.settings.get("stress"):
        from gradparity.report.terminal.stress import print_stress

        print_stress(console, result)
    saved = f"{place}/: {', '.join(files)}" + ("" if verbose else "; every table: --verbose")
    print_first_screen(console, found, [saved], most=None if verbose else MOST_LINES)


def _export_to(kind: str, file: str, out: str) -> Exporter:
    from gradparity.report.export import export_to

    return export_to(kind, file, out)


def exit_code(result: RunResult) -> ExitCode:
    """What a finished run ends with; a wrong derivative outranks a lost backend."""
    if result.disagreements:
        return ExitCode.DISAGREES
    return ExitCode.BACKEND if result.troubles else ExitCode.AGREES


def _console(*, stderr: bool) -> Console:
    """A console that takes text as it stands; tables piped into a file get the width they need, not 80 columns."""
    from rich.console import Console

    from gradparity.report.terminal.plain import Printable

    console = Console(stderr=stderr, markup=False, emoji=False, highlight=False)
    console.push_render_hook(Printable())
    if not console.is_terminal:
        console.width = 120
    return console


def _say(err: Console, message: str, style: str) -> None:
    """One line about the command itself."""
    from gradparity.formatting import printable

    err.print(f"gradparity: {printable(message)}", style=style, soft_wrap=True)


def _print_document(document: bytes) -> None:
    sys.stdout.buffer.write(document + b"\n")


def main() -> None:
    """Entry point of the ``gradparity`` command; without arguments it shows its help."""
    gc.set_threshold(100_000)  # imports make hardly any garbage: looking for it took 7% of a small check
    try:
        code = app(sys.argv[1:] or ["--help"], prog_name="gradparity", standalone_mode=False)
    except typer.TyperException as error:  # an unknown command or option, or a value of the wrong type
        _say(_console(stderr=True), f"{error.format_message().rstrip('.')}. See gradparity --help.", "red")
        code = ExitCode.INPUT
    sys.exit(code)
