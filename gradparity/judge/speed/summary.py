"""From what the clock saw to a row of the results: blocks, medians, ratios, verdicts. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from gradparity.benchmark.profiles import Profile
from gradparity.benchmark.protocol import Block, WarmUp
from gradparity.benchmark.rounds import Round, pair_values
from gradparity.benchmark.stats import Control, compare_pairs, median_interval, verdict
from gradparity.results import Timed
from gradparity.worker.wire import Arrays


@dataclass
class Sampled:
    """What the clock saw of one kind of call in one process pair.

    Per worker its warm-up, calls per block, steps per call, rounds against the reference, the blocks outside any round
    and the last timed output. ``planned`` is how many rounds there were to be; ``cut`` that the time budget ended them.
    """

    rounds: dict[str, list[Round]] = field(default_factory=dict)
    blocks: dict[str, list[Block]] = field(default_factory=dict)
    warm_ups: dict[str, WarmUp] = field(default_factory=dict)
    inner: dict[str, int] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)
    outputs: dict[str, Arrays] = field(default_factory=dict)
    planned: int = 0
    cut: bool = False
    pair: int = 0

    @property
    def done(self) -> int:
        """Rounds that were measured."""
        return sum(map(len, self.rounds.values()))


def rounds_of(pairs: Sequence[Sampled], name: str) -> list[Round]:
    """All rounds of one challenger, pair after pair."""
    return [each for seen in pairs for each in seen.rounds.get(name, [])]


def in_turns(pairs: Sequence[Sampled], name: str, reference: str, profile: Profile, aa: Control) -> Timed | None:
    """One kind of call of one backend, timed in turns against the reference.

    Args:
        pairs: what the clock saw in each process pair.
        name: the backend.
        reference: the backend that its ratio is to.
        profile: has what makes a round count.
        aa: the reference against its twin: differences that small are not called.

    Returns:
        Median, ratio and verdict; ``None`` where it never warmed up.
    """
    pairs = [seen for seen in pairs if name in seen.inner]
    if not pairs:
        return None
    rounds = rounds_of(pairs, name)
    loose = [block for seen in pairs for block in seen.blocks[name]]
    blocks = [*loose, *(block for each in rounds for block in each.challenger)]
    if name == reference:
        others = (each for seen in pairs for found in seen.rounds.values() for each in found)
        blocks += [block for each in others for block in each.reference]
    timed = _timed(pairs, name, rounds, loose, blocks)
    if not rounds:
        return timed
    timed.ratio = compare_pairs(pair_values(rounds), profile, aa)
    timed.speed = verdict(timed.ratio, aa.floor)
    return timed


def beside_step(seen: Sampled | None, name: str, profile: Profile) -> Timed | None:
    """Another kind of call, timed against the step in the same process.

    Args:
        seen: what the clock saw in that process.
        name: the kind of call.
        profile: has what makes a round count.

    Returns:
        Median and ratio; ``None`` without a round.
    """
    rounds = seen.rounds.get(name, []) if seen else []
    if seen is None or not rounds:
        return None
    timed = _timed([seen], name, rounds, [], [block for each in rounds for block in each.challenger])
    timed.ratio = compare_pairs(pair_values(rounds), profile)
    return timed


def _timed(pairs: Sequence[Sampled], name: str, rounds: list[Round], loose: list[Block], blocks: list[Block]) -> Timed:
    return Timed(
        steps=pairs[0].steps[name],
        pairs=[seen.pair for seen in pairs],
        inner=[seen.inner[name] for seen in pairs],
        warm_ups=[seen.warm_ups[name] for seen in pairs],
        rounds=rounds,
        blocks=loose,
        step_ns=median_interval([block.call_ns for block in blocks]) if blocks else None,
        cpu_per_wall=sum(b.cpu_ns for b in blocks) / sum(b.wall_ns for b in blocks) if blocks else None,
    )
