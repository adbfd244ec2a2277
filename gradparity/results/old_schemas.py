"""Results of earlier schemas as those of today, one version after the other. Pure: plain values in and out.

What an old file does not have is left empty, and ``left_out`` says that it is. What is not of its schema is passed on
as it is, for the types of today to refuse.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec

Document: TypeAlias = dict[str, Any]

#: What a file of schema 1 with timings lacks.
TIMINGS_LACK = (
    "of a file of schema 1: times to build, loops, the loss alone, rounds and the twin's blocks, proof of one thread, "
    "peak memory apart from checking, and a choice by number of steps; imports were timed beside one another"
)


def upgraded(document: Document, version: int) -> Document:
    """The document of that schema version as one of `gradparity.results.SCHEMA_VERSION`.

    Raises:
        KeyError: there is no such old version.
        msgspec.ValidationError: a part that has another place now is not of its schema.
    """
    steps = [UPGRADES[number] for number in range(version, max(UPGRADES) + 1)]
    for step in steps:
        document = step(document)
    return document


def _from_1(run: Document) -> Document:
    """Schema 2 times starts, steps and loops apart, in process pairs; schema 1 had one timing a backend."""
    settings = run.get("settings")
    threads = settings.get("threads", 1) if isinstance(settings, dict) else 1
    problems = run.get("problems", [])
    if not isinstance(problems, list):
        return {**run, "schema_version": 2}
    timed = any(isinstance(problem, dict) and problem.get("timings") for problem in problems)
    return {
        **run,
        "schema_version": 2,
        "problems": [_problem_from_1(problem, threads) for problem in problems],
        "left_out": [TIMINGS_LACK] if timed else [],
    }


def _problem_from_1(problem: Any, threads: Any) -> Any:
    if not isinstance(problem, dict):
        return problem
    found = {**problem, "threads": threads}
    if isinstance(timings := problem.get("timings"), list):
        found["timings"] = [_timing_from_1(timing) for timing in timings]
    recommendation = found.pop("recommendation", None)
    if recommendation is not None and isinstance(diagnoses := problem.get("diagnoses", []), list):
        found["diagnoses"] = [*diagnoses, _in_words(recommendation)]
    return found


def _timing_from_1(timing: Any) -> Any:
    """One call of the step, in one process. ``first_call_s`` did not contain the build; the peak was of the checks."""
    if not isinstance(timing, dict):
        return timing
    start = {
        "pair": 0,
        "import_s": timing.get("import_s"),
        "build_s": None,
        "first_call_s": timing.get("first_call_s"),
        "compile_cache": timing.get("compile_cache"),
        "resident_bytes": timing.get("import_resident_bytes"),
    }
    kept = ("blocks", "step_ns", "cpu_per_wall", "ratio", "speed")
    step = {name: timing[name] for name in kept if name in timing}
    return {
        "backend": timing.get("backend"),
        "starts": [start],
        "step": {"inner": [timing.get("inner")], "warm_ups": [timing.get("warm_up")], **step},
        "import_resident_bytes": timing.get("import_resident_bytes"),
    }


class _Choice(msgspec.Struct):
    """A recommendation of schema 1."""

    choice: list[str]
    reasons: list[str]


def _in_words(recommendation: Any) -> Document:
    """What was chosen by another measure than today's: by the step alone."""
    found = msgspec.convert(recommendation, _Choice)
    return {
        "name": "choice of schema 1",
        "finding": f"by the gradient step alone it was {' or '.join(found.choice)}: {'; '.join(found.reasons)}",
        "cure": "Run it again for a choice by number of steps",
    }


#: From each old version to the next.
UPGRADES: dict[int, Callable[[Document], Document]] = {1: _from_1}
