"""The same from Python: ``check``, ``bench`` and ``run`` of a model of yours, or of the built-in one.

    result = gradparity.check("model.py", backends=["jax", "torch"], steps=20)
    assert result.ok, result
    result.to_frame().filter(verdict="wrong")

Options are those of the command line, with underscores. Nothing is printed, and nothing exits: what is at fault with
the input is raised as `gradparity.InputError`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from inspect import Parameter, cleandoc, signature
from pathlib import Path
from textwrap import fill
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict, TypeVar, Unpack, get_type_hints

from gradparity.model_spec.errors import InputError
from gradparity.results import RunResult
from gradparity.runner.options import Option, in_python, options_of

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


#: A path, or an imported module that has one.
One: TypeAlias = str | Path | ModuleType
#: One or several of them; ``None`` is the built-in model.
Model: TypeAlias = One | Sequence[One] | None
#: A loss in every backend's namespace, or losses by the names of backends.
Losses: TypeAlias = Callable[..., Any] | Mapping[str, Callable[..., Any]]


class _Options(TypedDict, total=False):
    """Options of every command, as `gradparity.runner.options` has them; see ``gradparity check --help``."""

    backends: str | Iterable[str] | None
    backend: str | Iterable[str]
    params: Any
    data: str | Iterable[str] | Any
    target: str
    positive: str
    standardise: bool
    projection: int | None
    numerics: str
    reduction: str
    logit_scale: float
    l2: float
    dtype: str
    start: str
    env: str | Iterable[str]
    steps: int
    lr: float
    seed: int | str | Iterable[int]
    ranks: int
    scheduler: str
    timeout: str | Iterable[str]
    memory_limit: float
    out: str | Path
    resume: bool
    force: bool


class _Training(_Options, total=False):
    formulation: str
    optimiser: str | Iterable[str]
    momentum: float
    threads: int
    baseline: str | Path


class RunOptions(_Training, total=False):
    """Options of ``run``."""

    quick: bool
    budget: float


class CheckOptions(_Training, total=False):
    """Options of ``check``."""

    reference: str | Path | Iterable[str | Path]
    stress: bool
    budget: float


class BenchOptions(_Options, total=False):
    """Options of ``bench``."""

    sizes: str | Iterable[str]
    formulations: str | Iterable[str]
    threads: int | str | Iterable[int]
    profile: str
    budget: float


Function = TypeVar("Function", bound=Callable[..., Any])


def _spelt_out(options: type) -> Callable[[Function], Function]:
    """Give a function of ``**options`` the signature that it stands for, and every option a line of its docstring.

    The names, defaults and help are those of the command line's table, the types those of the ``TypedDict``.
    """

    def spell(function: Function) -> Function:
        shown, types = signature(function), get_type_hints(options)
        rows = {option.name: option for option in options_of(function.__name__)}
        named = [name for name in rows if name in in_python(function.__name__)]
        keywords = [_keyword(rows[name], types[name]) for name in named if name != "data"]
        arrays = [Parameter(name, Parameter.POSITIONAL_OR_KEYWORD, default=None) for name in ("params", "data")]
        given = [shown.parameters["model"], *arrays]
        function.__signature__ = shown.replace(parameters=[*given, *keywords])  # type: ignore[attr-defined]
        about, raised = cleandoc(function.__doc__ or "").split("\nReturns:")
        lines = "\n".join(_line(rows[name]) for name in named)
        about = about.replace("*arrays: ``params`` and ``data`` beside", "params, data: beside")
        function.__doc__ = f"{about.rstrip()}\n{lines}\n\nReturns:{raised}"
        return function

    return spell


def _keyword(option: Option, kind: Any) -> Parameter:
    default = None if option.name == "out" else option.parse(option.default) if option.default else option.default
    annotation = kind | None if default is None else kind
    return Parameter(option.name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _line(option: Option) -> str:
    said = option.help.replace("--", "").replace(" Repeatable.", "").replace(", separated by commas", "")
    return fill(f"{option.name}: {said}", 112, initial_indent=" " * 4, subsequent_indent=" " * 8)


@_spelt_out(CheckOptions)
def check(model: Model | Losses = None, *arrays: Any, **options: Unpack[CheckOptions]) -> Result:
    """Check derivatives and training of every backend against the truth. Nothing is timed.

    Results are kept only if their folder ``out`` is given.

    Args:
        model: path of a model's file or folder, or an imported module, or a list of such; the built-in model if not
            given. ``"model.py::smooth"`` is the model with the loss ``smooth``. Or functions, beside arrays:
            ``loss(params, data, xp)``, or ``{"jax": loss_of_jax, "torch": loss_of_torch}`` of ``(params, data)``, with
            the neutral loss under ``"loss"`` if there is one.
        *arrays: ``params`` and ``data`` beside functions: trees of arrays of any framework, or ``parameters(rng)`` and
            ``data(rng)``.

    Returns:
        What was found, whether all is ``ok``, and for every problem its findings, losses and troubles.

    Raises:
        InputError: the model, the data or an option's value is at fault.
        TypeError: there is no such option.
    """
    return execute("check", model, options, arrays=arrays)


@_spelt_out(BenchOptions)
def bench(model: Model | Losses = None, *arrays: Any, **options: Unpack[BenchOptions]) -> Result:
    """Time gradient steps and training loops of every backend, in turns.

    Args:
        model: path of a model's file or folder, or an imported module, or a list of such; the built-in model if not
            given. ``"model.py::smooth"`` is the model with the loss ``smooth``. Or functions, beside arrays:
            ``loss(params, data, xp)``, or ``{"jax": loss_of_jax, "torch": loss_of_torch}`` of ``(params, data)``, with
            the neutral loss under ``"loss"`` if there is one.
        *arrays: ``params`` and ``data`` beside functions: trees of arrays of any framework, or ``parameters(rng)`` and
            ``data(rng)``.

    Returns:
        What was found, for every problem its findings, its timings (nanoseconds) and the recommended backend.

    Raises:
        InputError: the model, the data or an option's value is at fault.
        TypeError: there is no such option.
    """
    return execute("bench", model, options, arrays=arrays)


@_spelt_out(RunOptions)
def run(model: Model | Losses = None, *arrays: Any, **options: Unpack[RunOptions]) -> Result:
    """Check gradients, train, time and recommend.

    Args:
        model: path of a model's file or folder, or an imported module, or a list of such; the built-in model if not
            given. ``"model.py::smooth"`` is the model with the loss ``smooth``. Or functions, beside arrays:
            ``loss(params, data, xp)``, or ``{"jax": loss_of_jax, "torch": loss_of_torch}`` of ``(params, data)``, with
            the neutral loss under ``"loss"`` if there is one.
        *arrays: ``params`` and ``data`` beside functions: trees of arrays of any framework, or ``parameters(rng)`` and
            ``data(rng)``.

    Returns:
        The result, with all that `check` and `bench` have.

    Raises:
        InputError: the model, the data or an option's value is at fault.
        TypeError: there is no such option.
    """
    return execute("run", model, options, arrays=arrays)


def execute(
    command: Command,
    model: Model | Losses,
    options: CheckOptions | BenchOptions | RunOptions,
    project: Path | None = None,
    arrays: Sequence[Any] = (),
) -> Result:
    """Do what a command does, with the defaults of the project that a folder is in, if one is given.

    Raises:
        InputError: the model, the data, an option's value or the project's file is at fault.
        TypeError: there is no such option.
    """
    started_s = time.monotonic()
    from gradparity.processes.scratch import scratch_folder
    from gradparity.runner.functions import is_functions
    from gradparity.runner.observer import NullObserver
    from gradparity.runner.paths import models_at
    from gradparity.runner.session import run as run_engine
    from gradparity.runner.settings import settings_from

    unknown = options.keys() - in_python(command) - {"params"}
    if unknown:
        raise TypeError(f"{command}() got an unexpected option {', '.join(sorted(unknown))!r}")
    if len(arrays) > 2:
        raise TypeError(f"{command}() takes a loss, params and data in a row, and options by name")
    named: dict[str, Any] = {**dict(zip(("params", "data"), arrays, strict=False)), **options}
    params = named.pop("params", None)
    if params is not None and not is_functions(model):
        raise TypeError(f"{command}() got params without functions: a model at a path has its own")
    paths = [_written(model, params, named)] if is_functions(model) else [path_of(each) for each in _each(model)]
    defaults = dict[str, str]()
    given: dict[str, Any] = {name: value for name, value in named.items() if value is not None or name == "projection"}
    if project is not None:
        from gradparity.runner.defaults import with_defaults

        asked = with_defaults(command, given, paths, project)
        given, defaults, paths = asked.given, asked.defaults, list(asked.models)
    with ExitStack() as stack:
        out = given.get("out") or stack.enter_context(scratch_folder())
        settings = settings_from(command, {**given, "out": out}, models_at(paths), defaults)
        resume, force = (bool(options.get(name, False)) for name in ("resume", "force"))
        found = run_engine(settings, NullObserver(), started_s, resume=resume, force=force)
    return Result(**{name: getattr(found, name) for name in found.__struct_fields__})


def _written(model: Any, params: Any, options: dict[str, Any]) -> str:
    """The path of a model that is given as functions; its data are no option then."""
    from gradparity.runner.functions import write_model

    out = options.get("out")
    return write_model(model, params, options.pop("data", None), Path(out) if out else None)


def _each(model: Any) -> Sequence[One]:
    if isinstance(model, str | Path | ModuleType):
        return (model,)
    return model or ()


def path_of(model: One) -> str:
    """Where a model is.

    Raises:
        InputError: a module without a file.
    """
    if isinstance(model, str | Path):
        return str(model)
    file = getattr(model, "__file__", None)
    if not file:
        raise InputError(
            "model", got=f"{model!r}, which has no file", expected="a path, or a module that was imported from a file"
        )
    from gradparity.model_spec.user.model import BACKENDS_FOLDER, MODEL_FILES

    # The model's file in a folder of ports stands for the folder.
    path = Path(file)
    return str(path.parent if path.name in MODEL_FILES and (path.parent / BACKENDS_FOLDER).is_dir() else path)
