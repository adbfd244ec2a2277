"""Functions of whole arrays, by the shapes and kinds of their inputs: each is a model that ``check`` holds to truth.

The loss is the sum over inputs of `c w.f(x)`: fixed weights `w`, and a factor `c` of each input, a parameter too. Its
gradient by `c` is the weighted value, by `x` the first derivative, and of the Hessian-vector product the block of
`c` is that by forward mode, the block of `x` the second derivative (and a first one, by the factor's direction). The
models stay in the folder, for ``gradparity check`` by hand.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path

from gradparity.model_spec.errors import InputError
from gradparity.results import ProblemResult, RunResult
from gradparity.results.atlas import ArrayEntry
from gradparity.results.store import RESULTS_FILE, replace_file
from gradparity.runner.observer import NullObserver
from gradparity.runner.session import run
from gradparity.runner.settings import settings_from

#: Inputs of each kind, as they are drawn: at a general point, at two shapes or more, and where something is special.
VECTORS = {
    "1": "rng.standard_normal(1)",
    "7": "rng.standard_normal(7)",
    "2x3": "rng.standard_normal((2, 3))",
    "50": "rng.standard_normal(50)",
    "4 from 1e-3 to 1e3": "np.array([1e-3, -0.2, 30.0, -1e3])",
    "5 near 1e4": "1e4 + rng.standard_normal(5)",
}
MILD = {name: drawn for name, drawn in VECTORS.items() if "1e" not in name}  # no product hides the others
ZEROS = {"4 with a zero": "np.array([0.7, 0.0, -1.3, 2.1])", "4 with two zeros": "np.array([0.7, 0.0, 0.0, 2.1])"}
EQUAL = {"3 equal": "np.full(3, 0.6)"}
POSITIVE = {name: f"1 + abs({drawn})" for name, drawn in VECTORS.items()}
ROWS = {"2x3": "rng.standard_normal((2, 3))", "4x6": "rng.standard_normal((4, 6))"}
SQUARE = {
    "1x1": "1 + rng.random((1, 1))",
    "3x3": "np.eye(3) + 0.4 * rng.standard_normal((3, 3))",
    "6x6": "np.eye(6) + 0.3 * rng.standard_normal((6, 6))",
    "2x3x3": "np.eye(3) + 0.4 * rng.standard_normal((2, 3, 3))",
    "Hilbert 4x4": "1 / (1 + np.add.outer(np.arange(4.0), np.arange(4.0)))",
}
SINGULAR = {
    "2x2 of rank 1": "np.array([[1.0, 2.0], [2.0, 4.0]])",
    "3x3 of rank 2": "np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [5.0, 7.0, 9.0]])",
    "3x3 of rank 1": "np.outer([1.0, 2.0, 3.0], [2.0, 1.0, 4.0])",
}
IDENTITY = {"identity 3x3": "np.eye(3)"}
SPREAD = {"3x3 with repeated columns, nearly": "np.eye(3) * 1e-4 + np.ones((3, 3))"}
NILPOTENT = {"10x10 of norm 10": "rng.standard_normal((10, 10)) * 3.0"}
TALL = {"5x3": "rng.standard_normal((5, 3))", "4x1": "rng.standard_normal((4, 1))"}
WIDE = {"3x5": "rng.standard_normal((3, 5))"}
IMAGES = {"1x2x6x6": "rng.standard_normal((1, 2, 6, 6))", "2x1x5x7": "rng.standard_normal((2, 1, 5, 7))"}

PAIRS = {
    "2x5": "0.5 + rng.random((2, 5))",
    "2x3 of other sizes": "np.array([[1e-3, 20.0, 0.3], [30.0, 1e-2, 2.0]])",
}
TIES = {"2 equal": "np.full((2, 2), 1.5)"}

_T = "xp.swapaxes(x, -1, -2)"
#: What is asked of each function, in ``xp`` and ``x``, and at which inputs.
FUNCTIONS: dict[str, tuple[str, dict[str, str]]] = {
    "sum": ("xp.sum(x)", VECTORS),
    "mean": ("xp.mean(x)", VECTORS),
    "prod": ("xp.prod(x)", MILD | ZEROS | EQUAL),
    "var": ("xp.var(x)", VECTORS | EQUAL),
    "std": ("xp.std(x)", {name: drawn for name, drawn in VECTORS.items() if name != "1"}),
    "max": ("xp.max(x)", VECTORS | EQUAL),
    "min": ("xp.min(x)", VECTORS | EQUAL),
    "ptp": ("xp.ptp(x)", {name: drawn for name, drawn in VECTORS.items() if name != "1"}),
    "median": ("xp.median(x)", VECTORS),
    "quantile": ("xp.quantile(x, 0.3)", VECTORS),
    "sort": ("xp.sort(x)", VECTORS),
    "logsumexp": ("xp.logsumexp(x)", VECTORS | EQUAL),
    "softmax": ("xp.softmax(x)", VECTORS | EQUAL),
    "log_softmax": ("xp.log_softmax(x)", VECTORS | EQUAL),
    "cumsum": ("xp.cumsum(xp.ravel(x))", VECTORS),
    "cumprod": ("xp.cumprod(xp.ravel(x))", MILD | ZEROS),
    "cumlogsumexp": ("xp.cumlogsumexp(x)", VECTORS),
    "diff": ("xp.diff(x, n=2)", ROWS),
    "trapezoid": ("xp.trapezoid(x)", ROWS),
    "linalg.norm": ("xp.linalg.norm(x)", {name: drawn for name, drawn in (VECTORS | ZEROS).items() if name != "1"}),
    "linalg.vector_norm": ("xp.linalg.vector_norm(xp.ravel(x), ord=3)", POSITIVE),
    "linalg.matrix_norm": ("xp.linalg.matrix_norm(x, ord='nuc')", {**TALL, **WIDE, "3x3": SQUARE["3x3"]}),
    "outer": ("xp.outer(x, xp.sin(x))", VECTORS),
    "kron": ("xp.kron(x, xp.cos(x))", ROWS),
    "matmul": (f"xp.matmul(x, {_T})", TALL | WIDE | SQUARE),
    "einsum": ("xp.einsum('ij,kj->ik', x, xp.sin(x))", ROWS),
    "tensordot": (f"xp.tensordot(x, {_T}, axes=1)", ROWS),
    "cross": ("xp.cross(x, xp.sin(x))", {"3": "rng.standard_normal(3)", "2x3": ROWS["2x3"]}),
    "trace": ("xp.trace(x @ x)", SQUARE | SINGULAR),
    "cov": ("xp.cov(x)", ROWS),
    "corrcoef": ("xp.corrcoef(x)", ROWS),
    "conv": ("xp.conv(x, xp.sin(x[:1, :, :3, :2]), padding=1)", IMAGES),
    "max_pool": ("xp.max_pool(x, 2)", IMAGES),
    "avg_pool": ("xp.avg_pool(x, 2)", IMAGES),
    "expm": ("xp.expm(x)", SQUARE | SINGULAR | IDENTITY | NILPOTENT),
    "linalg.det": ("xp.linalg.det(x)", SQUARE | IDENTITY),
    "linalg.det, singular": ("xp.linalg.det(x)", SINGULAR),
    "linalg.slogdet": ("xp.linalg.slogdet(x)[1]", SQUARE | IDENTITY),
    "linalg.inv": ("xp.linalg.inv(x)", SQUARE | IDENTITY),
    "linalg.solve": ("xp.linalg.solve(x, xp.sin(x))", SQUARE | IDENTITY),
    "solve_triangular": ("xp.solve_triangular(x, xp.cos(x))", SQUARE | IDENTITY),
    "linalg.matrix_power": ("xp.linalg.matrix_power(x, 5)", SQUARE | SINGULAR),
    "linalg.multi_dot": ("xp.linalg.multi_dot([x, xp.sin(x), x])", {"3x3": SQUARE["3x3"], "6x6": SQUARE["6x6"]}),
    "linalg.pinv": ("xp.linalg.pinv(x)", TALL | WIDE),
    "linalg.lstsq": ("xp.linalg.lstsq(x, xp.cos(x[:, 0]))[0]", TALL),
    "linalg.cholesky": (f"xp.linalg.cholesky(x @ {_T} + xp.eye(x.shape[-1]))", SQUARE | SINGULAR),
    "linalg.eigvalsh": (f"xp.linalg.eigvalsh(x + {_T})", SQUARE | SPREAD),
    "linalg.eigh": (f"xp.linalg.eigh(x + {_T})[1] ** 2", SQUARE),
    "linalg.svdvals": ("xp.linalg.svdvals(x)", SQUARE | TALL | WIDE),
    "linalg.svd": ("xp.linalg.svd(x, full_matrices=False)[0] ** 2", {"3x3": SQUARE["3x3"], "5x3": TALL["5x3"]}),
    "linalg.qr": ("xp.linalg.qr(x)[1] ** 2", {"3x3": SQUARE["3x3"], "6x6": SQUARE["6x6"], "5x3": TALL["5x3"]}),
    "linalg.cond": ("xp.linalg.cond(x)", {name: SQUARE[name] for name in ("3x3", "6x6", "Hilbert 4x4")}),
}

#: Of two numbers by both at once, for the mixed second derivatives.
FUNCTIONS |= {
    f"{name}, by both": (f"xp.{name}(x[0], x[1])", PAIRS | TIES)
    for name in ("arctan2", "beta", "betaln", "divide", "hypot", "logaddexp", "power", "xlog1py", "xlogy")
}

_MODEL = '''\
"""{label} at inputs of several shapes and kinds, as `gradparity atlas` checks it.

The gradient by "c" is the value with weights, by "x" the first derivative.
"""

import numpy as np


def f(x, xp):
    return {expression}


def parameters(rng):
    inputs = {{
{inputs}
    }}
    factors = {{"c " + name: np.array(1.0 + 0.1 * place) for place, name in enumerate(inputs)}}
    return {{"x " + name: x for name, x in inputs.items()}} | factors


def data(rng):
    return {{"w": np.cos(np.arange(1.0, 2501.0))}}


def loss(params, data, xp):
    total = 0.0
    for name, x in params.items():
        if name[0] == "x":
            values = xp.ravel(f(x, xp))
            total = total + params["c" + name[1:]] * xp.sum(data["w"][: values.shape[0]] * values)
    return total
'''
#: What a block of such a model is.
_QUANTITIES = {"gradient c": "value", "gradient x": "reverse", "hvp c": "forward", "hvp x": "second"}


def in_arrays(names: Sequence[str] | None) -> list[str]:
    """Those of `FUNCTIONS` by these names, which have what is behind a comma too; all where None are named."""
    return [each for each in FUNCTIONS if names is None or {each, each.partition(",")[0]} & {*names}]


def written(folder: Path, name: str) -> Path:
    """Write the model of one function.

    Raises:
        InputError: it cannot be written.
    """
    expression, inputs = FUNCTIONS[name]
    lines = "\n".join(f'        "{label}": {drawn},' for label, drawn in inputs.items())
    path = folder / f"{re.sub('[^a-z0-9]+', '_', name)}.py"
    text = _MODEL.format(label=f"xp.{name}", expression=expression, inputs=lines)
    if not path.exists() or path.read_text() != text:
        replace_file(path, text.encode())
    return path


class _Told(NullObserver):
    """Tells how many models are done."""

    def __init__(self, told: Callable[[str, int], None]) -> None:
        self._told, self._done = told, 0

    def finished(self, result: ProblemResult) -> None:
        self._done += 1
        self._told(Path(result.name).stem, self._done)


def surveyed(
    folder: Path, names: Sequence[str], backends: Sequence[str], told: Callable[[str, int], None]
) -> RunResult:
    """Check the models of these functions, all of them in one run, whose results are in the folder as those of any run.

    What it has already, of the same functions and backends, is not done again.

    Args:
        folder: of the run; models are in ``models`` in it.
        names: of `FUNCTIONS`.
        backends: that differentiate.
        told: called with the name of each model that is done, and how many are.

    Raises:
        InputError: the folder cannot be written.
    """
    models = folder / "models"
    models.mkdir(parents=True, exist_ok=True)
    paths = [str(written(models, name)) for name in names]
    asked = settings_from("check", {"backends": list(backends), "steps": 1, "out": str(folder)}, paths)
    if (folder / RESULTS_FILE).exists():
        try:
            return run(asked, _Told(told), resume=True)
        except InputError:  # other functions, or another version
            return run(asked, _Told(told), force=True)
    return run(asked, _Told(told))


def entries(result: RunResult, ours: Mapping[str, Collection[str]]) -> Iterator[ArrayEntry]:
    """What was found of each function at each input, in each backend; ``ours``: by backend, as in `ArrayEntry`."""
    labels = {re.sub("[^a-z0-9]+", "_", name): name for name in FUNCTIONS}
    for problem in result.problems:
        yield from _of(problem, labels[Path(problem.name).stem], ours)


def _of(problem: ProblemResult, function: str, ours: Mapping[str, Collection[str]]) -> Iterator[ArrayEntry]:
    for found in problem.findings:
        kind, _, inputs = found.parameter.partition(" ")
        quantity = _QUANTITIES.get(f"{found.quantity} {kind}")
        if quantity is None:
            continue
        yield ArrayEntry(
            function=function, inputs=inputs, backend=found.backend, quantity=quantity, verdict=found.verdict,
            relative=found.relative_error, floors=found.floors, truth=found.truth, got=found.got,
            said=found.cause or found.rule, ours=function.partition(",")[0] in ours.get(found.backend, ()),
        )  # fmt: skip
