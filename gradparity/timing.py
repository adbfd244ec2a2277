"""Drive the workers through the measuring protocol: one active at a time, in ABBA turns against a reference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from bench.profiles import Profile
from bench.protocol import Block, WarmUp
from bench.schedule import Schedule, Turn, twin
from bench.stats import Round
from gradparity import messages as m
from gradparity.launch import WorkerFailed, WorkerProcess


@dataclass
class Sampled:
    """What the clock saw: per worker its warm-up, calls per block, every block and the last timed output."""

    rounds: dict[str, list[Round]] = field(default_factory=dict)
    blocks: dict[str, list[Block]] = field(default_factory=dict)
    warm_ups: dict[str, WarmUp] = field(default_factory=dict)
    inner: dict[str, int] = field(default_factory=dict)
    outputs: dict[str, m.Tensors] = field(default_factory=dict)


def measure(
    workers: dict[str, WorkerProcess],
    reference: str,
    profile: Profile,
    *,
    pair: int,
    seed: int,
    lost: Callable[[str, WorkerFailed], None],
    begin: Callable[[str, str], None],
) -> Sampled:
    """Rounds of every worker against the reference, within one set of processes.

    Args:
        workers: by name; the reference's twin, if there is one, gives the A/A control.
        reference: the name that the others are compared with.
        profile: how much to measure.
        pair: which set of processes this is, from 0.
        seed: fixes the order of the turns.
        lost: told of each worker that fails; the others go on.
        begin: told of each stage as it starts, and of which worker.
    """
    seen = Sampled()
    for name, worker in workers.items():
        begin("warm-up", name)
        try:
            warm = worker.ask(m.WarmUp(profile.name), m.Warm)
        except WorkerFailed as failure:
            lost(name, failure)
            continue
        seen.warm_ups[name], seen.inner[name] = warm.warm_up, warm.inner
        seen.blocks[name] = []

    challengers = [name for name in seen.inner if name != reference]
    of_reference = reference if reference in seen.inner else None
    rounds = {
        name: profile.rounds((seen.warm_ups[name].call_s + seen.warm_ups[of_reference or name].call_s) / 2)
        for name in challengers
    }
    schedule = Schedule(reference, rounds, pair=pair, seed=seed)
    if of_reference is None:
        schedule.drop(reference)
    active = ""
    for turn in schedule:
        begin("timing", turn.challenger)
        blocks: list[tuple[str, Block]] = []
        for name in turn.order:
            rewarm_calls = profile.rewarm_calls if name != active else 0
            try:
                sample = workers[name].ask(m.Sample(seen.inner[name], rewarm_calls), m.Sampled)
            except WorkerFailed as failure:
                lost(name, failure)
                schedule.drop(name)
                break
            active = name
            blocks.append((name, sample.block))
            seen.outputs[name] = sample.output
        for name, block in blocks:
            seen.blocks[name].append(block)
        if len(blocks) == len(turn.order) and turn.reference is not None:
            seen.rounds.setdefault(turn.challenger, []).append(_round(turn, blocks))
    if not challengers and of_reference is not None:  # nothing to compare with: its own times all the same
        _alone(workers[reference], reference, profile, seen, lost)
    return seen


def _round(turn: Turn, blocks: list[tuple[str, Block]]) -> Round:
    ours = [block for name, block in blocks if name == turn.reference]
    theirs = [block for name, block in blocks if name == turn.challenger]
    return Round(turn.pair, turn.round, (ours[0], ours[1]), (theirs[0], theirs[1]))


def _alone(
    worker: WorkerProcess, name: str, profile: Profile, seen: Sampled, lost: Callable[[str, WorkerFailed], None]
) -> None:
    for _ in range(profile.rounds_min):
        try:
            sample = worker.ask(m.Sample(seen.inner[name], 0), m.Sampled)
        except WorkerFailed as failure:
            lost(name, failure)
            return
        seen.blocks[name].append(sample.block)
        seen.outputs[name] = sample.output


def control_name(reference: str) -> str:
    """Name of the second worker of the reference backend."""
    return twin(reference)
