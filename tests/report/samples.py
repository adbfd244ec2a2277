"""Results of every kind that a report has to show, hostile ones among them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gradparity.benchmark.protocol import Block, WarmUp
from gradparity.benchmark.rounds import Round
from gradparity.benchmark.stats import Comparison, Control, MedianInterval
from gradparity.judge.speed.choice import recommend
from gradparity.results import (
    BackendInfo,
    Diagnosis,
    Finding,
    ProblemResult,
    RunResult,
    Start,
    Timed,
    Timing,
    Training,
    Trouble,
    store,
)
from tests.samples import SAMPLES, SCHEMA_2

SCRIPT = "<script>alert(1)</script>"
BREAKING = "</script><img src=x onerror=alert(1)>"
#: What a terminal, Markdown or a mail to a stranger would be made of.
NASTY = "\x1b[31mred\x1b]0;title\x07 | `code` @octocat **bold** <b>b</b>\n# head\n- [link](http://example.org)"
_MACHINE = {"cpu": "a CPU", "cores": 2, "usable_cores": 2, "memory_bytes": 2**34, "system": "Linux", "python": "3.11"}


def finding(backend: str, *, bad: bool = False, **fields: Any) -> Finding:
    usual: dict[str, Any] = {
        "quantity": "gradient", "parameter": "W", "verdict": "wrong" if bad else "agrees",
        "rule": "error of more than 8 noise floors" if bad else "error of at most 8 noise floors",
        "cause": "factor 2" if bad else "", "absolute_error": 1.0 if bad else 1e-16,
        "relative_error": 1.0 if bad else 1.4e-16,
        "error_ulps": 4.5e15 if bad else 1.25, "floor_ulps": 2.0, "floors": 2.25e15 if bad else 0.625,
        "worst_index": (1, 2), "got": 2.0 if bad else 1.0, "truth": 1.0,
    }  # fmt: skip
    return Finding(backend=backend, **(usual | fields))


def timed(step_ns: float, ratio: float | None) -> Timed:
    block = Block(inner=10, wall_ns=int(10 * step_ns), cpu_ns=int(10 * step_ns), stolen_ns=0, minor_faults=0,
                  context_switches=0)  # fmt: skip
    comparison = None
    if ratio is not None:
        comparison = Comparison(ratio=ratio, low=0.9 * ratio, high=1.1 * ratio, half_width=0.1, pairs=1, rounds=2,
                                discarded=0, within_process=True)  # fmt: skip
    return Timed(
        pairs=[0],
        inner=[10],
        warm_ups=[WarmUp(calls=3, seconds=0.1, call_s=step_ns / 1e9, converged=True)],
        rounds=[Round(0, index, (block, block), (block, block)) for index in range(2)] if ratio is not None else [],
        step_ns=MedianInterval(step_ns, 0.95 * step_ns, 1.05 * step_ns, 8, 0.95),
        cpu_per_wall=1.0,
        ratio=comparison,
        speed=None if ratio is None else "faster" if ratio > 1.1 else "slower",
    )


def timing(backend: str, step_ns: float, ratio: float | None) -> Timing:
    start = Start(pair=0, import_s=0.5, build_s=0.01, first_call_s=0.2, compile_cache="", resident_bytes=10**8)
    return Timing(
        backend=backend,
        starts=[start],
        step=timed(step_ns, ratio),
        loop=timed(step_ns / 2, ratio),
        peak_resident_bytes=2 * 10**8,
        import_resident_bytes=10**8,
        times_floor=3.5,
        loop_times_floor=1.75,
    )


def training(backend: str, *, bad: bool = False) -> Training:
    losses: list[float | None] = [0.7 - 0.01 * step for step in range(21)]
    return Training(
        backend=backend, verdict="wrong" if bad else "agrees", steps=20, checked_steps=20, initial_loss=0.7,
        final_loss=0.5, reference_loss=0.5, floors=1e9 if bad else 0.5, first_divergence=3 if bad else None,
        diverged="loss" if bad else "", reason="a gradient that is wrong" if bad else "", loop_s=0.1, losses=losses,
        recorded_steps=[0, 10, 20], loss_floors=[0.1] * 21, parameter_floors={"W": [0.1, 0.2, 0.3]},
    )  # fmt: skip


def problem(name: str, backends: list[str], *, bad: str = "", clock: bool = True, **fields: Any) -> ProblemResult:
    made = ProblemResult(
        name=name, source="made", digest="d", rows=4, truth="certified in ball arithmetic",
        spec={"features": 3, "projection": 2, "formulation": "as_written", "dtype": "float64", "reduction": "mean"},
        findings=[finding(each, bad=each == bad, parameter=parameter) for each in backends for parameter in ("w", "W")],
        training=[training(each, bad=each == bad) for each in backends],
        reference=backends[0] if backends else "",
        control=Control(sd=0.01, floor=0.05, pairs=1, between_sd=0.02, between_df=4),
    )  # fmt: skip
    if clock:
        made.timings = [timing(each, 1000.0 * (1 + i), (1 / (1 + i)) if i else None) for i, each in enumerate(backends)]
        made.recommendation = recommend(made, 100)
    for field, value in fields.items():
        setattr(made, field, value)
    return made


def run(*problems: ProblemResult, complete: bool = True, **fields: Any) -> RunResult:
    names = dict.fromkeys(found.backend for each in problems for found in each.findings)
    usual: dict[str, Any] = {
        "gradparity_version": "0.1.0", "command": "run", "settings": {"steps": 100, "threads": 1},
        "machine": dict(_MACHINE), "environment": {"OMP_NUM_THREADS": "1"},
        "backends": [BackendInfo(name=name, versions={name: "1.0"}) for name in names],
        "problems": list(problems), "complete": complete,
    }  # fmt: skip
    return RunResult(**(usual | fields))


def many() -> RunResult:
    """Thirty cells of six backends, two of which are off in ways of their own, and many things to say."""
    backends = ["numpy", "autograd", "jax", "torch", "torch-compile", "other"]
    said = [Diagnosis(name=f"diagnosis {i}", finding="something " * 30, cure="do something " * 10) for i in range(9)]
    cells = [
        problem(f"synthetic:{10 * (i + 1)}x{i + 1}", backends, bad="torch" if i % 3 else "jax", diagnoses=said,
                left_out=["loops", "the loss alone"])
        for i in range(30)
    ]  # fmt: skip
    return run(*cells, left_out=["4x3x3, blocked"], settings={"steps": 1000, "budget_s": 5.0, "threads": 1})


def only_failures() -> RunResult:
    troubles = [
        Trouble(backend=f"backend-{i}", stage="import", reason=f"ImportError: no module {i} " + "x" * 300)
        for i in range(20)
    ]
    failed = [finding(each.backend, verdict="failed", floors=None, error_ulps=None, got=None) for each in troubles]
    return run(problem("toy", [], clock=False, findings=failed, training=[], troubles=troubles))


def hostile() -> RunResult:
    bad = finding(SCRIPT, bad=True, parameter=BREAKING, cause=NASTY)
    cell = problem("toy", ["numpy", SCRIPT], bad=SCRIPT, source=NASTY, truth=BREAKING)
    cell.findings.append(bad)
    cell.troubles.append(Trouble(backend=BREAKING, stage=SCRIPT, reason=NASTY))
    cell.diagnoses.append(Diagnosis(name=SCRIPT, finding=NASTY, cure=BREAKING))
    return run(cell, command=SCRIPT, settings={SCRIPT: BREAKING, "steps": 10}, environment={SCRIPT: BREAKING})


def samples() -> dict[str, RunResult]:
    """By name: real ones from files, and made ones."""
    real: dict[str, RunResult] = {Path(path).stem: store.read(Path(path)) for path in (*SAMPLES, SCHEMA_2)}
    plain = problem("toy", ["numpy", "jax"])
    return {
        **real,
        "usual": run(plain, problem("iris", ["numpy", "jax"])),
        "one": run(plain),
        "off": run(problem("toy", ["numpy", "jax", "torch"], bad="torch")),
        "checked": run(problem("toy", ["numpy", "jax"], clock=False), command="check"),
        "bench": run(*(problem(f"synthetic:{n}x3", ["numpy", "jax"], training=[]) for n in (10, 100, 1000))),
        "incomplete": run(problem("toy", ["numpy"], clock=False), complete=False),
        "empty": run(complete=False),
        "many": many(),
        "failures": only_failures(),
        "hostile": hostile(),
    }
