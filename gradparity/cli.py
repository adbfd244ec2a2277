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

if TYPE_CHECKING:
    from rich.console import Console

    from gradparity.export import Export as Exporter
    from gradparity.report.progress import Watch
    from gradparity.results import RunResult
    from gradparity.settings import Settings

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


_DATA_HELP = (
    "Data set: toy, iris, breast_cancer, digits, synthetic:SxF, or a CSV, Parquet, NPY, NPZ or svmlight file. A NPY "
    "matrix has its labels in the last column, or in --target NUMBER; one too large for memory is read in pieces under "
    "--formulation blocked. Repeatable."
)
_TARGET_HELP = "Label column of a data file: its name, or in a NPY file its number from 0."
_STANDARDISE_HELP = "Scale features to mean 0 and deviation 1. Default: real data only, NPY files excepted."

Backends = Annotated[
    str | None, typer.Option(help="Backends, separated by commas. Default: all that are installed.", metavar="NAMES")
]
Backend = Annotated[
    list[str] | None,
    typer.Option(
        help="One backend more, in another interpreter, which has NumPy, msgspec and the framework: "
        "jax-old=jax@/opt/old/bin/python. Repeatable.",
        metavar="NAME=BACKEND@PYTHON",
    ),
]
Data = Annotated[list[str] | None, typer.Option(help=_DATA_HELP, metavar="SOURCE")]
Target = Annotated[
    str | None,
    typer.Option(help="Label column of a data file: its name, of a .npy file its number from 0.", metavar="COLUMN"),
]
Standardise = Annotated[bool | None, typer.Option("--standardise/--raw", help=_STANDARDISE_HELP)]
Projection = Annotated[
    str, typer.Option(help="Width L of the learned projection; 'none' for plain logistic regression.", metavar="L")
]
Formulation = Annotated[str, typer.Option(help="as_written, reassociated or blocked.")]
Numerics = Annotated[str, typer.Option(help="stable or naive.")]
Reduction = Annotated[str, typer.Option(help="Loss over rows: sum or mean.")]
LogitScale = Annotated[float, typer.Option(help="Logit scale c; 2 is HIPS autograd's example.")]
L2 = Annotated[float, typer.Option(help="L2 penalty on every parameter.")]
DType = Annotated[
    str | None, typer.Option(help="float64 or float32. Default: float64; a model of yours as it is.", metavar="DTYPE")
]
Start = Annotated[str, typer.Option(help="Start: random (small, seeded) or zeros (a saddle).")]
Steps = Annotated[int, typer.Option(help="Steps of training; of L-BFGS, the most iterations.")]
Lr = Annotated[float, typer.Option(help="Learning rate of gd, momentum and adam.")]
Optimiser = Annotated[
    list[str] | None, typer.Option(help="gd, momentum, adam or lbfgs. Repeatable. Default: gd.", metavar="NAME")
]
Momentum = Annotated[float, typer.Option(help="Momentum of the heavy ball.")]
Seed = Annotated[int, typer.Option(help="Seed of the start, the directions and the order of timing.")]
Threads = Annotated[int, typer.Option(help="Threads a backend.")]
Sizes = Annotated[
    str | None,
    typer.Option(
        help="Synthetic data of these sizes in place of --data: rows x features x projection, with commas between; "
        "without a projection the plain model.",
        metavar="SxFxL,...",
    ),
]
Formulations = Annotated[
    str, typer.Option(help="as_written, reassociated, blocked, several with commas between, or all.", metavar="NAMES")
]
ThreadCounts = Annotated[
    str, typer.Option(help="Threads a backend; several with commas between are timed apart.", metavar="N,...")
]
Profile = Annotated[
    str,
    typer.Option(
        help="How much to measure: brief, quick (one process a backend), standard (5 to 15 pairs of processes) or full."
    ),
]
Budget = Annotated[
    float | None,
    typer.Option(help="Seconds that it may take in all; what does not fit is left out and named.", metavar="SECONDS"),
]
BenchSteps = Annotated[int, typer.Option(help="Gradient steps that the choice is for, import and first call included.")]
Export = Annotated[
    tuple[str, str] | None,
    typer.Option(
        help="Also write the timings for another tool: 'pytest-benchmark FILE' for pytest-benchmark compare.",
        metavar="FORMAT FILE",
    ),
]
Out = Annotated[str, typer.Option(help="Folder for results.json and the logs.", metavar="DIR")]
Json = Annotated[bool, typer.Option("--json", help="Print results.json on standard output, and nothing else.")]
Quick = Annotated[bool, typer.Option("--quick", help="Fewer timing rounds; their intervals are wider.")]
Stress = Annotated[
    bool,
    typer.Option("--stress", help="The standard stress suite instead of --data and the model's options; about 40 s."),
]

Resume = Annotated[
    bool,
    typer.Option(
        "--resume", help="Go on from the results in --out, where a run was interrupted: the same command once more."
    ),
]
Timeout = Annotated[
    list[str] | None,
    typer.Option(
        help="Seconds after which a process that does not answer is given up: import=60 for the framework's import, "
        "compile=300 for the first call, step=60 for any other request. Repeatable.",
        metavar="import|compile|step=SECONDS",
    ),
]
MemoryLimit = Annotated[
    float | None, typer.Option(help="Memory that each backend's process may have, in GiB.", metavar="GIB")
]

ModelPath = Annotated[
    str | None,
    typer.Argument(
        metavar="[PATH]",
        help="A model of yours in place of the built-in one: a file with parameters(rng), data(rng) and "
        "loss(params, data, xp), or a folder with model_spec.py and backends/NAME.py.",
        show_default=False,
    ),
]

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
    export: Export = None,
) -> None:
    """Time gradient steps and training loops of every backend, in turns. Every ratio has an interval."""
    options = locals()
    _execute("bench", thread_counts=options.pop("threads"), **options)


@app.command(name="backends")
def list_backends(json: Json = False) -> None:
    """List the backends, and what adds those that are missing."""
    from gradparity.report.inventory import inventory, print_inventory

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

    from gradparity.starter import write_starter
    from gradparity.text import printable
    from model_spec.errors import InputError

    try:
        model = printable(str(write_starter(directory)))
    except InputError as error:
        _say(_console(stderr=True), str(error), "red")
        raise typer.Exit(ExitCode.INPUT) from None
    _console(stderr=False).print(f"Written: {model}\nCheck it: gradparity check {shlex.quote(model)}", soft_wrap=True)


@app.command()
def compare(
    old: Annotated[str, typer.Argument(help="results.json of the earlier run.", metavar="OLD")],
    new: Annotated[str, typer.Argument(help="results.json of the later run.", metavar="NEW")],
    json: Annotated[bool, typer.Option("--json", help="Print the comparison as one JSON document.")] = False,
) -> None:
    """Compare two runs: what became faster or slower, and which verdicts changed."""
    from gradparity.compare import compare_runs
    from gradparity.report.compare import print_comparison
    from gradparity.store import read
    from model_spec.errors import InputError

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
    resume: bool = False,
    export: tuple[str, str] | None = None,
    **rest: Any,
) -> None:
    """Settings from arguments, the run, its report and its exit code."""
    started_s = time.monotonic()  # what follows is slow to import, and part of a time budget
    # This process calls BLAS on little but vectors, and OpenBLAS takes 60 ms to start its threads: 160 ms of an import
    # of NumPy, and 100 ms without. Workers get an environment of their own.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from gradparity.report.progress import Watch
    from gradparity.settings import settings_from
    from gradparity.store import RESULTS_FILE, SAVED, encode
    from model_spec.errors import InputError

    out, err = _console(stderr=False), _console(stderr=True)
    try:
        settings = settings_from(command, backends=backends, data=data, **rest)
        exported = _export_to(*export, out=settings.out) if export is not None else None
        with Watch(None if json else out, err, brief=command == "bench") as watch:
            result = _run(settings, watch, started_s, resume=resume)
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
        _print_result(out, result, settings)
    if export is not None and exported is not None:
        try:
            exported.write(result)
            if not json:
                out.print(f"Timings for {export[0]}: {export[1]}", style="dim", soft_wrap=True)
        except InputError as error:  # it could be written before the run
            _say(err, str(error), "red")
            raise typer.Exit(ExitCode.INPUT) from None
    raise typer.Exit(exit_code(result))


def _run(settings: Settings, watch: Watch, started_s: float, *, resume: bool) -> RunResult:
    """The run, or the stress suite."""
    if settings.stress_suite:
        from gradparity.stress_run import run_stress

        return run_stress(settings, watch, resume=resume)
    from gradparity.engine import run

    return run(settings, watch, started_s, resume=resume)


def _print_result(out: Console, result: RunResult, settings: Settings) -> None:
    """What is left to say when all problems are done."""
    from gradparity.report.terminal import print_summary
    from gradparity.store import RESULTS_FILE

    if settings.stress_suite:
        from gradparity.report.stress import print_stress

        print_stress(out, result)
    print_summary(out, result, f"{settings.out}/{RESULTS_FILE}")


def _export_to(kind: str, file: str, out: str) -> Exporter:
    from gradparity.export import export_to

    return export_to(kind, file, out)


def exit_code(result: RunResult) -> ExitCode:
    """What a finished run ends with; a wrong derivative outranks a lost backend."""
    if result.disagreements:
        return ExitCode.DISAGREES
    return ExitCode.BACKEND if result.troubles else ExitCode.AGREES


def _console(*, stderr: bool) -> Console:
    """A console that takes text as it stands; tables piped into a file get the width they need, not 80 columns."""
    from rich.console import Console

    from gradparity.report.plain import Printable

    console = Console(stderr=stderr, markup=False, emoji=False, highlight=False)
    console.push_render_hook(Printable())
    if not console.is_terminal:
        console.width = 120
    return console


def _say(err: Console, message: str, style: str) -> None:
    """One line about the command itself."""
    from gradparity.text import printable

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
