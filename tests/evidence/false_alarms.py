"""False alarms: how many correct, Hypothesis-drawn problems are called anything but ``agrees``, backend by backend.

    python -m tests.evidence.false_alarms --backends numpy,autograd,torch,jax --examples 2000

Every backend runs in this process, or with ``--scheduler local:4`` (or an address) in the workers of a Dask cluster,
`SHARE` problems a task, each share with a seed of its own. JAX compiles three programs for each new shape and
specification, so it draws from a dozen shapes, which leaves 72 of them; ``--eager-jax`` runs it op by op over any
shape, which is slow.
Prints the number of examples and of alarms, and the distribution of errors in noise floors, which the factor
``gradparity.judge.verdicts.AGREES_FLOORS`` is chosen from. gradparity is imported inside functions only: this folder
is below it.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from gradparity.model_spec.problem import Problem, make_problem
from gradparity.model_spec.spec import Logistic, ProjectedLogistic
from tests.evidence import shares

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

    from gradparity.backends.protocol import Backend, Loss, Program
    from gradparity.results import Finding
    from gradparity.truth.reference import Reference

#: Problems of a task.
SHARE = 500
#: Rows, features, projection (0: none): what a compiled backend is drawn from, so that programs are reused.
SHAPES = [
    *((1, 1, 1), (1, 1, 0), (2, 1, 3), (1, 4, 2), (5, 3, 1), (4, 3, 3)),
    *((7, 6, 4), (9, 5, 0), (40, 2, 2), (33, 17, 5), (200, 20, 10), (64, 1, 0)),
]
SCALES = [1e-300, 1e-6, 1e-3, 1.0, 5.0, 30.0, 40.0, 800.0]
TRAITS = [
    *("plain", "plain", "zero column", "duplicate columns", "duplicate rows", "wide scales", "subnormal features"),
    *("subnormal parameters", "zero parameters", "constant column", "one class", "sorted labels", "cancelling logits"),
]


def build(shape: tuple[int, int, int], trait: str, scale: float, seed: int, options: dict[str, Any]) -> Problem:
    """A problem of that shape with logits of about ``scale``, and one awkward trait."""
    rows, features, width = shape
    spec = (
        ProjectedLogistic(features=features, projection=width, **options)
        if width
        else Logistic(features=features, **options)
    )
    rng = np.random.default_rng([seed, 4])
    tiny = float(np.finfo(spec.dtype).tiny)
    X = rng.standard_normal((rows, features))
    y = (rng.random(rows) < 0.5).astype(float)
    params = {name: rng.standard_normal(shape) for name, shape in spec.shapes.items()}
    column = int(rng.integers(features))
    match trait:
        case "zero column":
            X[:, column] = 0
        case "constant column":
            X[:, column] = 1
        case "duplicate columns":
            X[:, :] = X[:, [column]]
        case "duplicate rows":
            X[:] = X[0]
        case "wide scales":
            X *= 10.0 ** rng.uniform(-6, 6, features)
        case "subnormal features":
            X[:, column] *= tiny / 64
        case "one class":
            y[:] = rng.integers(2)
        case "sorted labels":
            y.sort()
        case "cancelling logits":  # the last feature takes back what the others add: z is rounding and little else
            X[:, -1] = X[:, 0] * (1 + 1e-9 * rng.standard_normal(rows))
            direction = params["W"] if width else params["w"]
            direction[-1] = -direction[0]
    u = params["W"] @ params["w"] if width else params["w"]
    largest = float(np.abs(X @ u).max()) or 1.0
    params["w"] *= min(scale / largest, 1e6) if trait != "cancelling logits" else 1.0
    if trait == "subnormal parameters":
        name = str(rng.choice(list(params)))
        params[name] *= tiny / 64 / np.abs(params[name]).max()
    if trait == "zero parameters":
        params["w"][...] = 0
    problem = make_problem(trait, spec, X, y, seed=seed)
    return replace(problem, params={name: np.asarray(value, spec.dtype) for name, value in params.items()})


def problems(*, compiled: bool = False) -> SearchStrategy[Problem]:
    """Correct problems of every kind: any small shape, all options, extreme logits and awkward data included.

    ``compiled`` keeps to a dozen shapes, and to one choice of penalty, reduction and logit scale for each of them.
    """
    from hypothesis import strategies as st

    shapes = st.tuples(st.integers(1, 40), st.integers(1, 12), st.integers(0, 8))
    layout = {
        "formulation": st.sampled_from(["as_written", "reassociated", "blocked"]),
        "dtype": st.sampled_from(["float64", "float32"]),
    }
    rest = {
        "logit_scale": st.sampled_from([1.0, 2.0, -0.7]),
        "reduction": st.sampled_from(["sum", "mean"]),
        "l2": st.sampled_from([0.0, 0.1, 3.0]),
    }
    cases = st.tuples(st.one_of(shapes, st.sampled_from(SHAPES)), st.fixed_dictionaries({**layout, **rest}))
    if compiled:
        settled = [(shape, _options(index)) for index, shape in enumerate(SHAPES)]
        cases = st.tuples(st.sampled_from(settled), st.fixed_dictionaries(layout)).map(
            lambda drawn: (drawn[0][0], {**drawn[0][1], **drawn[1]})
        )
    return st.builds(
        lambda case, trait, scale, seed: build(case[0], trait, scale, seed, case[1]),
        cases,
        st.sampled_from(TRAITS),
        st.sampled_from(SCALES),
        st.integers(0, 2**32),
    )


def _options(index: int) -> dict[str, Any]:
    return {
        "logit_scale": (1.0, 2.0, -0.7)[index % 3],
        "reduction": ("sum", "mean")[index % 2],
        "l2": (0.0, 0.0, 0.1, 3.0)[index % 4],
    }


class Judge:
    """The verdicts on one backend in this process, as a run would give them; programs are reused by specification."""

    def __init__(self, name: str, backend: Backend, reference: Callable[[Problem], Reference] | None = None) -> None:
        self.name, self.backend, self.reference = name, backend, reference
        self.programs: dict[Logistic, tuple[Loss, Program]] = {}

    def __call__(self, problem: Problem) -> list[Finding]:
        """A finding for every block."""
        from gradparity.judge.verdicts import judge, without_answer
        from gradparity.truth.logistic.truth import reference
        from gradparity.worker.evaluation import evaluate

        if problem.spec not in self.programs:
            loss = self.backend.loss(problem.spec)
            self.programs[problem.spec] = loss, self.backend.program(loss)
        evaluation = evaluate(self.backend, *self.programs[problem.spec], problem)
        truth = (self.reference or reference)(problem)
        if evaluation.impurity:
            return without_answer(self.name, truth, "impure", evaluation.impurity)
        quantities = evaluation.quantities
        return judge(self.name, quantities, truth, problem)


def campaign(
    strategy: SearchStrategy[Problem], examples: int, judged: Callable[[Problem], list[Finding]], seed: int = 0
) -> Iterator[tuple[Problem, Finding]]:
    """Every finding on so many drawn problems; an alarm ends nothing."""
    import hypothesis

    seen: list[tuple[Problem, Finding]] = []

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(strategy)
    def draw(problem: Problem) -> None:
        seen.extend((problem, finding) for finding in judged(problem))

    draw()
    yield from seen


def main() -> None:
    """Run the campaign and print what it found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--backends", default="numpy,autograd,torch")
    parser.add_argument("--examples", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--eager-jax", action="store_true", help="run JAX op by op, over any shape")
    shares.add_option(parser)
    arguments = parser.parse_args()
    alarms, examples = 0, arguments.examples
    size = SHARE if arguments.scheduler else examples
    for name in arguments.backends.split(","):
        began = time.monotonic()
        pieces = [
            (name, min(size, examples - first), arguments.seed + place, arguments.eager_jax)
            for place, first in enumerate(range(0, examples, size))
        ]
        found = list(shares.over(arguments.scheduler, judged, pieces))
        alarms += _report(name, found, time.monotonic() - began)
    sys.exit(1 if alarms else 0)


@dataclass
class Share:
    """What some drawn problems have come to: errors in floors by quantity, and each problem with an alarm in words."""

    problems: int
    floors: dict[str, np.ndarray[Any, Any]]
    alarms: list[str]


def judged(name: str, examples: int, seed: int, eager: bool) -> Share:
    """Draw so many problems and judge one backend on them."""
    from gradparity.backends import load, lookup

    backend = load(lookup(name).target)
    backend.configure(threads=1)
    compiled = name in ("jax", "torch-compile") and not eager
    with _eager(eager and name == "jax"), np.errstate(all="ignore"):
        return _share(list(campaign(problems(compiled=compiled), examples, Judge(name, backend), seed)))


def _eager(wanted: bool) -> AbstractContextManager[Any]:
    if not wanted:
        return nullcontext()
    import jax

    return jax.disable_jit()


def _share(seen: list[tuple[Problem, Finding]]) -> Share:
    floors: dict[str, list[float]] = defaultdict(list)
    alarms: dict[int, list[tuple[Problem, Finding]]] = defaultdict(list)
    for problem, finding in seen:
        for key in (finding.quantity, "all"):
            floors[key].append(np.inf if finding.floors is None else finding.floors)
        if finding.verdict != "agrees":
            alarms[id(problem)].append((problem, finding))
    words = []
    for found in alarms.values():
        problem, finding = max(found, key=lambda pair: pair[1].floors or np.inf)
        words.append(f"  {problem.name}, {problem.rows} rows, seed {problem.seed}, {problem.spec}\n    {finding}")
    count = len({id(problem) for problem, _ in seen})
    return Share(count, {quantity: np.array(values) for quantity, values in floors.items()}, words)


def _report(name: str, found: list[Share], seconds: float) -> int:
    """Print one backend's distribution and its alarms; how many problems had one."""
    count, alarms = sum(share.problems for share in found), [said for share in found for said in share.alarms]
    lines = [f"{name}: {count} problems in {seconds:.0f} s, {len(alarms)} with an alarm"]
    for quantity in dict.fromkeys(quantity for share in found for quantity in share.floors):
        values = np.concatenate([share.floors[quantity] for share in found if quantity in share.floors])
        median, high, higher = np.percentile(values, [50, 99, 99.9], method="higher")
        lines.append(
            f"  {quantity:8} floors: median {median:.3g}, 99% {high:.3g}, 99.9% {higher:.3g}, max {max(values):.3g}"
        )
    print("\n".join(lines + alarms[:20]), flush=True)
    return len(alarms)


if __name__ == "__main__":
    from tests.evidence import false_alarms  # by whose name workers find what they run

    false_alarms.main()
