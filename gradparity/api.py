"""The same from Python: ``check``, ``bench`` and ``run`` of a model of yours, or of the built-in one.

    result = gradparity.check("model.py", backends=["jax", "torch"], steps=20)
    assert result.ok, result
    result.to_frame().filter(verdict="wrong")

Options are those of the command line, with underscores. Nothing is printed, and nothing exits: what is at fault with
the input is raised as `gradparity.InputError`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import TYPE_CHECKING, TypeAlias, TypedDict, Unpack

from gradparity.model_spec.errors import InputError
from gradparity.results import RunResult

if TYPE_CHECKING:
    import polars as pl

    from gradparity.runner.settings import Command


class Result(RunResult):
    """What a run found, with the fields of ``results.json``.

    It shows itself: printed as the command line prints it, in a notebook as a table, as a data frame.
    """

    def to_frame(self) -> pl.DataFrame:
        """A row for every finding, as a Polars data frame."""
        from gradparity.report.frame import frame

        return frame(self)

    def __str__(self) -> str:
        from gradparity.report.terminal.tables import text

        return text(self)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        from gradparity.report.notebook import html

        return html(self)


#: A path, or an imported module that has one; ``None`` is the built-in model.
Model: TypeAlias = str | Path | ModuleType | None


class _Options(TypedDict, total=False):
    """Options of every command, as `gradparity.runner.options` has them; see ``gradparity check --help``."""

    backends: str | Iterable[str] | None
    backend: str | Iterable[str]
    data: str | Iterable[str]
    target: str
    standardise: bool
    projection: int | None
    numerics: str
    reduction: str
    logit_scale: float
    l2: float
    dtype: str
    start: str
    steps: int
    lr: float
    seed: int
    timeout: str | Iterable[str]
    memory_limit: float
    out: str | Path
    resume: bool


class _Training(_Options, total=False):
    formulation: str
    optimiser: str | Iterable[str]
    momentum: float
    threads: int


class RunOptions(_Training, total=False):
    """Options of ``run``."""

    quick: bool
    budget: float


class CheckOptions(_Training, total=False):
    """Options of ``check``."""

    stress: bool
    budget: float


class BenchOptions(_Options, total=False):
    """Options of ``bench``."""

    sizes: str | Iterable[str]
    formulations: str | Iterable[str]
    threads: int | str | Iterable[int]
    profile: str
    budget: float


def check(model: Model = None, **options: Unpack[CheckOptions]) -> Result:
    """Check derivatives and training of every backend against the truth. Nothing is timed.

    Args:
        model: path of a model's file or folder, or an imported module; the built-in model if not given.
        **options: as of ``gradparity check``, with underscores, and with lists in place of commas: ``backends``,
            ``steps``, ``optimiser``, ``budget`` (seconds, 120 a problem unless given), ``memory_limit`` (GiB a
            process), ... Results are kept only if their folder ``out`` is given.

    Returns:
        What was found, whether all is ``ok``, and for every problem its findings, losses and troubles.

    Raises:
        InputError: the model, the data or an option's value is at fault.
        TypeError: there is no such option.
    """
    return _execute("check", model, options)


def bench(model: Model = None, **options: Unpack[BenchOptions]) -> Result:
    """Time gradient steps and training loops of every backend, in turns.

    Args:
        model: path of a model's file or folder, or an imported module; the built-in model if not given.
        **options: as of ``gradparity bench``: ``backends``, ``sizes`` (rows x features x projection, such as
            ``"1000x20x10"``), ``threads`` (one number or several), ``profile``, ``budget`` (seconds), ...

    Returns:
        What was found, for every problem its findings, its timings (nanoseconds) and the recommended backend.

    Raises:
        InputError: the model, the data or an option's value is at fault.
        TypeError: there is no such option.
    """
    return _execute("bench", model, options)


def run(model: Model = None, **options: Unpack[RunOptions]) -> Result:
    """Check gradients, train, time and recommend.

    Args:
        model: path of a model's file or folder, or an imported module; the built-in model if not given.
        **options: as of ``gradparity run``: those of `check` but ``stress``, and ``quick``.

    Returns:
        The result, with all that `check` and `bench` have.

    Raises:
        InputError: the model, the data or an option's value is at fault.
        TypeError: there is no such option.
    """
    return _execute("run", model, options)


def _execute(command: Command, model: Model, options: CheckOptions | BenchOptions | RunOptions) -> Result:
    started_s = time.monotonic()
    from gradparity.runner.observer import NullObserver
    from gradparity.runner.options import in_python
    from gradparity.runner.session import run as run_engine
    from gradparity.runner.settings import settings_from

    unknown = options.keys() - in_python(command)
    if unknown:
        raise TypeError(f"{command}() got an unexpected option {', '.join(sorted(unknown))!r}")
    with ExitStack() as stack:
        out = options.get("out") or stack.enter_context(TemporaryDirectory(prefix="gradparity-"))
        settings = settings_from(command, {**options, "out": out}, path_of(model))
        resume = options.get("resume", False)
        found = run_engine(settings, NullObserver(), started_s, resume=resume)
    return Result(**{name: getattr(found, name) for name in found.__struct_fields__})


def path_of(model: Model) -> str | None:
    """Where a model is.

    Raises:
        InputError: a module without a file.
    """
    if model is None or isinstance(model, str | Path):
        return None if model is None else str(model)
    file = getattr(model, "__file__", None)
    if not file:
        raise InputError(
            "model", got=f"{model!r}, which has no file", expected="a path, or a module that was imported from a file"
        )
    from gradparity.model_spec.user.model import BACKENDS_FOLDER, MODEL_FILES

    # The model's file in a folder of ports stands for the folder.
    path = Path(file)
    return str(path.parent if path.name in MODEL_FILES and (path.parent / BACKENDS_FOLDER).is_dir() else path)
