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
from gradparity.model_spec.space import AnyDType, DType
from gradparity.model_spec.spec import (
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
from gradparity.processes.environment import require_variables
from gradparity.processes.interpreters import TOOL, variants
from gradparity.processes.limits import Allowance, timeouts_from
from gradparity.processes.machine import usable_cores
from gradparity.runner.options import DEFAULT_PROJECTION, Option, options_of

Command = Literal["run", "check", "bench"]

#: Losses of every step are kept: more would not fit in results.json.
MAX_STEPS = 10**7
#: Each is a process with a framework of its own, on this machine.
MAX_RANKS = 64
#: What JSON's readers take for an integer everywhere.
MAX_SEED = 2**53 - 1


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """One run, as asked for. ``projection`` is ``None`` for the plain logistic model; ``backends`` for all there are.

    ``interpreters`` are ``NAME=BACKEND@/path/to/python``, backends more, each in an interpreter of its own, and
    ``NAME=command:WORDS`` or ``NAME=gradbench:WORDS``, each a program of any language.

    ``references`` are files of answers recorded elsewhere, ``FILE`` or ``NAME=FILE``, of a model of the user's.

    ``sizes`` (SxFxL, or SxF for the plain model), ``formulations`` and ``thread_counts`` are the axes of ``bench``: it
    times every combination, a `cell`, with one value each of ``data``, ``projection``, ``formulation`` and ``threads``.

    ``model`` is the path of a model of the user's, and ``models`` has the paths of all where there are several: then
    the data and what describes the built-in model are left alone, and ``dtype`` is ``None`` where its arrays are to
    stay as they are.

    ``seeds`` has all where there are several, each of which makes a problem of a model of the user's.

    ``scheduler`` is the address of a Dask cluster that measures, ``None`` where this machine does.

    ``environment`` are variables for the model's processes, ``NAME`` or ``NAME=value``. ``defaults`` has the options
    that were not given and have their values from a project's file, and which file that is.

    ``ranks`` is how many processes each sharded backend is.

    ``standardise`` is ``None`` for the default: real data is standardised, toy and synthetic data are not.

    Raises:
        InputError: a setting is out of its range, or a backend is unknown.
    """

    command: Command
    out: str
    model: str | None = None
    models: tuple[str, ...] = ()
    backends: Sequence[str] | None = None
    interpreters: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    data: tuple[str, ...] = ("toy", "breast_cancer")
    target: str | None = None
    positive: str | None = None
    standardise: bool | None = None
    projection: int | None = 5
    logit_scale: float = 1.0
    formulation: Formulation = "as_written"
    numerics: Numerics = "stable"
    reduction: Reduction = "mean"
    l2: float = 0.0
    dtype: AnyDType | None = "float64"
    start: Start = "random"
    steps: int = 100
    learning_rate: float = 0.1
    optimiser: tuple[str, ...] = ("gd",)
    momentum: float = 0.9
    seed: int = 0
    seeds: tuple[int, ...] = ()
    threads: int = 1
    ranks: int = 2
    sizes: tuple[str, ...] = ()
    formulations: tuple[Formulation, ...] = ()
    thread_counts: tuple[int, ...] = ()
    profile: str = "quick"
    budget_s: float | None = None
    allowance: Allowance = Allowance()
    environment: tuple[str, ...] = ()
    stress: bool = False
    baseline: str | None = None
    scheduler: str | None = None
    defaults: dict[str, str] = {}

    def __post_init__(self) -> None:
        others = variants(self.interpreters)
        for name in self.backends or []:
            if name not in others:
                lookup(name)
        for name, other in others.items():
            if other.target == TOOL and self.command != "check":
                raise InputError(
                    f"--backend {name}",
                    got="a tool of GradBench, of which nothing is timed here",
                    expected="another backend",
                    cure="gradparity check takes it, and GradBench times its tools.",
                )
        for name, value, kind in (
            ("--formulation", self.formulation, Formulation),
            ("--numerics", self.numerics, Numerics),
            ("--reduction", self.reduction, Reduction),
            *((("--dtype", self.dtype, self._dtypes),) if self.dtype or self.model is None else ()),
            ("--start", self.start, Start),
        ):
            require_member(name, value, kind)
        for name, text in (
            ("--out", self.out),
            *(("model", path) for path in self.models or (self.model or "",)),
            *(("--data", source) for source in self.data),
        ):
            if not text.isprintable():  # neither a table nor JSON could show it
                raise InputError(name, got=repr(text), expected="a name of printable characters")
        if not 1 <= self.steps <= MAX_STEPS:
            raise InputError("--steps", got=self.steps, expected=f"1 to {MAX_STEPS}")
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise InputError("--lr", got=self.learning_rate, expected="a finite number over 0")
        self.optimisers()
        for seed in (self.seed, *self.seeds):
            if not 0 <= seed <= MAX_SEED:
                raise InputError("--seed", got=seed, expected=f"0 to {MAX_SEED}")
        for formulation in self.formulations:
            require_member("--formulations", formulation, Formulation)
        for threads in (self.threads, *self.thread_counts):
            if not 1 <= threads <= usable_cores():
                raise InputError("--threads", got=threads, expected=f"1 to {usable_cores()}, the cores of this machine")
        if not 1 <= self.ranks <= MAX_RANKS:
            raise InputError("--ranks", got=self.ranks, expected=f"1 to {MAX_RANKS}, processes of each sharded backend")
        for text in self.sizes:
            _shape(text)
        require_variables(self.environment)
        if self.profile not in PROFILES:
            raise InputError("--profile", got=repr(self.profile), expected=f"one of {', '.join(PROFILES)}")
        if self.budget_s is not None and not (math.isfinite(self.budget_s) and self.budget_s > 0):
            raise InputError("--budget", got=self.budget_s, expected="a finite number of seconds over 0")

    @property
    def _dtypes(self) -> Any:
        """The precisions that may be asked for: half is for models of the user's, and is not timed."""
        return AnyDType if self.model is not None and self.command == "check" else DType

    @property
    def stress_suite(self) -> bool:
        """Whether it is the built-in model's stress suite; a model of the user's is stressed by variants of it."""
        return self.stress and self.model is None

    @property
    def shown_seed(self) -> int | None:
        """The seed where it tells a problem from others, ``None`` where there is but one."""
        return self.seed if self.seeds else None

    def budget_said(self) -> str:
        """What it may take, in words; ``""`` where nothing limits it as a whole."""
        if self.budget_s is not None:
            where = f"budget of {self.defaults['budget']}" if "budget" in self.defaults else "--budget"
            return f"at most {self.budget_s:g} s in all ({where})"
        return f"at most {USUAL_S:g} s a problem; --budget SECONDS for another limit" if self.command == "check" else ""

    def registration(self, name: str) -> Registration:
        """Where a backend of this run lives.

        Raises:
            InputError: none has that name.
        """
        others = variants(self.interpreters) if self.interpreters else {}
        return others[name] if name in others else lookup(name)

    def processes(self, name: str) -> int:
        """How many processes a backend is."""
        return self.ranks if self.registration(name).sharded else 1

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
        fields = {name: getattr(self, name) for name in ("logit_scale", "formulation", "numerics", "reduction", "l2")}
        shared: dict[str, Any] = {**fields, "features": features, "dtype": self.dtype or "float64"}
        width = self.projection
        return Logistic(**shared) if width is None else ProjectedLogistic(**shared, projection=width)

    def optimisers(self) -> list[Optimiser]:
        """The optimisers to train with, each once.

        Raises:
            InputError: one is unknown, or a hyperparameter is out of its range.
        """
        names = dict.fromkeys(self.optimiser)
        return [optimiser(name, learning_rate=self.learning_rate, momentum=self.momentum) for name in names]


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


def _refuse_together(given: Mapping[str, Any], models: Sequence[str]) -> None:
    """Raises InputError where two options are given that exclude each other."""
    projection = given.get("projection", DEFAULT_PROJECTION)
    if given.get("sizes") is not None:
        if str(projection) != DEFAULT_PROJECTION:
            expected = "none beside --sizes: each size has its own, as in 1000x20x10"
            raise InputError("--projection", got=repr(projection), expected=expected)
        one = "one of the two: sizes are of synthetic data"
        if given.get("data"):
            raise InputError("--sizes", got="--data beside it", expected=one)
        for name in ("target", "positive"):
            if given.get(name) is not None:
                raise InputError(f"--{name}", got="--sizes beside it", expected=one)
    if given.get("reference") and len(models) != 1:
        expected = "the path of one model beside it: its answers are of a model of yours"
        raise InputError("--reference", got=f"{len(models)} models" if models else "no model", expected=expected)
    if given.get("reference") and given.get("scheduler") is not None:
        raise InputError("--scheduler", got="--reference beside it", expected="one of the two", cure=_HERE)
    if given.get("stress") and given.get("data"):
        raise InputError("--stress", got="--data beside it", expected="no data: the suite brings its own problems")


#: What helps where one model is not to be sent anywhere.
_HERE = "A single model is checked here."


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


def _of_defaults(error: InputError, command: Command, defaults: Mapping[str, str]) -> InputError:
    """What is at fault with a value, with the file that it is from."""
    rows = {option.name: option for option in options_of(command) if option.name in defaults}
    for name, row in rows.items():
        if error.rule.partition(" ")[0].lstrip("-").replace("-", "_") in (name, row.field, name.removesuffix("s")):
            rule = f"{defaults[name]}: {name}"
            return InputError(rule, got=error.got, expected=error.expected, cure=error.cure)
    return error


def settings_from(
    command: Command,
    given: Mapping[str, Any],
    model: str | Sequence[str] | None = None,
    defaults: Mapping[str, str] | None = None,
) -> Settings:
    """Settings from what options were given, as the command line's words or as Python's values.

    Args:
        command: what is to be run.
        given: values of its options by their names in Python; the others have the defaults of the table of options.
        model: path of a model of the user's, or of several; none for the built-in one.
        defaults: which of the values are a project's defaults, and where each is from.

    Returns:
        The settings, validated.

    Raises:
        InputError: a value is not what its option takes.
    """
    if defaults:
        try:
            return msgspec.structs.replace(settings_from(command, given, model), defaults=dict(defaults))
        except InputError as error:
            raise _of_defaults(error, command, defaults) from None
    options = options_of(command)
    models = (model,) if isinstance(model, str) else tuple(model or ())
    if models:
        _refuse_built_in(options, given)
    _refuse_together(given, models)
    fields: dict[str, Any] = {"dtype": None, "model": models[0]} if models else {}
    for option in options:
        value = given.get(option.name, option.default)
        if value is None and option.name != "projection":  # where it says that there is none
            value = option.default
        if option.field is not None and (value is not None or option.default is not None):
            fields[option.field or option.name] = option.parse(value)
    # A list that may be empty was not given.
    fields = {name: value for name, value in fields.items() if not (isinstance(value, tuple) and not value)}
    seeds = fields.pop("seeds", ())
    if len(seeds) > 1 and not models:
        expected = "one seed for the built-in model, or the path of a model of yours"
        raise InputError("--seed", got=f"{len(seeds)} of them", expected=expected)
    fields |= {"seed": seeds[0]} if seeds else {}
    fields |= {"seeds": seeds} if len(seeds) > 1 else {}
    if fields.get("formulations") == ("all",):
        fields["formulations"] = get_args(Formulation)
    allowance = Allowance(timeouts_from(fields.pop("timeout", ())), fields.pop("memory_limit", None))
    return Settings(command=command, models=models if len(models) > 1 else (), allowance=allowance, **fields)
