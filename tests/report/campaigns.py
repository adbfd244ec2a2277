"""Results of many models over seeds, made by hand: most agree, the others do not for a few causes."""

from __future__ import annotations

from typing import Any

from msgspec import structs

from gradparity.results import ProblemResult, RunResult, Trouble
from gradparity.results.divergence import Divergences
from gradparity.results.lines import Cure, Lines, Site
from tests.report.samples import finding, problem, run

BACKENDS = ["autograd", "jax", "torch"]


def model(name: str, seed: int | None = 0, *, bad: str = "", cause: str = "factor 2", **fields: Any) -> ProblemResult:
    """One model at one seed, of which one backend's gradients are off for one cause."""
    parameters = [["w", [3], "float64"], ["W", [3, 2], "float64"]]
    spec = {"path": f"/m/{name}", "parameters": parameters, "dtype": "float64"}
    made = problem(name, BACKENDS, bad=bad, clock=False, spec=spec, training=[], seed=seed, **fields)
    made.findings = [structs.replace(each, cause=cause) if each.verdict == "wrong" else each for each in made.findings]
    return made


def with_lines(made: ProblemResult) -> ProblemResult:
    """The same with no cause, and where its jax port diverges."""
    made.findings = [structs.replace(each, cause="") for each in made.findings]
    site = Site(backend="jax", file="jax.py", line=6, text="x + EPS", operation="add")
    cure = Cure(backend="jax", file="jax.py", line=1, kind="number", old="1e-6", new="1e-5")
    made.divergences = Divergences(lines=[Lines(direction="forward", backend="jax", against="truth", here=[site],
                                                cures=[cure])])  # fmt: skip
    return made


def over_seeds(name: str, seeds: int, at: tuple[int, ...] | None = None, **fields: Any) -> list[ProblemResult]:
    """A model at all of its seeds, off at some of them: at all if none are named."""
    return [
        model(name, seed if seeds > 1 else None, **(fields if at is None or seed in at else {}))
        for seed in range(seeds)
    ]


def made(models: int = 40, seeds: int = 3, **fields: Any) -> RunResult:
    """Of the first twelve models nine are off for three causes, one fails, one is compared in part; others agree."""
    wrong = [
        *(over_seeds(f"twice-{place}.py", seeds, bad="torch") for place in range(4)),
        over_seeds("twice-jax.py", seeds, bad="jax"),
        over_seeds("one-seed.py", seeds, at=(seeds - 1,), bad="torch"),
        *(
            over_seeds(f"detached-{name}.py", seeds, bad="jax", cause=f"zero block: {name} is detached, or not used")
            for name in ("w", "W")
        ),
        [with_lines(each) for each in over_seeds("eps.py", seeds, bad="jax")],
    ]
    crashed, silent = over_seeds("crashes.py", seeds), over_seeds("silent.py", seeds)
    for each in crashed:
        each.findings = [found for found in each.findings if found.backend != "torch"]
        each.troubles = [Trouble(backend="torch", stage="evaluation", reason=f"RuntimeError: size {len(each.name)}")]
    silent[0].findings = [found for found in silent[0].findings if found.backend != "jax"]
    right = [over_seeds(f"right-{place:03}.py", seeds) for place in range(models - len(wrong) - 2)]
    problems = [each for group in (*wrong, crashed, silent, *right) for each in group]
    return run(*problems, command="check", planned=len(problems), **fields)


def one_wrong(name: str) -> RunResult:
    """Many models of which one has a name from outside, and a backend that has it too."""
    found = made(20, 1)
    hostile = model(name, None, bad="jax")
    hostile.findings = [structs.replace(f, backend=name) if f.backend == "jax" else f for f in hostile.findings]
    hostile.findings.append(finding("torch", bad=True, cause=name))
    return structs.replace(found, problems=[*found.problems, hostile])
