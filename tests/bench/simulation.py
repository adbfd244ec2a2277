"""Simulated machines with a known truth: a clock to run the protocol on, and whole runs at the level of blocks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gradparity.benchmark.clock import Counters
from gradparity.benchmark.profiles import Profile
from gradparity.benchmark.protocol import Block
from gradparity.benchmark.rounds import PairValue, Round, pair_value
from gradparity.benchmark.stats import pairs_needed

_BLOCK_NS = 60_000_000
_TICK_NS = 5_000_000  # the system's 10 ms tick, averaged over two CPUs
_INNER = 100


class SimulatedClock:
    """A clock that stands still until somebody spends time. Several workers may share one."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.cpu_total_ns = 0
        self.stolen_total_ns: int | None = 0
        self.program_cpu_total_ns: int | None = 0
        self.waited_total_ns: int | None = None
        self.minor_faults = 0
        self.context_switches = 0

    def wall_ns(self) -> int:
        return self.now_ns

    def cpu_ns(self) -> int:
        return self.cpu_total_ns

    def counters(self) -> Counters:
        return Counters(
            self.minor_faults,
            self.context_switches,
            self.stolen_total_ns,
            self.program_cpu_total_ns,
            self.waited_total_ns,
        )

    def spend(self, wall_ns: int, *, cpu_share: float = 1.0, stolen_ns: int = 0) -> None:
        self.now_ns += wall_ns
        self.cpu_total_ns += round(cpu_share * wall_ns)
        if self.stolen_total_ns is not None:
            self.stolen_total_ns += stolen_ns


class SimulatedCall:
    """A call that costs what ``cost_ns`` says of the number of the call and the time of day, both from 0."""

    def __init__(self, clock: SimulatedClock, cost_ns: Callable[[int, int], float]) -> None:
        self.clock = clock
        self.cost_ns = cost_ns
        self.calls = 0

    def __call__(self) -> int:
        self.clock.spend(round(self.cost_ns(self.calls, self.clock.now_ns)))
        self.calls += 1
        return self.calls


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What a simulated machine does to the times of identical work. Standard deviations are of logarithms.

    ``process_sd``: an offset that a process keeps for life (layout, alignment). ``drift_sd``, ``drift_s``: a
    wandering common speed (Ornstein-Uhlenbeck) of that scatter and memory. ``jitter_sd``: of single blocks. Chances
    are per block: a spike makes a block longer by half on average; an intruder takes up to half of it, seen in
    cpu/wall; the hypervisor steals up to a third, seen in ticks.
    """

    process_sd: float
    drift_sd: float
    drift_s: float
    jitter_sd: float
    spike_chance: float
    intruder_chance: float
    steal_chance: float


#: A/A of 2% between pairs, worst of a dozen 4.3%, and all of A against all of B 15 s later 30% apart: the machine on
#: which the protocol was designed.
QUIET = Machine(
    process_sd=0.011,
    drift_sd=0.25,
    drift_s=15.0,
    jitter_sd=0.015,
    spike_chance=0.02,
    intruder_chance=0.005,
    steal_chance=0.005,
)
#: The same beside other work.
ROUGH = Machine(
    process_sd=0.025,
    drift_sd=0.3,
    drift_s=10.0,
    jitter_sd=0.04,
    spike_chance=0.1,
    intruder_chance=0.01,
    steal_chance=0.01,
)
#: Two busy neighbours on the same cores: A/A of 8% between pairs.
NOISY = Machine(
    process_sd=0.04,
    drift_sd=0.3,
    drift_s=5.0,
    jitter_sd=0.1,
    spike_chance=0.3,
    intruder_chance=0.02,
    steal_chance=0.02,
)


@dataclass(frozen=True)
class Runs:
    """Many simulated runs; arrays are (run, pair, round, position in the round)."""

    wall_ns: npt.NDArray[np.int64]
    cpu_ns: npt.NDArray[np.int64]
    stolen_ns: npt.NDArray[np.int64]

    def measure(self, run: int, profile: Profile) -> list[PairValue]:
        """The pairs that a run of the profile takes, one after the other, as the parent process takes them."""
        pairs: list[PairValue] = []
        while len(pairs) < pairs_needed(pairs, profile):
            pairs.append(pair_value(self.rounds(run, len(pairs))))
        return pairs

    def rounds(self, run: int, pair: int) -> list[Round]:
        """The rounds of one pair of processes."""
        walls, cpus, stolen = (array[run, pair].tolist() for array in (self.wall_ns, self.cpu_ns, self.stolen_ns))
        rounds = []
        for index, (wall, cpu, steal) in enumerate(zip(walls, cpus, stolen, strict=True)):
            b = [Block(w, c, _INNER, 0, 0, s) for w, c, s in zip(wall, cpu, steal, strict=True)]
            outer, middle = (b[0], b[3]), (b[1], b[2])
            a_first = not (index + pair) % 2
            rounds.append(Round(pair, index, outer if a_first else middle, middle if a_first else outer))
        return rounds


def simulate(machine: Machine, true_ratio: float, profile: Profile, *, runs: int, seed: int) -> Runs:
    """Block times of ``runs`` whole runs, of as many pairs as the profile can ask for.

    ``true_ratio`` is time of the reference over time of the challenger.
    """
    rng = np.random.default_rng(seed)
    pairs, rounds = profile.pairs_max, profile.rounds_max
    shape = (runs, pairs, rounds, 4)
    # A B B A where pair + round is even, B A A B where it is odd: True where the challenger is timed.
    odd = (np.add.outer(np.arange(pairs), np.arange(rounds)) % 2).astype(bool)
    challenger = np.array([False, True, True, False]) ^ odd[..., None]
    offsets = rng.normal(0, machine.process_sd, (2, runs, pairs, 1, 1))
    log_time = np.where(challenger, offsets[1] - np.log(true_ratio), offsets[0])
    log_time = log_time + _drift(machine, rng, (runs, pairs, rounds * 4)).reshape(shape)
    log_time += rng.normal(0, machine.jitter_sd, shape)
    log_time += np.log1p(_at_times(rng, machine.spike_chance, rng.exponential(0.5, shape)))
    cpu_ns = _BLOCK_NS * np.exp(log_time)
    away_ns = cpu_ns * _at_times(rng, machine.intruder_chance, rng.uniform(0, 1, shape))
    stolen_ns = cpu_ns * _at_times(rng, machine.steal_chance, rng.uniform(0, 0.5, shape))
    # What the system reports is whole ticks, of a counter that was anywhere within one when the block began.
    ticks = np.floor(stolen_ns / _TICK_NS + rng.uniform(0, 1, shape))
    return Runs(
        wall_ns=np.rint(cpu_ns + away_ns + stolen_ns).astype(np.int64),
        cpu_ns=np.rint(cpu_ns).astype(np.int64),
        stolen_ns=(ticks * _TICK_NS).astype(np.int64),
    )


def _drift(machine: Machine, rng: np.random.Generator, shape: tuple[int, int, int]) -> npt.NDArray[np.float64]:
    """An Ornstein-Uhlenbeck path over the blocks of each pair, started anew in each: starts take seconds."""
    keep = np.exp(-_BLOCK_NS / 1e9 / machine.drift_s)
    steps = machine.drift_sd * rng.normal(size=shape)
    steps[..., 1:] *= np.sqrt(1 - keep**2)
    for position in range(1, shape[-1]):
        steps[..., position] += keep * steps[..., position - 1]
    return steps


def _at_times(rng: np.random.Generator, chance: float, amount: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The amount in a few places, 0 in the others."""
    return np.where(rng.uniform(size=amount.shape) < chance, amount, 0.0)
