"""Results to report on: those of real runs, and extremes that no real run of seconds gives."""

from __future__ import annotations

from functools import cache
from typing import Any

from bench.limits import Limits
from bench.protocol import Block, WarmUp
from bench.rounds import Round
from bench.stats import Comparison, Control, MedianInterval
from gradparity import store
from gradparity.partings import Parting, Partings
from gradparity.results import (
    BackendInfo,
    Diagnosis,
    Disagreement,
    Finding,
    Outlier,
    OwnDerivative,
    Pairwise,
    ProblemResult,
    Recommendation,
    RunResult,
    Sitting,
    Span,
    Start,
    Timed,
    Timing,
    Training,
    Trouble,
    Verdict,
)
from tests.samples import SAMPLES, SCHEMA_1

BACKENDS = ("numpy", "autograd", "jax", "torch", "torch-compile", "tinygrad-of-somebody")
#: How many nanoseconds a step of each takes on the smallest problem.
STEP_NS = dict(zip(BACKENDS, (9e3, 2.4e5, 3.1e4, 1.9e5, 8.8e4, 7.7e6), strict=True))

SCRIPT = "<script>alert(1)</script>"
IMAGE = "</script><img src=x onerror=alert(1)>"
PWNED = "\"'><svg onload=window.__pwned=1><a href=javascript:window.__pwned=1>here</a>"
TEMPLATE = "{{ 7 * 7 }} {% raw %} %{x} ${y}"
CONTROL = "\x1b[31mred\x1b[0m \x1b]0;title\x07 bell\x07 \x9b2J \u202edesrever"
MARKDOWN = (
    "a|b `code` **bold** [link](javascript:alert(1)) ![i](x) @octocat #1 owner/repo#2\n\n# head\n- item\n| c | d |"
)
HOSTILE = {
    "script": SCRIPT, "image": IMAGE, "pwned": PWNED, "template": TEMPLATE, "control": CONTROL, "markdown": MARKDOWN,
}  # fmt: skip
#: All in one: what an exception or a file's name may say.
EVERYTHING = " ".join(HOSTILE.values())


@cache
def results() -> dict[str, RunResult]:
    """Every sample by name. Not to be changed: all tests share them."""
    real = {path.stem: store.load(path) for path in (*SAMPLES, SCHEMA_1)}
    made = {
        "grid": grid(),
        "faults": grid(every_one_off=True),
        "failures": failures(),
        "incomplete": incomplete(),
        "empty": empty(),
        "own-model": own_model(),
        "stress": stress(),
        "hostile": hostile(),
        "crowded": crowded(),
    }
    return {**real, **made}


#: Names of all samples, known without making them; `results` has no others.
NAMES = (
    *(path.stem for path in (*SAMPLES, SCHEMA_1)),
    *("grid", "faults", "failures", "incomplete", "empty", "own-model", "stress", "hostile", "crowded"),
)


def run(*problems: ProblemResult, complete: bool = True, **fields: Any) -> RunResult:
    """A finished run of these problems, with all six backends at hand."""
    usual: dict[str, Any] = {
        "gradparity_version": "0.1.0",
        "command": "bench",
        "settings": {"steps": 1000, "threads": 1, "profile": "quick", "backends": list(BACKENDS)},
        "machine": {"cpu": "A processor of 2 GHz", "cores": 2, "python": "3.11.7", "memory_bytes": 2**33},
        "environment": {"OMP_NUM_THREADS": "1"},
        "sittings": [Sitting(started="2026-01-02T03:04:05Z", seconds=61.5)],
        "backends": [BackendInfo(name=name, versions={name.partition("-")[0]: "1.2.3"}) for name in BACKENDS],
    }
    return RunResult(**(usual | fields), problems=list(problems), complete=complete)


def problem(name: str, **fields: Any) -> ProblemResult:
    """A problem of the projected model, 1,000 rows by 20 features unless told otherwise."""
    spec = {
        "features": 20, "projection": 10, "formulation": "as_written", "numerics": "stable", "reduction": "mean",
        "dtype": "float64",
    }  # fmt: skip
    usual: dict[str, Any] = {
        "source": f"source of {name}",
        "digest": "0123456789abcdef0123",
        "rows": 1000,
        "spec": spec | fields.pop("spec", {}),
        "truth": "ball arithmetic of 128 bits",
        "reference": "numpy",
    }
    return ProblemResult(name=name, **(usual | fields))


def finding(backend: str, quantity: str = "gradient", parameter: str = "W", **fields: Any) -> Finding:
    """A block that agrees to within 0.6 floors unless told otherwise."""
    usual: dict[str, Any] = {
        "verdict": "agrees", "rule": "up to 8 floors", "absolute_error": 1.2e-17, "relative_error": 1.5e-16,
        "error_ulps": 1.25, "floor_ulps": 2.0, "floors": 0.625, "worst_index": (1, 2), "got": 0.1234567,
        "truth": 0.1234566,
    }  # fmt: skip
    return Finding(backend=backend, quantity=quantity, parameter=parameter, **(usual | fields))


def off(backend: str, cause: str, parameter: str = "W", verdict: Verdict = "wrong", **fields: Any) -> Finding:
    """A gradient that is 27 million floors away."""
    usual: dict[str, Any] = {
        "verdict": verdict, "rule": "more than 8 floors", "cause": cause, "absolute_error": 0.25,
        "relative_error": 1.9e-3, "error_ulps": 5.46e7, "floor_ulps": 2.0, "floors": 2.73e7, "got": 0.375,
        "truth": 0.125, "worst_index": (3,),
    }  # fmt: skip
    return finding(backend, "gradient", parameter, **(usual | fields))


def training(backend: str, *, verdict: Verdict = "agrees", steps: int = 40, **fields: Any) -> Training:
    """Gradient descent in the backend's own loop; the loss halves in some thirty steps."""
    losses = [0.7 * 0.977**step for step in range(steps + 1)]
    usual: dict[str, Any] = {
        "checked_steps": steps, "initial_loss": losses[0], "final_loss": losses[-1], "reference_loss": losses[-1],
        "floors": 1.75, "first_divergence": None, "loop_s": 0.004, "recorded_steps": [0, steps // 2, steps],
        "loss_floors": [0.1 + 0.02 * step for step in range(steps + 1)], "parameter_floors": {"W": [0.5, 1.25, 1.75]},
    }  # fmt: skip
    return Training(backend=backend, verdict=verdict, steps=steps, losses=losses, **(usual | fields))


def timed(step_ns: float, against_ns: float | None, *, steps: int = 1) -> Timed:
    """Two rounds of one process pair; the interval is 2% to either side."""
    ratio = None
    if against_ns is not None:
        middle = against_ns / step_ns
        ratio = Comparison(ratio=middle, low=middle / 1.02, high=middle * 1.02, half_width=0.02, pairs=1, rounds=2,
                           discarded=0, within_process=True)  # fmt: skip

    def block(ns: float) -> Block:
        return Block(wall_ns=int(10 * ns), cpu_ns=int(10 * ns), inner=10, minor_faults=0, context_switches=0,
                     stolen_ns=0)  # fmt: skip

    ours, others = (block(step_ns), block(step_ns)), (block(against_ns or step_ns), block(against_ns or step_ns))
    return Timed(
        steps=steps,
        pairs=[0],
        inner=[10],
        warm_ups=[WarmUp(calls=3, seconds=0.2, converged=True, call_s=step_ns / 1e9)],
        rounds=[Round(0, index, others, ours) for index in range(2)] if ratio else [],
        blocks=[] if ratio else list(ours),
        step_ns=MedianInterval(step_ns, step_ns / 1.02, step_ns * 1.02, 4, 0.95),
        cpu_per_wall=1.0,
        ratio=ratio,
        speed=None if ratio is None else "faster" if middle > 1.1 else "slower" if middle < 0.9 else "equivalent",
    )


def timing(backend: str, scale: float = 1.0) -> Timing:
    """Steps and loops, a start of some 0.4 s, memory."""
    step_ns, reference_ns = scale * STEP_NS.get(backend, 1e5), scale * STEP_NS["numpy"]
    alone = backend == "numpy"
    starts = [
        Start(pair=0, import_s=0.3, build_s=0.02, first_call_s=0.1, compile_cache="", resident_bytes=2**27),
    ]
    return Timing(
        backend=backend,
        starts=starts,
        step=timed(step_ns, None if alone else reference_ns),
        loop=timed(step_ns / 2, None if alone else reference_ns / 2, steps=100),
        peak_resident_bytes=2**28,
        import_resident_bytes=2**27,
        times_floor=step_ns / (0.5 * reference_ns),
        loop_times_floor=step_ns / reference_ns,
    )


def limits(floor_ns: float) -> Limits:
    """A machine that is bound by memory."""
    rate = MedianInterval(1e10, 0.9e10, 1.1e10, 6, 0.95)
    return Limits(read_bytes_per_s=rate, flops_per_s=rate, read_blocks=[], gemm_blocks=[], memory_ns=floor_ns,
                  compute_ns=floor_ns / 2)  # fmt: skip


CHOICE = Recommendation(
    choice=["jax"],
    reasons=["1,000 steps take 0.45 s with jax", "numpy's closed form was derived by hand"],
    steps=1000,
    spans=[Span(first=1, backend="autograd"), Span(first=3835, backend="jax", low=3486, high=None)],
    step_spans=[Span(first=1, backend="jax")],
)
BLOCKS = (("loss", ""), ("gradient", "w"), ("gradient", "W"), ("jvp", ""), ("hvp", "w"), ("hvp", "W"))


def grid(*, every_one_off: bool = False) -> RunResult:
    """Thirty cells of six backends, all timed; if asked, each is off in each cell for a reason of its own."""
    problems = []
    for index in range(30):
        size, formulation = 100 * 2 ** (index // 3), ("as_written", "blocked", "collapsed")[index % 3]
        findings = [finding(backend, *block) for backend in BACKENDS for block in BLOCKS]
        if every_one_off:
            findings += [off(name, f"cause {index} of {name}, {'in many words ' * 12}", "b") for name in BACKENDS]
        problems.append(
            problem(
                f"synthetic:{size}x20",
                rows=size,
                spec={"formulation": formulation},
                findings=findings,
                training=[training(name) for name in BACKENDS],
                timings=[timing(name, size / 100) for name in BACKENDS],
                control=Control(pairs=1, sd=0.01, floor=0.05, between_sd=0.016, between_df=4),
                limits=limits(0.5 * STEP_NS["numpy"] * size / 100),
                recommendation=None if every_one_off else CHOICE,
                diagnoses=[Diagnosis(name="separable data", finding="the loss has no minimum", cure="Add a penalty.")],
            )
        )
    return run(*problems)


def failures() -> RunResult:
    """Nobody gave an answer."""
    troubles = [Trouble(backend=name, stage="import", reason=f"no module of {name}") for name in BACKENDS]
    lost = [Finding(backend=name, quantity="gradient", parameter="", verdict="failed", rule="") for name in BACKENDS]
    return run(problem("toy", troubles=troubles, findings=lost), command="check")


def incomplete() -> RunResult:
    """Interrupted after the second of three problems."""
    kept = [problem(name, findings=[finding("jax"), off("torch", "float32 cast")]) for name in ("toy", "iris")]
    return run(*kept, complete=False, command="check", left_out=["breast_cancer"])


def empty() -> RunResult:
    """Interrupted before the first."""
    return run(complete=False, command="check", backends=[])


def own_model() -> RunResult:
    """A user's port: no truth, backends held against each other; one is off, and one block has no majority."""
    names = ["autograd", "jax", "torch"]
    apart = [[0.0, 0.5, 4.1e5], [0.5, 0.0, 4.1e5], [4.1e5, 4.1e5, 0.0]]
    matrix = [
        Disagreement(quantity="loss", parameter="", floors=[[0.0] * 3] * 3, agreeing=names),
        Disagreement(quantity="gradient", parameter="layers.0.weight", floors=apart, agreeing=names[:2]),
        Disagreement(quantity="gradient", parameter="layers.0.bias", floors=[[None] * 3] * 3),
    ]
    own = [
        OwnDerivative(
            backend=name, parameter="layers.0.weight", kind="smooth", along=0.5, value=0.5 + 0.1 * (index == 2),
            error=1e-9, consistent=index != 2, evaluations=24,
        )
        for index, name in enumerate(names)
    ]  # fmt: skip
    outlier = Outlier(
        backend="torch", kind="gradient", cause="a detached parameter", finding="not that of its own loss"
    )
    parting = Parting(
        index=(0, 1), floors=4.1e5, ulps=8.2e5, relative=1e-4, got=1.5, expected=1.25, kind="value", detail="",
        resembles="", direction="backward", tap="hidden", occurrence=0, of=1, backend="torch", against=names[:2],
    )  # fmt: skip
    findings = [finding(name, "gradient", "layers.0.weight") for name in names[:2]]
    findings.append(off("torch", "a detached parameter", "layers.0.weight"))
    spec = {"parameters": [["layers.0.weight", [3, 2], "float64"], ["layers.0.bias", [3], "float32"]]}
    mine = ProblemResult(
        name="my_model", source="ports/", digest="d", rows=0, spec=spec, truth="", reference="autograd",
        findings=findings, pairwise=Pairwise(backends=names, matrix=matrix, own=own, outliers=[outlier]),
        partings=Partings(taps=3, found=[parting], notes=["numpy has no tap `hidden`"]),
        idle={"numpy": "no port of it in ports/"},
    )  # fmt: skip
    return run(mine, command="check")


def stress() -> RunResult:
    """Fifty problems, a fifth of which are there to show that the formula itself fails."""
    cases = []
    for index in range(50):
        shown = index % 5 == 0
        lost: dict[str, Any] = {"verdict": "nonfinite", "got": None, "floors": None, "error_ulps": None}
        found = [finding(name, **(lost if shown else {})) for name in BACKENDS]
        cases.append(problem(f"case {index}", findings=found, expected="the sum overflows" if shown else ""))
    return run(*cases, command="check", settings={"stress": True, "steps": 1})


def hostile() -> RunResult:
    """Whatever somebody else names or says is an attack on a terminal, on Markdown, on HTML or on a template."""
    findings = [
        finding("numpy", "gradient", IMAGE),
        off(SCRIPT, EVERYTHING, IMAGE),
        off(PWNED, CONTROL, TEMPLATE, rule=MARKDOWN),
        finding(MARKDOWN, "gradient", IMAGE),
    ]
    names = ["numpy", SCRIPT, PWNED, MARKDOWN, CONTROL]
    bad = training(SCRIPT, verdict="wrong", first_divergence=3, diverged=IMAGE, reason=PWNED, detail=EVERYTHING)
    matrix = Disagreement(quantity="gradient", parameter=IMAGE, floors=[[0.0, 9e9], [9e9, 0.0]], agreeing=[SCRIPT])
    parting = Parting(
        index=(0,), floors=1e9, ulps=None, relative=1e-4, got=1.5, expected=1.25, kind="shape", detail=PWNED,
        resembles=MARKDOWN, direction="forward", tap=IMAGE, occurrence=0, of=1, backend=SCRIPT, against=[PWNED],
    )  # fmt: skip
    own = OwnDerivative(backend=PWNED, parameter=IMAGE, kind=SCRIPT, along=0.5, value=0.6, error=1e-9, consistent=False,
                        evaluations=24)  # fmt: skip
    first = problem(
        PWNED, source=EVERYTHING, truth=EVERYTHING, digest=PWNED, findings=findings,
        training=[bad, training(IMAGE), training("numpy")], timings=[timing(name) for name in names], reference="numpy",
        troubles=[Trouble(backend=CONTROL, stage=SCRIPT, reason=EVERYTHING, detail=EVERYTHING)],
        diagnoses=[Diagnosis(name=SCRIPT, finding=EVERYTHING, cure=MARKDOWN)], idle={IMAGE: EVERYTHING},
        pairwise=Pairwise(
            backends=[SCRIPT, PWNED], matrix=[matrix], own=[own],
            outliers=[Outlier(backend=SCRIPT, kind="gradient", cause=IMAGE, finding=EVERYTHING)],
        ),
        partings=Partings(taps=1, found=[parting], notes=[EVERYTHING]), limits=limits(4e3), left_out=[EVERYTHING],
        recommendation=Recommendation(
            choice=[SCRIPT, PWNED], reasons=[EVERYTHING],
            spans=[Span(first=1, backend="numpy"), Span(first=50, backend=SCRIPT, low=40, high=70)],
            step_spans=[Span(first=1, backend=PWNED)],
        ),
    )  # fmt: skip
    second = problem(MARKDOWN, findings=[finding(SCRIPT)], timings=[timing(SCRIPT, 2.0)], rows=2000, expected=IMAGE)
    return run(
        first, second,
        command=SCRIPT, settings={PWNED: EVERYTHING, "steps": 10}, machine={"cpu": EVERYTHING, IMAGE: PWNED},
        environment={IMAGE: EVERYTHING}, left_out=[EVERYTHING], gradparity_version=PWNED,
        backends=[BackendInfo(name=name, versions={PWNED: IMAGE}, cure=EVERYTHING) for name in names],
    )  # fmt: skip


def crowded() -> RunResult:
    """More of everything than a screen holds: names as long as a line, faults, failures, choices, notes, versions."""
    made, long = hostile(), "a [name] of *many* words_ "
    names = [f"{long * 4}{index}" for index in range(12)]
    problems = [
        problem(
            f"{long * 4}{index}", rows=1000 + index,
            findings=[off(name, f"cause {index} {long * 20}", f"{long * 5}{index}") for name in names],
            timings=[timing(name) for name in names],
            troubles=[Trouble(backend=name, stage="step", reason=f"{index} {long * 20}") for name in names],
            diagnoses=[Diagnosis(name=f"{name} {index}", finding=long * 20, cure=long * 20) for name in names],
            recommendation=CHOICE,
        )
        for index in range(12)
    ]  # fmt: skip
    made.problems = problems
    made.backends = [BackendInfo(name=name, versions={name: "1.2.3"}, cure=long * 20) for name in names]
    return made
