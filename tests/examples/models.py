"""The examples as a run sees them: loaded by path, drawn from a seed, each loss bound to its framework's namespace."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from gradparity.backends.protocol import Backend, Program
from gradparity.model_spec.trees import leaves, map_tree
from tests.conftest import configured

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMESPACES = {"autograd": "autograd.numpy", "jax": "jax.numpy", "torch": "array_api_compat.torch"}
SEED = 0

Flat = dict[str, np.ndarray[Any, Any]]


def load_file(path: Path) -> ModuleType:
    """A Python file as a module of its own, whatever it is called."""
    spec = importlib.util.spec_from_file_location("example_" + "_".join(path.with_suffix("").parts[-3:]), path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass
class Example:
    """A model at the point that a run with the default seed has."""

    spec: ModuleType
    ports: Path | None

    @classmethod
    def at(cls, path: Path) -> Example:
        """From a file, or from a folder with ports."""
        if path.is_dir():
            return cls(load_file(path / "model_spec.py"), path / "backends")
        return cls(load_file(path), None)

    @property
    def params(self) -> Any:
        """Parameters, drawn anew."""
        return self.spec.parameters(np.random.default_rng([SEED, 0]))

    @property
    def data(self) -> Any:
        """Data, drawn anew."""
        return self.spec.data(np.random.default_rng([SEED, 1]))

    def loss(self, name: str) -> Callable[[Any, Any], Any]:
        """The loss of one backend: its port where there is one, the neutral loss in its namespace elsewhere."""
        if hasattr(self.spec, f"loss_{name}"):
            own: Callable[[Any, Any], Any] = getattr(self.spec, f"loss_{name}")
            return own
        port = None if self.ports is None else self.ports / f"{name}.py"
        if port is not None and port.exists():
            ported: Callable[[Any, Any], Any] = load_file(port).loss
            return ported
        xp = importlib.import_module(NAMESPACES[name])
        return lambda params, data: self.spec.loss(params, data, xp)

    @cached_property
    def programs(self) -> dict[str, Program]:
        """The differentiated loss of each framework, compiled once; over flat dictionaries, as backends have it."""
        return {name: configured(name).program(nested(self.loss(name), self.params, self.data)) for name in NAMESPACES}

    def quantities(self, name: str, direction: Any, dtype: Any) -> dict[tuple[str, str], Any]:
        """Every quantity as the backend gives it, by quantity and path, for parameters and data in some precision."""
        backend, program = configured(name), self.programs[name]
        at = [
            placed(backend, map_tree(lambda _, leaf: rounded(leaf, dtype), tree)) for tree in (self.params, self.data)
        ]
        tangents = placed(backend, map_tree(lambda _, leaf: rounded(leaf, dtype), direction))
        value, gradient = program.value_and_gradient(*at)
        answers = {
            "loss": {"": value},
            "gradient": gradient,
            "jvp": {"": directional(backend, program, at, tangents)},
            "hvp": program.hvp(*at, tangents),
        }
        return {(key, path): x for key, tree in answers.items() for path, x in backend.get(tree).items()}

    def value_and_gradient(self, name: str, params: Any | None = None) -> tuple[float, Flat]:
        """Loss and gradient by one framework, the gradient by path; at the drawn parameters, or at others."""
        backend = configured(name)
        point, data = (placed(backend, tree) for tree in (self.params if params is None else params, self.data))
        value, gradient = self.programs[name].value_and_gradient(point, data)
        return float(backend.get({"": value})[""].item()), dict(backend.get(gradient))

    def direction(self, seed: int) -> Any:
        """A normal direction in the parameters' structure."""
        rng = np.random.default_rng(seed)
        return map_tree(lambda _, leaf: rng.standard_normal(np.shape(leaf)), self.params)


def directional(backend: Backend, program: Program, at: Any, tangents: Any) -> Any:
    """The JVP, or the gradient times the direction where autograd has no forward rule, as of linalg.cholesky."""
    try:
        return program.jvp(*at, tangents)
    except NotImplementedError:
        gradient, along = backend.get(program.value_and_gradient(*at)[1]), backend.get(tangents)
        return sum(np.vdot(gradient[path], along[path]) for path in gradient)


@cache
def example(name: str) -> Example:
    """An example by its name, ``mlp`` or ``logistic_regression``."""
    file = EXAMPLES / f"{name}.py"
    return Example.at(file if file.exists() else EXAMPLES / name)


def placed(backend: Backend, tree: Any) -> dict[str, Any]:
    """The leaves of a tree as arrays of the backend, by path."""
    return backend.put({path: np.asarray(leaf) for path, leaf in leaves(tree)})


def rounded(leaf: Any, dtype: Any) -> np.ndarray[Any, Any]:
    """A leaf in another precision; integers and booleans as they are."""
    array = np.asarray(leaf)
    return array.astype(dtype) if array.dtype.kind == "f" else array


def nested(loss: Callable[[Any, Any], Any], params: Any, data: Any) -> Callable[[Any, Any], Any]:
    """The loss over flat dictionaries, as backends differentiate it."""
    return lambda flat_params, flat_data: loss(
        map_tree(lambda path, _: flat_params[path], params), map_tree(lambda path, _: flat_data[path], data)
    )


def norm(gradient: Flat) -> float:
    """Euclidean norm over all parameters."""
    return float(np.sqrt(sum(np.vdot(g, g) for g in gradient.values())))


def distance(a: Flat, b: Flat) -> float:
    """How far apart two gradients are, relative to the second."""
    assert {path: g.shape for path, g in a.items()} == {path: g.shape for path, g in b.items()}
    return norm({path: a[path] - b[path] for path in a}) / norm(b)
