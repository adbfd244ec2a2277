"""What a run is asked to do: validated once, before anything is started or written."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
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
from gradparity.processes.deadline import USUAL_S
from gradparity.processes.interpreters import variants
from gradparity.processes.limits import Allowance, timeouts_from
from gradparity.processes.machine import usable_cores
from gradparity.runner.options import DEFAULT_PROJECTION, Option, options_of

Command = Literal["run", "check", "bench"]

#: Losses of every step are kept: more would not fit in results.json.
MAX_STEPS = 10**7
#: What JSON's readers take for an integer everywhere.
MAX_SEED = 2**53 - 1


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
    backends: Sequence[str] | None = None
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

    def budget_said(self) -> str:
        """What it may take, in words; ``""`` where nothing limits it as a whole."""
        if self.budget_s is not None:
            return f"at most {self.budget_s:g} s in all (--budget)"
        return f"at most {USUAL_S:g} s a problem; --budget SECONDS for another limit" if self.command == "check" else ""

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
        names = ("logit_scale", "formulation", "numerics", "reduction", "l2")
        shared: dict[str, Any] = {name: getattr(self, name) for name in names}
        shared |= {"features": features, "dtype": self.dtype or "float64"}
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


def _refuse_together(given: Mapping[str, Any]) -> None:
    """Raises InputError where two options are given that exclude each other."""
    projection = given.get("projection", DEFAULT_PROJECTION)
    if given.get("sizes") is not None:
        if str(projection) != DEFAULT_PROJECTION:
            expected = "none beside --sizes: each size has its own, as in 1000x20x10"
            raise InputError("--projection", got=repr(projection), expected=expected)
        one = "one of the two: sizes are of synthetic data"
        if given.get("data"):
            raise InputError("--sizes", got="--data beside it", expected=one)
        if given.get("target") is not None:
            raise InputError("--target", got="--sizes beside it", expected=one)
    if given.get("stress") and given.get("data"):
        raise InputError("--stress", got="--data beside it", expected="no data: the suite brings its own problems")


def _refuse_built_in(options: Iterable[Option], given: Mapping[str, Any]) -> None:
    """Raises InputError where what describes the built-in model is given beside a model of the user's."""
    for option in options:
        value = given.get(option.name, option.default)
        if option.built_in and value not in (option.default, []) and str(value) != option.default:
            raise InputError(
                option.spelling,
                got=f"{value!r} beside the path of a model",
                expected="none: it is an option of the built-in model",
                cure="Your model's file says what its parameters, data and loss are.",
            )


def settings_from(command: Command, given: Mapping[str, Any], model: str | None = None) -> Settings:
    """Settings from what options were given, as the command line's words or as Python's values.

    Args:
        command: what is to be run.
        given: values of its options by their names in Python; the others have the defaults of the table of options.
        model: path of a model of the user's; ``None`` for the built-in one.

    Returns:
        The settings, validated.

    Raises:
        InputError: a value is not what its option takes.
    """
    options = options_of(command)
    if model is not None:
        _refuse_built_in(options, given)
    _refuse_together(given)
    fields: dict[str, Any] = {} if model is None else {"dtype": None}
    for option in options:
        value = given.get(option.name, option.default)
        if value is None and option.name != "projection":  # where it says that there is none
            value = option.default
        if option.field is not None and (value is not None or option.default is not None):
            fields[option.field or option.name] = option.parse(value)
    # A list that may be empty was not given.
    fields = {name: value for name, value in fields.items() if not (isinstance(value, tuple) and not value)}
    if fields.get("formulations") == ("all",):
        fields["formulations"] = get_args(Formulation)
    allowance = Allowance(timeouts_from(fields.pop("timeout", ())), fields.pop("memory_limit", None))
    return Settings(command=command, model=model, allowance=allowance, **fields)
