"""What a run is asked to do: validated once, before anything is started or written."""

from __future__ import annotations

import math
from typing import Any, Literal

import msgspec
import psutil

from backends import lookup
from gradparity.machine import usable_cores
from gradparity.optimisers import Optimiser, optimiser
from gradparity.units import size
from model_spec.datasets import Dataset, load
from model_spec.errors import InputError
from model_spec.problem import Problem, make_problem
from model_spec.spec import (
    DType,
    Formulation,
    Logistic,
    Numerics,
    ProjectedLogistic,
    Reduction,
    Start,
    require_member,
)

Command = Literal["run", "check", "bench"]

#: Copies of X that the parent holds at its peak: float64, the spec's dtype, and two in 16-byte extended precision.
_PARENT_COPIES = 6
#: Copies of X in a worker: the message, and the framework's own.
_WORKER_COPIES = 2
#: Resident bytes of a framework's process without data; PyTorch's, with a compiler at work, is the largest.
_PROCESS_BYTES = 400 * 2**20

#: Losses of every step are kept: more would not fit in results.json.
MAX_STEPS = 10**7
#: What JSON's readers take for an integer everywhere.
MAX_SEED = 2**53 - 1

#: Timing profile by command and ``--quick``.
PROFILE_OF = {
    ("run", False): "quick",
    ("run", True): "brief",
    ("check", False): "brief",
    ("bench", False): "quick",
    ("bench", True): "brief",
}


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """One run, as asked for. ``projection`` is ``None`` for the plain logistic model; ``backends`` for all there are.

    ``standardise`` is ``None`` for the default: real data is standardised, toy and synthetic data are not.

    Raises:
        InputError: a setting is out of its range, or a backend is unknown.
    """

    command: Command
    out: str
    backends: list[str] | None = None
    data: tuple[str, ...] = ("toy", "breast_cancer")
    target: str | None = None
    standardise: bool | None = None
    projection: int | None = 5
    logit_scale: float = 1.0
    formulation: Formulation = "as_written"
    numerics: Numerics = "stable"
    reduction: Reduction = "mean"
    l2: float = 0.0
    dtype: DType = "float64"
    start: Start = "random"
    steps: int = 100
    learning_rate: float = 0.1
    optimiser: tuple[str, ...] = ("gd",)
    momentum: float = 0.9
    seed: int = 0
    threads: int = 1
    profile: str = "quick"
    stress: bool = False

    def __post_init__(self) -> None:
        for name in self.backends or []:
            lookup(name)
        for name, value, kind in (
            ("--formulation", self.formulation, Formulation),
            ("--numerics", self.numerics, Numerics),
            ("--reduction", self.reduction, Reduction),
            ("--dtype", self.dtype, DType),
            ("--start", self.start, Start),
        ):
            require_member(name, value, kind)
        for name, text in (("--out", self.out), *(("--data", source) for source in self.data)):
            if not text.isprintable():  # neither a table nor JSON could show it
                raise InputError(name, got=repr(text), expected="a name of printable characters")
        if not 1 <= self.steps <= MAX_STEPS:
            raise InputError("--steps", got=self.steps, expected=f"1 to {MAX_STEPS}")
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise InputError("--lr", got=self.learning_rate, expected="a finite number over 0")
        self.optimisers()
        if not 0 <= self.seed <= MAX_SEED:
            raise InputError("--seed", got=self.seed, expected=f"0 to {MAX_SEED}")
        if not 1 <= self.threads <= usable_cores():
            raise InputError(
                "--threads", got=self.threads, expected=f"1 to {usable_cores()}, the cores of this machine"
            )

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
            "dtype": self.dtype,
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

    def datasets(self) -> list[Dataset]:
        """The data, read and checked.

        Raises:
            InputError: a source is unknown, unreadable, or not binary classification data.
        """
        return [
            load(source, target=self.target, standardise=self._standardised(source), seed=self.seed)
            for source in self.data
        ]

    def problem(self, data: Dataset, workers: int) -> Problem:
        """The problem on one data set.

        Raises:
            InputError: the model does not fit the data, or the run would not fit in memory beside ``workers`` workers.
        """
        spec = self.spec(data.features)  # a fault of the model is said before one of memory
        _require_memory(data, spec, workers)
        return make_problem(data.name, spec, data.X, data.y, seed=self.seed, start=self.start)

    def _standardised(self, source: str) -> bool:
        if self.standardise is not None:
            return self.standardise
        return source != "toy" and not source.startswith("synthetic:")


def _require_memory(data: Dataset, spec: Logistic, workers: int) -> None:
    """Refuse a run that the machine's free memory cannot hold, before anything is started.

    Raises:
        InputError: the estimate is over what is available.
    """
    width = spec.shapes["w"][0] if isinstance(spec, ProjectedLogistic) else 1
    # X, its product with W, and the parameters with their tangent, gradient and HVP.
    values = data.X.size + data.rows * width + 4 * spec.size
    needed = 8 * values * (_PARENT_COPIES + _WORKER_COPIES * workers) + workers * _PROCESS_BYTES
    available = psutil.virtual_memory().available
    if needed > available:
        raise InputError(
            f"memory for {data.name} ({data.rows} x {data.features}) with {spec.layout}",
            got=f"about {size(needed)} needed with {workers} workers",
            expected=f"at most the {size(available)} available",
            cure="Use fewer rows, a smaller --projection, or fewer backends at once (--backends).",
        )


def settings_from(command: str, *, backends: str | None, data: list[str] | None, quick: bool, **rest: Any) -> Settings:
    """Settings from the command line's words.

    Raises:
        InputError: a word is not what its option takes.
    """
    if data and rest.get("stress"):
        raise InputError("--stress", got="--data beside it", expected="no data: the suite brings its own problems")
    projection, rate, optimisers = rest.pop("projection"), rest.pop("lr"), rest.pop("optimiser", None)
    try:
        width = None if projection == "none" else int(projection)
    except ValueError:
        expected = "an integer of 1 or more, or none"
        raise InputError("--projection", got=repr(projection), expected=expected) from None
    fields = {
        **rest,
        "command": command,
        "backends": backends.replace(" ", "").split(",") if backends is not None else None,
        **({"data": tuple(data)} if data else {}),
        **({"optimiser": tuple(optimisers)} if optimisers else {}),
        "projection": width,
        "learning_rate": rate,
        "profile": PROFILE_OF[command, quick],
    }
    return Settings(**fields)
