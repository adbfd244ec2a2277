"""What a run is asked to do: validated once, before anything is started or written."""

from __future__ import annotations

import math
import re
from typing import Any, Literal, get_args

import msgspec

from gradparity.backends import Registration, lookup, registered
from gradparity.benchmark.profiles import PROFILES
from gradparity.model_spec.errors import InputError
from gradparity.model_spec.spec import (
    DType,
    Formulation,
    Logistic,
    Numerics,
    ProjectedLogistic,
    Reduction,
    Start,
    require_member,
)
from gradparity.numerics.optimisers import Optimiser, optimiser
from gradparity.processes.interpreters import variants
from gradparity.processes.limits import Allowance, timeouts_from
from gradparity.processes.machine import usable_cores

Command = Literal["run", "check", "bench"]

#: Width of the projection unless told otherwise.
DEFAULT_PROJECTION = "5"
#: Losses of every step are kept: more would not fit in results.json.
MAX_STEPS = 10**7
#: What JSON's readers take for an integer everywhere.
MAX_SEED = 2**53 - 1

#: Timing profile of ``run`` by its ``--quick``.
PROFILE_OF = {False: "quick", True: "brief"}


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """One run, as asked for. ``projection`` is ``None`` for the plain logistic model; ``backends`` for all there are.

    ``interpreters`` are ``NAME=BACKEND@/path/to/python``: backends more, each in an interpreter of its own.

    ``sizes`` (SxFxL, or SxF for the plain model), ``formulations`` and ``thread_counts`` are the axes of ``bench``: it
    times every combination, a `cell`, with one value each of ``data``, ``projection``, ``formulation`` and ``threads``.

    ``model`` is the path of a model of the user's: then the data and what describes the built-in model are left alone,
    and ``dtype`` is ``None`` where its arrays are to stay as they are.

    ``standardise`` is ``None`` for the default: real data is standardised, toy and synthetic data are not.

    Raises:
        InputError: a setting is out of its range, or a backend is unknown.
    """

    command: Command
    out: str
    model: str | None = None
    backends: list[str] | None = None
    interpreters: tuple[str, ...] = ()
    data: tuple[str, ...] = ("toy", "breast_cancer")
    target: str | None = None
    standardise: bool | None = None
    projection: int | None = 5
    logit_scale: float = 1.0
    formulation: Formulation = "as_written"
    numerics: Numerics = "stable"
    reduction: Reduction = "mean"
    l2: float = 0.0
    dtype: DType | None = "float64"
    start: Start = "random"
    steps: int = 100
    learning_rate: float = 0.1
    optimiser: tuple[str, ...] = ("gd",)
    momentum: float = 0.9
    seed: int = 0
    threads: int = 1
    sizes: tuple[str, ...] = ()
    formulations: tuple[Formulation, ...] = ()
    thread_counts: tuple[int, ...] = ()
    profile: str = "quick"
    budget_s: float | None = None
    allowance: Allowance = Allowance()
    stress: bool = False

    def __post_init__(self) -> None:
        others = variants(self.interpreters)
        for name in self.backends or []:
            if name not in others:
                lookup(name)
        for name, value, kind in (
            ("--formulation", self.formulation, Formulation),
            ("--numerics", self.numerics, Numerics),
            ("--reduction", self.reduction, Reduction),
            *((("--dtype", self.dtype, DType),) if self.dtype or self.model is None else ()),
            ("--start", self.start, Start),
        ):
            require_member(name, value, kind)
        for name, text in (
            ("--out", self.out),
            ("model", self.model or ""),
            *(("--data", source) for source in self.data),
        ):
            if not text.isprintable():  # neither a table nor JSON could show it
                raise InputError(name, got=repr(text), expected="a name of printable characters")
        if not 1 <= self.steps <= MAX_STEPS:
            raise InputError("--steps", got=self.steps, expected=f"1 to {MAX_STEPS}")
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise InputError("--lr", got=self.learning_rate, expected="a finite number over 0")
        self.optimisers()
        if not 0 <= self.seed <= MAX_SEED:
            raise InputError("--seed", got=self.seed, expected=f"0 to {MAX_SEED}")
        for formulation in self.formulations:
            require_member("--formulations", formulation, Formulation)
        for threads in (self.threads, *self.thread_counts):
            if not 1 <= threads <= usable_cores():
                raise InputError("--threads", got=threads, expected=f"1 to {usable_cores()}, the cores of this machine")
        for text in self.sizes:
            _shape(text)
        if self.profile not in PROFILES:
            raise InputError("--profile", got=repr(self.profile), expected=f"one of {', '.join(PROFILES)}")
        if self.budget_s is not None and not (math.isfinite(self.budget_s) and self.budget_s > 0):
            raise InputError("--budget", got=self.budget_s, expected="a finite number of seconds over 0")

    @property
    def stress_suite(self) -> bool:
        """Whether it is the built-in model's stress suite; a model of the user's is stressed by variants of it."""
        return self.stress and self.model is None

    def registration(self, name: str) -> Registration:
        """Where a backend of this run lives.

        Raises:
            InputError: none has that name.
        """
        others = variants(self.interpreters) if self.interpreters else {}
        return others[name] if name in others else lookup(name)

    def order(self) -> list[str]:
        """Every backend there is, in the order of tables: those of the registry, then those of other interpreters."""
        return [*registered(), *variants(self.interpreters)]

    def cells(self) -> list[Settings]:
        """One setting for every combination of size (or data set), formulation and number of threads, in that order."""
        if self.model is not None:
            return [msgspec.structs.replace(self, threads=threads) for threads in self.thread_counts or (self.threads,)]
        places = [_size_fields(text) for text in self.sizes] or [{"data": (source,)} for source in self.data]
        return [
            msgspec.structs.replace(self, **place, formulation=formulation, threads=threads, sizes=())
            for place in places
            for formulation in self.formulations or (self.formulation,)
            for threads in self.thread_counts or (self.threads,)
        ]

    def spec(self, features: int) -> Logistic:
        """The model for data of so many features.

        Raises:
            InputError: a field of the model is out of its range.
        """
        shared: dict[str, Any] = {
            "features": features,
            "logit_scale": self.logit_scale,
            "formulation": self.formulation,
            "numerics": self.numerics,
            "reduction": self.reduction,
            "l2": self.l2,
            "dtype": self.dtype or "float64",
        }
        if self.projection is None:
            return Logistic(**shared)
        return ProjectedLogistic(**shared, projection=self.projection)

    def optimisers(self) -> list[Optimiser]:
        """The optimisers to train with, each once.

        Raises:
            InputError: one is unknown, or a hyperparameter is out of its range.
        """
        return [
            optimiser(name, learning_rate=self.learning_rate, momentum=self.momentum)
            for name in dict.fromkeys(self.optimiser)
        ]


def _shape(text: str) -> tuple[int, int, int | None]:
    """Rows, features and projection (``None``: the plain model) of a size such as ``1000x20x10``.

    Raises:
        InputError: it is not two or three integers of 1 or more.
    """
    match = re.fullmatch(r"([1-9][0-9]{0,17})x([1-9][0-9]{0,17})(?:x([1-9][0-9]{0,17}))?", text)
    if match is None:
        raise InputError("--sizes", got=repr(text), expected="rows x features x projection, such as 1000x20x10")
    rows, features, width = match.groups()
    return int(rows), int(features), int(width) if width else None


def _size_fields(text: str) -> dict[str, Any]:
    rows, features, projection = _shape(text)
    return {"data": (f"synthetic:{rows}x{features}",), "projection": projection}


def _words(text: str | None) -> tuple[str, ...]:
    """The words of a list with commas, each once."""
    return tuple(dict.fromkeys(text.replace(" ", "").split(","))) if text is not None else ()


#: Options that describe the built-in model or its data, with their defaults: a model of the user's has its own.
_BUILT_IN_OPTIONS: dict[str, Any] = {
    "data": None,
    "target": None,
    "standardise": None,
    "projection": DEFAULT_PROJECTION,
    "formulation": "as_written",
    "formulations": "as_written",
    "numerics": "stable",
    "reduction": "mean",
    "logit_scale": 1.0,
    "l2": 0.0,
    "start": "random",
    "sizes": None,
}


def _refuse_built_in_options(options: dict[str, Any]) -> None:
    for name, default in _BUILT_IN_OPTIONS.items():
        value = options.get(name, default)
        if value not in (default, None, []):
            option = f"--{name.replace('_', '-')}"
            raise InputError(
                option,
                got=f"{value!r} beside the path of a model",
                expected="none: it is an option of the built-in model",
                cure="Your model's file says what its parameters, data and loss are.",
            )


def settings_from(
    command: str,
    *,
    backends: str | None,
    data: list[str] | None,
    quick: bool = False,
    profile: str | None = None,
    path: str | None = None,
    sizes: str | None = None,
    formulations: str | None = None,
    thread_counts: str | None = None,
    budget: float | None = None,
    timeout: list[str] | None = None,
    memory_limit: float | None = None,
    **rest: Any,
) -> Settings:
    """Settings from the command line's words.

    Raises:
        InputError: a word is not what its option takes.
    """
    if path is not None:
        _refuse_built_in_options({**rest, "data": data, "sizes": sizes, "formulations": formulations})
    elif rest.get("dtype") is None:
        rest["dtype"] = "float64"
    if sizes is not None and rest["projection"] != DEFAULT_PROJECTION:
        expected = "none beside --sizes: each size has its own, as in 1000x20x10"
        raise InputError("--projection", got=repr(rest["projection"]), expected=expected)
    if data and sizes is not None:
        raise InputError("--sizes", got="--data beside it", expected="one of the two: sizes are of synthetic data")
    if sizes is not None and rest.get("target") is not None:
        raise InputError("--target", got="--sizes beside it", expected="one of the two: sizes are of synthetic data")
    counts = _words(thread_counts)
    if not all(re.fullmatch("[0-9]{1,9}", word) for word in counts):
        raise InputError("--threads", got=repr(thread_counts), expected="integers with commas between, such as 1,2")
    if data and rest.get("stress"):
        raise InputError("--stress", got="--data beside it", expected="no data: the suite brings its own problems")
    projection, rate, optimisers = rest.pop("projection"), rest.pop("lr"), rest.pop("optimiser", None)
    interpreters = rest.pop("backend", None)
    try:
        width = None if projection == "none" else int(projection)
    except ValueError:
        expected = "an integer of 1 or more, or none"
        raise InputError("--projection", got=repr(projection), expected=expected) from None
    fields = {
        **rest,
        "command": command,
        "model": path,
        "interpreters": tuple(interpreters or ()),
        "backends": backends.replace(" ", "").split(",") if backends is not None else None,
        **({"data": tuple(data)} if data else {}),
        **({"optimiser": tuple(optimisers)} if optimisers else {}),
        "projection": width,
        "learning_rate": rate,
        "profile": PROFILE_OF[quick] if profile is None else profile,
        "sizes": _words(sizes),
        "formulations": get_args(Formulation) if formulations == "all" else _words(formulations),
        "thread_counts": tuple(map(int, counts)),
        "budget_s": budget,
        "allowance": Allowance(timeouts_from(timeout or ()), memory_limit),
    }
    return Settings(**fields)
