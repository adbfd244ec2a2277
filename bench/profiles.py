"""How much to measure, and what it will cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

#: Another process's turn leaves cold caches: calls are discarded for this long after it, and at least so many.
REWARM_NS = 5_000_000
#: A call longer than this reads its data anew anyway: what another process left in the caches is no part of it that
#: could be seen.
REWARM_UP_TO_S = 0.05
#: The least length of a block with more than one thread.
THREADS_BLOCK_NS = 200_000_000
#: Steps that a loop may have: beyond the last its start is a thousandth of it.
LOOP_STEPS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)

_NS_PER_S = 1_000_000_000
#: A count found by doubling makes blocks of one to two times the length asked for.
_BLOCK_OVERSHOOT = 1.5
#: Blocks in a round (A B B A), and changes of worker in it, each followed by a re-warm.
_BLOCKS_PER_ROUND = 4
_SWITCHES_PER_ROUND = 3


@dataclass(frozen=True, kw_only=True)
class Profile:
    """How much to measure.

    ``pairs_min`` to ``pairs_max`` pairs of processes, until the 95% interval of the log ratio is ``half_width`` to
    either side (0.05 is about 5%). ``rounds_max`` rounds per comparison and pair; of calls so long that this takes
    over ``comparison_s``, fewer, but never under ``rounds_min``. ``long_loops``: time the loop also where a single step
    fills a block, so that it cannot be told from the step. ``short_windows``: hold long calls against one another alone
    when warming up. ``threads_s``: for how long CPU time is held against wall-clock time.
    """

    name: str
    pairs_min: int
    pairs_max: int
    half_width: float
    rounds_min: int
    rounds_max: int
    comparison_s: float
    block_ns: int
    warm_calls: int
    warm_min_s: float
    warm_cap_s: float
    warm_window: int
    rewarm_calls: int
    long_loops: bool
    short_windows: bool
    threads_s: float

    def rounds(self, call_s: float) -> int:
        """Rounds to measure of a comparison whose two calls take ``call_s`` on average, in seconds."""
        fitting = self.comparison_s / self.round_s(call_s)
        return max(self.rounds_min, int(min(fitting, self.rounds_max)))

    def for_threads(self, threads: int) -> Profile:
        """The same with blocks long enough for pools of threads to wake and to sleep in, where there are some."""
        return self if threads == 1 else replace(self, block_ns=max(self.block_ns, THREADS_BLOCK_NS))

    def rewarm(self, call_s: float) -> int:
        """Calls to discard after another process had its turn; none of calls that are long themselves."""
        return 0 if call_s > REWARM_UP_TO_S else self.rewarm_calls

    def loop_steps(self, step_s: float) -> int:
        """Gradient steps for one call of a loop: as many as last a block, rounded down to one of `LOOP_STEPS`."""
        wanted = round(self.block_ns / _NS_PER_S / step_s, 6)  # 0.02 / 20e-6 is 999.9999999999999
        return max(steps for steps in LOOP_STEPS if steps <= max(wanted, 1))

    def round_s(self, call_s: float) -> float:
        """Seconds that a round of four blocks takes, with the re-warming around it."""
        block_s = max(_BLOCK_OVERSHOOT * self.block_ns / _NS_PER_S, call_s)
        rewarm_s = max(REWARM_NS / _NS_PER_S, self.rewarm(call_s) * call_s) if self.rewarm(call_s) else 0.0
        return _BLOCKS_PER_ROUND * block_s + _SWITCHES_PER_ROUND * rewarm_s


_STANDARD = Profile(
    name="standard",
    pairs_min=5,
    pairs_max=15,
    half_width=0.05,
    rounds_min=8,
    rounds_max=8,
    comparison_s=60.0,
    block_ns=50_000_000,
    warm_calls=3,
    warm_min_s=0.2,
    warm_cap_s=5.0,
    warm_window=5,
    rewarm_calls=3,
    long_loops=True,
    short_windows=False,
    threads_s=0.5,
)

#: One pair of processes, because their starts are most of the cost: five backends and a twin at three sizes are 18
#: starts of two seconds. Blocks of 20 ms: 50,000 clock readings long, and several of the system's 4 ms ticks, so that
#: they are noisier than 50 ms but not biased; what the noise costs shows in the interval.
_QUICK = replace(
    _STANDARD,
    name="quick",
    pairs_min=1,
    pairs_max=1,
    rounds_min=4,
    comparison_s=4.0,
    block_ns=20_000_000,
    warm_cap_s=2.5,
    warm_window=3,
    rewarm_calls=1,
    long_loops=False,
    short_windows=True,
    threads_s=0.2,
)

#: A first look: as few rounds as give an interval at all, which is wide.
_BRIEF = replace(_QUICK, name="brief", rounds_min=4, rounds_max=4, block_ns=10_000_000, warm_cap_s=1.0, threads_s=0.1)

#: Half the width: a difference of 10% stands clear of the 5% floor on a machine half as quiet.
_FULL = replace(_STANDARD, name="full", pairs_min=8, pairs_max=30, half_width=0.025)

PROFILES: Mapping[str, Profile] = MappingProxyType({p.name: p for p in (_BRIEF, _QUICK, _STANDARD, _FULL)})
