"""Timings for other tools: the file that ``pytest-benchmark compare`` reads.

One benchmark per backend, problem and kind of call (``step[jax-1000x20x10]``), in seconds per gradient step, from every
raw block. The statistics are computed by pytest-benchmark itself, which is not needed for anything else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median_low
from typing import Any

import msgspec

from gradparity.benchmark.profiles import PROFILES
from gradparity.model_spec.errors import InputError
from gradparity.results import GOOD, Finding, ProblemResult, RunResult, Timing, Training
from gradparity.results.blocks import CALLS, Call, blocks_of, rounds_of, timed_of
from gradparity.results.store import RESULTS_FILE, partial_of, replace_file

FORMATS = ("pytest-benchmark",)
#: What stands for a module's path in the full names.
_MODULE = "gradparity bench"
#: What an export is known by.
_PROJECT = "gradparity"
#: What the problem is known by beside its name; the same for all, so that any can be grouped by.
_PARAMETERS = ("features", "projection", "formulation", "numerics", "reduction", "dtype")


def write_export(result: RunResult, path: Path) -> None:
    """Write the file whole or not at all.

    Raises:
        InputError: it cannot be written any more.
    """
    content = msgspec.json.format(msgspec.json.encode(benchmarks(result, datetime.now(UTC))), indent=1)
    replace_file(path, content, "--export", "")


def export_to(kind: str, file: str, out: str) -> Path:
    """Where ``--export`` goes, with proof that it can be written; what is there stays as it is until the end.

    Args:
        kind: one of `FORMATS`.
        file: where to write.
        out: the run's folder, whose own file is not for this.

    Raises:
        InputError: there is no such format, its tool is not installed, or no such file can be written.
    """
    if kind not in FORMATS:
        raise InputError("--export", got=repr(kind), expected=f"{' or '.join(FORMATS)}, then a file")
    try:
        version(kind)
    except PackageNotFoundError:
        missing, cure = f"{kind}, which is not installed", f"Add it with: pip install {kind}"
        raise InputError("--export", got=missing, expected="a tool that is", cure=cure) from None
    try:
        path = Path(file).resolve()  # so that a link stays one
        if path == (Path(out) / RESULTS_FILE).resolve():
            raise InputError("--export", got=f"{file}, the run's own results", expected="another file")
        if path.exists() and not path.is_file():
            raise InputError("--export", got=f"{file}, which is no file", expected="a file that can be written")
        if path.exists() and not _exported(path):
            cure = "Name another, or move that file away."
            raise InputError("--export", got=f"{file}, which no export has written", expected="a new file", cure=cure)
        partial = partial_of(path)
        partial.touch()
        partial.unlink()
    except OSError as error:
        raise InputError("--export", got=f"{file} ({error.strerror})", expected="a file that can be written") from None
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError("--export", got=repr(file), expected="the name of a file") from None
    return path


def _exported(path: Path) -> bool:
    """Whether a file is an export of ours, which may be replaced, and not of a user's own benchmarks; or is empty."""
    content = path.read_bytes()
    try:
        return not content or msgspec.json.decode(content, type=dict[str, Any])["commit_info"]["project"] == _PROJECT
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, LookupError, TypeError):
        return False


def benchmarks(result: RunResult, now: datetime) -> dict[str, Any]:
    """The run as pytest-benchmark would have saved it at that time. No host name is in it."""
    system, _, rest = str(result.machine.get("system", "")).partition(" ")
    release, _, machine = rest.rpartition(" ")
    return {
        "machine_info": {
            "python_version": result.machine.get("python"),
            "system": system,
            "release": release,
            "machine": machine,
            "cpu": {"brand_raw": result.machine.get("cpu"), "count": result.machine.get("cores")},
        },
        # What was timed is installed packages, whose versions are in extra_info, and no checkout.
        "commit_info": {
            "id": "unversioned", "time": None, "author_time": None, "dirty": False, "project": _PROJECT,
            "branch": "(unknown)",
        },
        "benchmarks": list(_benchmarks(result)),
        "datetime": now.isoformat(),
        "version": version("pytest-benchmark"),
    }  # fmt: skip


def _benchmarks(result: RunResult) -> Iterator[dict[str, Any]]:
    labels: dict[str, int] = {}
    for problem in result.problems:
        seen = labels[problem.label] = labels.get(problem.label, 0) + 1
        label = problem.label if seen == 1 else f"{problem.label} ({seen})"  # two files of one name
        for call in CALLS:
            for timing in problem.timings:
                found = _benchmark(result, problem, timing, call, label)
                if found is not None:
                    yield found


def _benchmark(
    result: RunResult, problem: ProblemResult, timing: Timing, call: Call, label: str
) -> dict[str, Any] | None:
    """One backend's steps or loops; ``None`` where no block of them was timed."""
    blocks = blocks_of(problem, timing.backend, call)
    if not blocks:
        return None
    param = f"{timing.backend}-{label.replace(', ', '-').replace(' ', '-')}"
    name = f"{call}[{param}]"
    shape = {"rows": problem.rows, **{name: problem.spec.get(name) for name in _PARAMETERS}, "threads": problem.threads}
    return {
        "group": label,
        "name": name,
        "fullname": f"{_MODULE}::{name}",
        "params": {"backend": timing.backend, **shape},
        "param": param,
        "extra_info": _extra(result, problem, timing, call),
        "options": _options(str(result.settings.get("profile"))),
        "stats": {
            **_statistics([block.call_ns / 1e9 for block in blocks]),
            "iterations": median_low([block.inner for block in blocks]),
        },
    }


def _extra(result: RunResult, problem: ProblemResult, timing: Timing, call: Call) -> dict[str, Any]:
    """What pytest-benchmark has no field for: whether the gradient is right, the ratio and its interval, the start."""
    timed = timed_of(timing, call)
    found: list[Finding | Training] = [*problem.findings, *problem.training]
    bad = dict.fromkeys(f.verdict for f in found if f.backend == timing.backend and f.verdict not in GOOD)
    ratio = timed.ratio if timed else None
    rounds = rounds_of(problem, timing.backend, call)
    return {
        "gradparity": result.gradparity_version,
        "versions": next((info.versions for info in result.backends if info.name == timing.backend), {}),
        "profile": result.settings.get("profile"),
        "verdict": ", ".join(bad) or "agrees",
        "reference": problem.reference,
        "speed": timed.speed if timed else None,
        "ratio": ratio and ratio.ratio,
        "ratio_low": ratio and ratio.low,
        "ratio_high": ratio and ratio.high,
        "rounds": len(rounds),
        "rounds_disturbed": sum(each.disturbed for each in rounds),
        "steps_per_call": timed.steps if timed else None,
        "processes": len(timed.inner) if timed else None,
        "import_s": timing.import_s,
        "build_s": timing.build_s,
        "first_call_s": timing.first_call_s,
        "warm_first_call_s": timing.warm_first_call_s,
        "compile_cache": timing.compile_cache,
    }


def _options(name: str) -> dict[str, Any]:
    """How it was timed, in pytest-benchmark's words as far as it has them."""
    shared = {"disable_gc": True, "timer": "perf_counter_ns", "warmup": True}
    profile = PROFILES.get(name)
    if profile is None:
        return shared
    # Two blocks of each backend in a round.
    return {
        **shared,
        "min_rounds": 2 * profile.rounds_min * profile.pairs_min,
        "max_time": profile.comparison_s,
        "min_time": profile.block_ns / 1e9,
    }


def _statistics(seconds: Sequence[float]) -> dict[str, Any]:
    """Pytest-benchmark's figures of a benchmark: ``seconds`` has the time per step of each block, at least one."""
    from pytest_benchmark.stats import Stats

    found = Stats()
    for value in seconds:
        found.update(value)
    return {**found.as_dict(), "data": found.data}
