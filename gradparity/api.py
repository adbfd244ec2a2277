"""The same from Python: ``check``, ``bench`` and ``run`` of a model of yours, or of the built-in one.

    result = gradparity.check("model.py", backends=["jax", "torch"], steps=20)
    assert result.ok, result
    result.to_frame().filter(verdict="wrong")

Options are those of the command line, with underscores. Nothing is printed, and nothing exits: what is at fault with
the input is raised as `gradparity.model_spec.errors.InputError`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict, Unpack, cast, get_type_hints

from gradparity.model_spec.errors import InputError
from gradparity.results import RunResult

if TYPE_CHECKING:
    import polars as pl


class Result(RunResult):
    """A `RunResult` that shows itself: printed as the command line prints it, as a table in a notebook, as a frame."""

    def to_frame(self) -> pl.DataFrame:
        """A row for every finding."""
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


class _Shared(TypedDict, total=False):
    """Options of every command; see ``gradparity check --help``."""

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


class _UntimedOptions(_Shared, total=False):
    """Options of ``check`` and ``run``."""

    formulation: str
    optimiser: str | Iterable[str]
    momentum: float
    threads: int
    stress: bool


class CheckOptions(_UntimedOptions, total=False):
    """Options of ``check``."""

    budget: float


class RunOptions(_UntimedOptions, total=False):
    """Options of ``run``."""

    quick: bool


class BenchOptions(_Shared, total=False):
    """Options of ``bench``."""

    sizes: str | Iterable[str]
    formulations: str | Iterable[str]
    threads: int | str | Iterable[int]
    profile: str
    budget: float


def check(model: Model = None, **options: Unpack[CheckOptions]) -> Result:
    """Check derivatives and training of every backend against the truth.

    Args:
        model: path of a model's file or folder, or an imported module; the built-in model if not given.
        **options: as of ``gradparity check``; results are kept in the folder ``out`` only if it is given.

    Raises:
        InputError: the model, the data or an option is at fault.
        TypeError: there is no such option.
    """
    return _execute("check", model, cast("dict[str, Any]", options), CheckOptions)


def bench(model: Model = None, **options: Unpack[BenchOptions]) -> Result:
    """Time gradient steps and training loops of every backend; arguments and errors as of `check`."""
    given = cast("dict[str, Any]", dict(options))
    threads = given.get("threads", 1)
    given["threads"] = str(threads) if isinstance(threads, int | str) else ",".join(map(str, threads))
    return _execute("bench", model, given, BenchOptions)


def run(model: Model = None, **options: Unpack[RunOptions]) -> Result:
    """Check, train, time and recommend; arguments and errors as of `check`."""
    return _execute("run", model, cast("dict[str, Any]", options), RunOptions)


#: Defaults that the command line has in its signatures; the others are those of `Settings`.
_DEFAULTS: Mapping[str, Any] = {"projection": 5, "lr": 0.1, "dtype": None}
#: Options whose words the command line takes as a list, and those that it takes with commas between.
_LISTS, _WORDS = ("data", "optimiser", "backend", "timeout"), ("backends", "sizes", "formulations")


def _execute(command: str, model: Model, options: Mapping[str, Any], known: Any) -> Result:
    started_s = time.monotonic()
    from gradparity.runner.observer import NullObserver
    from gradparity.runner.session import run as run_engine
    from gradparity.runner.settings import settings_from
    from gradparity.runner.stress_run import run_stress

    unknown = set(options) - set(get_type_hints(known))
    if unknown:
        raise TypeError(f"{command}() got an unexpected option {', '.join(sorted(unknown))!r}")
    words: dict[str, Any] = {"backends": None, "data": None, **_DEFAULTS, **options}
    for name in _LISTS:
        if words.get(name) is not None:
            words[name] = [words[name]] if isinstance(words[name], str) else list(words[name])
    for name in _WORDS:
        if words.get(name) is not None and not isinstance(words[name], str):
            words[name] = ",".join(words[name])
    words["projection"] = "none" if words["projection"] is None else str(words["projection"])
    if command == "bench":
        words["thread_counts"] = words.pop("threads")
        words = {"steps": 1000, "profile": "quick"} | words
    with ExitStack() as stack:
        if "out" not in words:
            words["out"] = stack.enter_context(TemporaryDirectory(prefix="gradparity-"))
        resume = bool(words.pop("resume", False))
        settings = settings_from(command, path=path_of(model), **{**words, "out": str(words["out"])})
        if settings.stress_suite:
            found = run_stress(settings, NullObserver(), resume=resume)
        else:
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
