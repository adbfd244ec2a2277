"""False alarms with users' models: how many right ports of drawn models are called anything but ``agrees``.

    python -m tests.evidence.user_models 10000 --seed 1 --out campaign.jsonl
    python -m tests.evidence.user_models 1 --seed 1 --only 4711    # one model again, with every finding
    python -m tests.evidence.user_models 40 --large --seed 2       # of 10^5 to 10^6 entries

A model is a neutral ``loss(params, data, xp)`` of a drawn family, shape, dtype and trait of its data. Its ports are the
same in autograd's, JAX's (compiled) and PyTorch's namespaces; in half of the designs JAX and PyTorch use what their
users call instead (`tests.evidence.user_ports`). Values, gradients, JVPs and HVPs are those of gradparity's backends,
in this process; they are held by its judge to the truth and floor of the neutral loss. One design in twenty is also
judged without a truth, backend against backend. Some models share a design, so that JAX compiles it once.

Prints the counts of verdicts, the largest errors in floors, how they grow with the number of entries, and every
finding that is not agreement with what it takes to see it again.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import os
import sys
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tests.evidence.drawn_models import BACKENDS, Drawn, Ports, design_of, drawn, problem_of, reference_of

#: Designs between two that are also judged without a truth.
PAIRWISE = 20


def judged(seed: int, index: int, ports: Ports, model: Drawn, *, pairwise: bool) -> Iterator[dict[str, Any]]:
    """Every finding on one model, as plain values."""
    from gradparity.judge.other_precision import Pair, needs_other_precision, told_apart, usual_sizes
    from gradparity.judge.steady import Answered, beneath, with_steady
    from gradparity.judge.verdicts import judge

    problem = problem_of(model, index)
    reference = reference_of(model, index)
    inputs = [(model.params, model.data, model.tangents)]
    found, answers = [], {}
    for name in BACKENDS:
        answers[name] = ports.values(name, inputs)[0]
        findings = judge(name, answers[name], reference, problem)
        here = Answered.of(answers[name], reference, problem)
        if needs_other_precision(findings) or beneath(findings, here):
            other = model.in_other_precision()
            values = ports.values(name, [(other.params, other.data, other.tangents)])[0]
            there = Answered.of(values, reference_of(other, index), problem_of(other, index))
            sizes = usual_sizes(reference.truth["loss", ""], problem)
            found_there = judge(name, values, there.reference, there.problem)
            findings = told_apart(findings, found_there, pair=Pair(model.dtype, other.dtype), sizes=sizes)
            findings = with_steady(findings, here, there)
        found += findings
    if pairwise:
        found += without_truth(ports, problem, answers)
    for finding in found:
        size = problem.spec.shapes.get(finding.parameter, ())
        yield {
            "mode": "pairwise" if finding.rule.startswith("pairwise") else "truth",
            **{name: getattr(finding, name) for name in ("backend", "quantity", "parameter", "verdict", "floors")},
            "n": int(np.prod(size)),
            **(
                {}
                if finding.verdict == "agrees"
                else {
                    name: getattr(finding, name)
                    for name in ("rule", "cause", "got", "truth", "floor_ulps", "error_ulps", "worst_index")
                }
            ),
        }


def without_truth(ports: Ports, problem: Any, answers: Any) -> list[Any]:
    """The findings on a model whose truth is not known."""
    from gradparity.judge.consensus import judge_pairwise
    from gradparity.judge.own import Answers
    from gradparity.numerics.beside import beside, sides_from, without_steps
    from gradparity.numerics.perturbation import along_line, floor_from, perturbed
    from gradparity.numerics.richardson import block_directions
    from gradparity.worker.extrapolation import beside_kinks, own_derivatives, second_derivatives

    trees, collected = (problem.params, problem.data, problem.tangents), {}
    for name in BACKENDS:
        moved = ports.values(name, perturbed(*trees, seed=problem.seed))
        line = ports.values(name, along_line(*trees, seed=problem.seed))
        sides = sides_from(ports.values(name, beside(*trees, seed=problem.seed)), problem.tangents)
        floors = without_steps(
            floor_from(answers[name], moved, problem.spec.dtype, line),
            sides,
            floor_from(answers[name], moved, problem.spec.dtype),
        )
        asked = ports.backends[name], ports.programs[name], problem.cast("float64"), ports.losses[name]
        along = own_derivatives(*asked, {"": dict(asked[2].tangents)})
        own, seconds = own_derivatives(*asked), second_derivatives(*asked)
        slopes = beside_kinks(*asked[:3], own)
        collected[name] = Answers(answers[name], floors, own, along, seconds, sides=sides, slopes=slopes)
    directions: dict[str, Any] = dict(block_directions(problem.params, problem.seed))
    return judge_pairwise(collected, directions, dtype=problem.spec.dtype)[1]


def of_design(task: tuple[int, list[int], bool]) -> list[dict[str, Any]]:
    """The findings on some models of one design."""
    import jax

    np.seterr(all="ignore")
    seed, indices, large = task
    found: list[dict[str, Any]] = []
    model = drawn(seed, indices[0], large=large)
    ports = Ports(model)
    for index in indices:
        model, began = drawn(seed, index, large=large), time.monotonic()
        about = {"index": index, "family": model.family, "words": model.words, "entries": model.entries}
        try:
            pairwise = design_of(index, large) % PAIRWISE == 0
            rows = list(judged(seed, index, ports, model, pairwise=pairwise and not large))
        except Exception as error:
            words = "".join(traceback.format_exception_only(error)).strip()
            rows = [{"verdict": type(error).__name__, "rule": words, "mode": "error", "n": 0, "quantity": "",
                     "parameter": "", "backend": "", "floors": None}]  # fmt: skip
        found.append({**about, "seconds": round(time.monotonic() - began, 2), "rows": rows})
    jax.clear_caches()
    return found


def campaign(seed: int, indices: range, *, large: bool = False, processes: int = 1) -> Iterator[dict[str, Any]]:
    """Every model's findings, design by design."""
    groups: dict[int, list[int]] = defaultdict(list)
    for index in indices:
        groups[design_of(index, large)].append(index)
    tasks = [(seed, group, large) for group in groups.values()]
    if processes == 1 and len(tasks) < 20:
        for task in tasks:
            yield from of_design(task)
        return
    os.nice(5)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NPROC"):
        os.environ[name] = "1"
    with multiprocessing.get_context("spawn").Pool(processes, maxtasksperchild=15) as pool:
        for found in pool.imap_unordered(of_design, tasks):
            yield from found


def expected(value: float) -> float:
    """The largest of n standard normal numbers, about."""
    return float(np.sqrt(2 * np.log(max(value, 2))))


def _with(models: list[dict[str, Any]], *verdicts: str, without: bool = False) -> int:
    """Models with a finding of some verdicts, or of others than these."""
    return sum(any((row["verdict"] in verdicts) != without for row in model["rows"]) for model in models)


def summary(models: list[dict[str, Any]]) -> str:
    """What a campaign found, in lines."""
    rows = [(model, row) for model in models for row in model["rows"]]
    compared = [(m, r) for m, r in rows if r["floors"] is not None and r["mode"] == "truth"]
    lines = [
        f"{len(models)} models, {len(rows)} blocks, {sum(r['n'] for _, r in rows)} entries; "
        f"{_with(models, *GOOD, *TRUE_OF_PORTS, without=True)} models with an alarm, {_with(models, 'unstable')} with "
        f"a block that is unstable, {_with(models, 'nonfinite')} with one that is no number, "
        f"{_with(models, 'unresolved')} with one that is unresolved"
    ]
    by_family: dict[str, Counter[str]] = defaultdict(Counter)
    for model, row in rows:
        by_family[model["family"]][f"{row['verdict']}{' (pairwise)' * (row['mode'] == 'pairwise')}"] += 1
    lines += [f"  {family:12} {dict(counts)}" for family, counts in sorted(by_family.items())]
    lines.append("blocks by entries: count, median, 99%, 99.9%, largest floors; sqrt(2 ln n)")
    edges = [1, 2, 10, 100, 1000, 10_000, 100_000, 10**7]
    for low, high in itertools.pairwise(edges):
        some = [r["floors"] for _, r in compared if low <= r["n"] < high and r["verdict"] == "agrees"]
        if some:
            a, b, c, d = np.percentile(some, [50, 99, 99.9, 100], method="higher")
            lines.append(f"  {low:>7} to {high - 1:<8} {len(some):7} {a:7.2f} {b:7.2f} {c:7.2f} {d:7.2f} "
                         f"{expected(low):6.2f}")  # fmt: skip
    lines.append("largest:")
    for model, row in sorted(compared, key=lambda pair: -pair[1]["floors"])[:20]:
        where = f"{row['backend']} {row['quantity']} {row['parameter']} of {row['n']}"
        lines.append(f"  {row['floors']:9.3g} {row['verdict']:8} {where}: --only {model['index']}: {model['words']}")
    return "\n".join(lines)


#: What a right port may be told without an alarm: that it agrees, or that nothing can be said.
GOOD = ("agrees", "kink", "unresolved")
#: What is listed all the same, since it has to be true of a port that is right on paper: its formula has lost digits
#: that the neutral one keeps, or is no number (`a**n / (a**n + x**n)` overflows in float32; so does the second
#: derivative of torch's logaddexp, infinity times zero, far from its bend).
TRUE_OF_PORTS = ("unstable", "nonfinite")


def alarms(models: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Each finding that is not agreement."""
    for model in models:
        for row in model["rows"]:
            if row["verdict"] not in GOOD:
                where = f"{row['backend']} {row['quantity']} {row['parameter']}".strip()
                yield (
                    f"ALARM --only {model['index']}: {model['words']}\n    {row['mode']} {where}: {row['verdict']}, "
                    f"{row['floors']} floors: {row['rule']}; {row.get('cause')}; got {row.get('got')}, truth "
                    f"{row.get('truth')}, floor {row.get('floor_ulps')} ulp"
                )


def main() -> None:
    """Run the campaign and print what it found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("count", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="this model alone, every finding printed")
    parser.add_argument("--large", action="store_true", help="10^5 to 10^6 entries each")
    parser.add_argument("--processes", type=int, default=1, choices=(1, 2))
    parser.add_argument("--out", type=Path, help="a file that every model's findings are appended to, as JSON")
    arguments = parser.parse_args()
    indices = range(arguments.count) if arguments.only is None else range(arguments.only, arguments.only + 1)
    models = []
    for model in campaign(arguments.seed, indices, large=arguments.large, processes=arguments.processes):
        models.append(model)
        if arguments.out:
            with arguments.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(model, default=str) + "\n")
        print(*alarms([model]), sep="\n", end="\n" if any(alarms([model])) else "", flush=True)
        if arguments.only is not None:
            print(*model["rows"], sep="\n")
    print(summary(models))
    sys.exit(any(row["verdict"] not in (*GOOD, *TRUE_OF_PORTS) for model in models for row in model["rows"]))


if __name__ == "__main__":
    main()
