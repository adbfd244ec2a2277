"""Every option of ``run``, ``check`` and ``bench``, once: the command line, the API and `Settings` follow these rows.

Nothing is imported here that takes long: the command line's help needs the rows and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from gradparity.runner.parsing import address, as_given, counts, profile_of, seeds_of, separate, several, width


class Option(NamedTuple):
    """One option, of all commands that have it alike.

    Attributes:
        name: its name in Python; on the command line with hyphens.
        help: what it says of itself there.
        type: type of the command line's value; one that may be repeated is a list.
        default: its value where it is not given; ``None`` leaves it to `Settings`.
        parse: makes the setting from the command line's words or from Python's value.
        field: the field of `Settings` that it sets, if that has another name; ``None`` if it is no setting.
        commands: which of the commands have it.
        built_in: whether it describes the built-in model or its data: a model of the user's has its own.
        metavar: what stands for its value in the help.
        configurable: whether a project's file may have its default, should it be a setting and no switch.
        flags: its spelling on the command line, where it is not made from the name alone.
    """

    name: str
    help: str
    type: Any = str
    default: Any = None
    parse: Callable[[Any], Any] = as_given
    field: str | None = ""
    commands: tuple[str, ...] = ("run", "check", "bench")
    built_in: bool = False
    metavar: str | None = None
    configurable: bool = True
    flags: str | None = None

    @property
    def panel(self) -> str:
        """The heading that it stands under in the help."""
        return next(heading for heading, names in PANELS.items() if self.name in names)

    @property
    def spelling(self) -> str:
        """How it is written on the command line."""
        return f"--{self.name.replace('_', '-')}"


#: The headings of the help, in its order, and the options under each.
PANELS: dict[str, tuple[str, ...]] = {
    "Model and data": (
        *(
            "sizes",
            "data",
            "target",
            "positive",
            "standardise",
            "projection",
            "formulation",
            "formulations",
            "numerics",
        ),
        *("reduction", "logit_scale", "l2", "dtype", "start", "stress"),
    ),
    "Training": ("steps", "lr", "optimiser", "momentum", "seed"),
    "Run": (
        *("backends", "backend", "reference", "baseline", "threads", "ranks", "profile", "quick", "budget", "timeout"),
        *("memory_limit", "scheduler", "env", "resume"),
    ),
    "Output": ("out", "force", "json", "quiet", "verbose", "export"),
}

#: Width of the projection unless told otherwise, as the command line has it.
DEFAULT_PROJECTION = "5"

_UNTIMED, _RUN, _CHECK, _BENCH = ("run", "check"), ("run",), ("check",), ("bench",)
_BUDGET = "Seconds that it may take in all; what does not fit is left out and named."
_BUDGET_OF_CHECK = f"{_BUDGET} Default: 120 a problem."

#: In the order in which each command's help lists them.
OPTIONS = (
    Option(
        "backends", "Backends, separated by commas. Default: all that are installed.", parse=separate, metavar="NAMES"
    ),
    Option(
        "backend",
        "One backend more, in another interpreter, which has NumPy, msgspec and the framework: "
        "jax-old=jax@/opt/old/bin/python. Or a program of any language: stan=command:./my_gradient, with "
        "its options in quotes. Repeatable.",
        list[str],
        parse=several,
        field="interpreters",
        metavar="NAME=BACKEND@PYTHON|NAME=command:PROGRAM",
    ),
    Option(
        "reference",
        "Answers recorded elsewhere, as one more column: a file of gradparity record, or one like it. Repeatable.",
        list[str],
        parse=several,
        field="references",
        commands=_CHECK,
        metavar="[NAME=]FILE",
    ),
    Option(
        "sizes",
        "Synthetic data of these sizes in place of --data: rows x features x projection, with commas between; without "
        "a projection the plain model.",
        parse=separate,
        commands=_BENCH,
        built_in=True,
        metavar="SxFxL,...",
    ),
    Option(
        "data",
        "Data set: toy, iris, breast_cancer, digits, synthetic:SxF, or a CSV, Parquet, NPY, NPZ or svmlight file. A "
        "NPY matrix has its labels in the last column, or in --target NUMBER; one too large for memory, and a Parquet "
        "file with --raw, is read in pieces under --formulation blocked. Repeatable.",
        list[str],
        parse=several,
        built_in=True,
        metavar="SOURCE",
    ),
    Option(
        "target",
        "Label column of a data file: its name, of a .npy file its number from 0.",
        built_in=True,
        metavar="COLUMN",
    ),
    Option(
        "positive",
        "The label that is 1: to be given of two labels in words, such as yes; of two numbers the larger, if not.",
        parse=str,
        built_in=True,
        metavar="LABEL",
    ),
    Option(
        "standardise",
        "Scale features to mean 0 and deviation 1. Default: real data only, NPY files excepted.",
        bool,
        built_in=True,
        flags="--standardise/--raw",
    ),
    Option(
        "projection",
        "Width L of the learned projection; 'none' for plain logistic regression.",
        default=DEFAULT_PROJECTION,
        parse=width,
        built_in=True,
        metavar="L",
    ),
    Option(
        "formulation", "as_written, reassociated or blocked.", default="as_written", commands=_UNTIMED, built_in=True
    ),
    Option(
        "formulations",
        "as_written, reassociated, blocked, several with commas between, or all.",
        default="as_written",
        parse=separate,
        commands=_BENCH,
        built_in=True,
        metavar="NAMES",
    ),
    Option("numerics", "stable or naive.", default="stable", built_in=True),
    Option("reduction", "Loss over rows: sum or mean.", default="mean", built_in=True),
    Option("logit_scale", "Logit scale c; 2 is HIPS autograd's example.", float, 1.0, built_in=True),
    Option("l2", "L2 penalty on every parameter.", float, 0.0, built_in=True),
    Option(
        "dtype",
        "float64 or float32; check of a model of yours also bfloat16 or float16. Default: float64; a model of yours as "
        "it is.",
        metavar="DTYPE",
    ),
    Option("start", "Start: random (small, seeded) or zeros (a saddle).", default="random", built_in=True),
    Option("steps", "Steps of training; of L-BFGS, the most iterations.", int, 100, commands=_UNTIMED),
    Option(
        "steps",
        "Gradient steps that the choice is for, import and first call included.",
        int,
        1000,
        commands=_BENCH,
        configurable=False,  # another thing than a check's, under one name
    ),
    Option("lr", "Learning rate of gd, momentum and adam.", float, 0.1, field="learning_rate"),
    Option(
        "optimiser",
        "gd, momentum, adam or lbfgs. Repeatable. Default: gd.",
        list[str],
        parse=several,
        commands=_UNTIMED,
        metavar="NAME",
    ),
    Option("momentum", "Momentum of the heavy ball.", float, 0.9, commands=_UNTIMED),
    Option(
        "seed",
        "Seed of the start, the directions and the order of timing; a model of yours is a problem for each of several "
        "with commas between. Default: 0.",
        parse=seeds_of,
        field="seeds",
        metavar="N,...",
    ),
    Option("threads", "Threads a backend.", int, 1, commands=_UNTIMED),
    Option(
        "threads",
        "Threads a backend; several with commas between are timed apart.",
        default="1",
        parse=counts,
        field="thread_counts",
        commands=_BENCH,
        metavar="N,...",
    ),
    Option("ranks", "Processes of each sharded backend, each with a part of the rows.", int, 2),
    Option(
        "profile",
        "How much to measure: brief, quick (one process a backend), standard (5 to 15 pairs of processes) or full.",
        default="quick",
        commands=_BENCH,
    ),
    Option("budget", _BUDGET, float, field="budget_s", commands=_BENCH, metavar="SECONDS"),
    Option(
        "timeout",
        "Seconds after which a process that does not answer is given up: import=60 for the framework's import, "
        "compile=300 for the first call, step=60 for any other request. Repeatable.",
        list[str],
        parse=several,
        metavar="import|compile|step=SECONDS",
    ),
    Option("memory_limit", "Memory that each backend's process may have, in GiB.", float, metavar="GIB"),
    Option(
        "scheduler",
        "Measure on a Dask cluster, each model and seed by a worker of it: tcp://host:port or tls://host:port of its "
        "scheduler, or local, local:N for N workers of this machine. Needs gradparity[dask].",
        parse=address,
        metavar="ADDRESS",
        configurable=False,  # a check in a test would go there too
    ),
    Option(
        "env",
        "An environment variable for the model, which has few of yours otherwise: NAME as it is here, or NAME=value. "
        "Repeatable.",
        list[str],
        parse=several,
        field="environment",
        metavar="NAME[=VALUE]",
    ),
    Option(
        "out",
        "Folder for results.json, report.html, report.md, blocks.parquet and the logs.",
        default="gradparity-report",
        parse=str,
        metavar="DIR",
    ),
    Option(
        "resume",
        *("Go on from the results in --out, where a run was interrupted: the same command once more.", bool, False),
        field=None,
    ),
    Option(
        "force",
        "Replace a complete run of another command in --out. Files of others are never written over.",
        bool,
        False,
        field=None,
    ),
    Option("json", "Print results.json on standard output, and nothing else.", bool, False, field=None),
    Option("quiet", "Print one line: the verdict and where the results are.", bool, False, field=None),
    Option("verbose", "Print every table, problem by problem as they are done.", bool, False, field=None),
    Option(
        "quick",
        "Fewer timing rounds; their intervals are wider.",
        bool,
        False,
        parse=profile_of,
        field="profile",
        commands=_RUN,
    ),
    Option(
        "stress",
        "The standard stress suite instead of --data and the model's options; about 40 s.",
        bool,
        False,
        commands=_CHECK,
    ),
    Option(
        "baseline",
        "A file with the disagreements that are known: others fail, one of these that is worse or has another cause "
        "does, and so does one that is mended, until it "
        "is deleted there. gradparity baseline writes it.",
        commands=_UNTIMED,
        parse=str,
        metavar="FILE",
    ),
    Option("budget", _BUDGET_OF_CHECK, float, field="budget_s", commands=_CHECK, metavar="SECONDS"),
    Option("budget", _BUDGET, float, field="budget_s", commands=_RUN, metavar="SECONDS"),
    Option(
        "export",
        "Also write the timings for another tool: 'pytest-benchmark FILE' for pytest-benchmark compare.",
        tuple[str, str],
        field=None,
        commands=_BENCH,
        metavar="FORMAT FILE",
    ),
)


def options_of(command: str) -> list[Option]:
    """The options of a command, in the order of its help."""
    return [option for option in OPTIONS if command in option.commands]


def in_python(command: str) -> set[str]:
    """Names of the options that the API's function of that name takes: all but those that say what is printed."""
    return {option.name for option in options_of(command) if option.field is not None} | {"resume", "force"}
