"""Users' models drawn at random: a neutral loss of a family, its shapes, data and dtype, and right ports of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tests.evidence.user_contrasts import CONTRASTS
from tests.evidence.user_families import FAMILIES, TRAITS, Design, pick
from tests.evidence.user_ports import Operations, port
from tests.evidence.user_series import SERIES

BACKENDS = ("autograd", "jax", "torch")
EVERY = FAMILIES | CONTRASTS | SERIES
#: Models of one design: JAX compiles three programs for each.
SHARED = 32
#: Entries from and to: most are small.
SIZES = [*[(2, 20)] * 30, *[(20, 100)] * 8, (100, 2000)]
#: Families that can have very many parameters, in time.
LARGE = ("mlp", "classifier", "attention", "regression", "embedding", "factors", "statistics", "recurrent")


@dataclass(frozen=True)
class Drawn:
    """A model and its numbers."""

    family: str
    design: Design
    trait: str
    dtype: str
    idiomatic: bool
    params: dict[str, Any]
    data: dict[str, Any]
    tangents: dict[str, Any]

    @property
    def entries(self) -> int:
        return sum(value.size for value in self.params.values())

    def in_other_precision(self) -> Drawn:
        """The same numbers, rounded to the other dtype."""
        return replace(self, dtype="float32" if self.dtype == "float64" else "float64").rounded()

    def rounded(self) -> Drawn:
        """Every real array in the model's dtype."""
        trees = (
            {k: np.asarray(v, self.dtype) if np.asarray(v).dtype.kind == "f" else v for k, v in tree.items()}
            for tree in (self.params, self.data, self.tangents)
        )
        params, data, tangents = trees
        return replace(self, params=params, data=data, tangents=tangents)

    @property
    def words(self) -> str:
        style = "idiomatic" if self.idiomatic else "neutral"
        return f"{self.family} ({self.design.note}), {self.trait}, {self.dtype}, {style}, {self.entries} entries"


def drawn(seed: int, index: int, *, large: bool = False) -> Drawn:
    """Model ``index`` of a campaign; `SHARED` after one another have one design."""
    rng = np.random.default_rng([seed, design_of(index, large), large])
    family = pick(rng, LARGE if large else EVERY)
    low, high = (1e5, 1e6) if large else pick(rng, SIZES)
    return of_family(family, rng, np.random.default_rng([seed, index, 7]), low, high)


def of_family(
    family: str, rng: np.random.Generator, own: np.random.Generator, low: float = 2, high: float = 100
) -> Drawn:
    """A model of so many entries: the design by ``rng``, the numbers by its ``own``."""
    design = EVERY[family](rng, int(np.exp(rng.uniform(np.log(low), np.log(high)))))
    dtype, idiomatic = pick(rng, ["float64", "float64", "float32"]), bool(rng.integers(2))
    trait = pick(own, TRAITS)
    params, data = design.draw(own, trait)
    tangents = {name: own.standard_normal(value.shape) for name, value in params.items()}
    return Drawn(family, design, trait, dtype, idiomatic, params, data, tangents).rounded()


def design_of(index: int, large: bool) -> int:
    return index if large else index // SHARED


class Ports:
    """The programs of one design, by backend."""

    def __init__(self, model: Drawn, backends: Iterable[str] = BACKENDS) -> None:
        from gradparity.backends import load, lookup

        self.backends = {name: load(lookup(name).target) for name in backends}
        self.losses: dict[str, Any] = {}
        self.programs: dict[str, Any] = {}
        for name, backend in self.backends.items():
            backend.configure(threads=1)
            self.losses[name] = _port(model.design, port(name, model.idiomatic))
            self.programs[name] = backend.program(self.losses[name])

    def values(self, name: str, inputs: Iterable[Any]) -> list[Any]:
        from gradparity.worker.evaluation import evaluations_at

        return evaluations_at(self.backends[name], self.programs[name], inputs)


def _port(design: Design, ops: Operations) -> Any:
    return lambda params, data: design.loss(params, data, ops.xp, ops)


def neutral(model: Drawn, params: Any, data: Any, xp: Any) -> Any:
    """The loss as the truth sees it."""
    return model.design.loss(params, data, xp, Operations(xp))


def problem_of(model: Drawn, seed: int) -> Any:
    """The model as a problem of a user's."""
    from gradparity.model_spec.problem import UserProblem
    from gradparity.model_spec.user_spec import UserSpec

    named = tuple((name, value.shape, model.dtype) for name, value in model.params.items())
    spec = UserSpec(path=model.family, parameters=named, forms="{}")
    return UserProblem(model.family, spec, model.params, model.data, model.tangents, seed)


def reference_of(model: Drawn, seed: int, budget_s: float = 5.0) -> Any:
    """Truth and floor of a drawn model."""
    from gradparity.truth.model.truth import neutral_reference

    loss = lambda params, data, xp: neutral(model, params, data, xp)  # noqa: E731
    with np.errstate(all="ignore"):
        return neutral_reference(loss, model.params, model.data, model.tangents, seed=seed, budget_s=budget_s)
