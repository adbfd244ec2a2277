"""From the raw blocks of a problem to its medians, ratios and verdicts on speed. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from gradparity.benchmark.profiles import Profile
from gradparity.benchmark.protocol import Block
from gradparity.benchmark.rounds import pair_values
from gradparity.benchmark.stats import Control, compare, control, median_interval, verdict
from gradparity.results import ProblemResult, Timed
from gradparity.results.blocks import CALLS, rounds_of, timed_of


def summarise(problem: ProblemResult, profile: Profile) -> None:
    """Work out anew, from every round and block that a problem has by now, what is reported of its times."""
    controls = {}
    for call in CALLS:
        aa = timed_of(problem.twin, call)
        controls[call] = control(pair_values(aa.rounds if aa else []))
    problem.control, problem.loop_control = controls["step"], controls["loop"]
    for timing in problem.clocks:
        for call in CALLS:
            timed = timed_of(timing, call)
            if timed is None:
                continue
            others = rounds_of(problem, problem.reference, call) if timing.backend == problem.reference else []
            _summarise(timed, [block for each in others for block in each.reference], profile, controls[call])
        for timed in (timing.primal, timing.collected, timing.communication):
            if timed is not None:
                _summarise(timed, [], profile, None)
        for timed in (timing.step, timing.loop, timing.communication):
            if timing.piped and timed is not None:
                timed.cpu_per_wall = None  # that of two processes, which wait for each other
        limits = problem.limits
        timing.times_floor, timing.loop_times_floor = (
            timed.step_ns.median / limits.floor_ns if limits and timed and timed.step_ns else None
            for timed in (timing.step, timing.loop)
        )


def _summarise(timed: Timed, others: Sequence[Block], profile: Profile, aa: Control | None) -> None:
    """Of one kind of call; ``others`` are its blocks in the rounds of others, of which it is the reference."""
    blocks = [*timed.blocks, *(block for each in timed.rounds for block in each.challenger), *others]
    if blocks:
        timed.step_ns = median_interval([block.call_ns for block in blocks])
        cpus_ns = [block.cpu_ns for block in blocks if block.cpu_ns is not None]
        known = len(cpus_ns) == len(blocks)
        timed.cpu_per_wall = sum(cpus_ns) / sum(block.wall_ns for block in blocks) if known else None
    if timed.rounds:
        timed.ratio = compare(pair_values(timed.rounds), profile, aa)
        timed.speed = verdict(timed.ratio, aa.floor) if aa is not None else None
