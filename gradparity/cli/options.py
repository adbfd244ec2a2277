"""Options of the command line: their words, their types and what they say of themselves."""

from __future__ import annotations

from typing import Annotated

import typer

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
Out = Annotated[
    str,
    typer.Option(help="Folder for results.json, report.html, report.md, blocks.parquet and the logs.", metavar="DIR"),
]
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
        "loss(params, data, xp), or a folder with model.py and backends/NAME.py.",
        show_default=False,
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print one line: the verdict and where the results are.")]
Verbose = Annotated[bool, typer.Option("--verbose", help="Print every table, problem by problem as they are done.")]
