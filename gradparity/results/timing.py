"""What the clock found: starts, steps and loops with every raw block, and the choice that they support."""

from __future__ import annotations

from statistics import median

import msgspec

from gradparity.benchmark.protocol import Block, WarmUp
from gradparity.benchmark.rounds import Round
from gradparity.benchmark.stats import Comparison, MedianInterval
from gradparity.benchmark.stats import Verdict as SpeedVerdict


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """What it took until one process of a backend could step: seconds, resident bytes after the import.

    ``import_s`` is CPU time where ``beside_others``, and otherwise wall-clock time on a machine left to it.
    ``first_call_s`` includes tracing and compiling; ``compile_cache`` says whether a cache on disk was ``cold`` or
    ``warm``, ``""`` where there is none. ``pair`` counts process pairs from 0, and is ``None`` for a process that was
    not timed but checked, perhaps beside another.
    """

    pair: int | None
    beside_others: bool = False
    import_s: float
    build_s: float
    first_call_s: float
    compile_cache: str
    resident_bytes: int


class OneThread(msgspec.Struct, frozen=True, kw_only=True):
    """CPU over wall-clock seconds of the step over half a second, before it is timed with one thread.

    ``pinned``: the process was tied to one core before the import, because without it more than one had worked.
    """

    cpu_per_wall: float
    pinned: bool
    holds: bool


class Timed(msgspec.Struct, kw_only=True):
    """One kind of call of one backend under the clock, in every process pair.

    A call makes ``steps`` gradient steps and a block has ``inner`` calls; blocks themselves count steps. ``inner`` and
    ``warm_ups`` have an entry for each of the process ``pairs``. ``rounds`` has every raw block that was taken in
    turns, with the reference's; ``blocks`` those outside any round. ``step_ns`` is per gradient step.

    ``ratio`` is the reference's time over this one's: how many times as fast it is. ``speed`` says whether that is a
    difference at all, and is ``None`` for the reference itself.
    """

    steps: int = 1
    pairs: list[int] = []
    inner: list[int] = []
    warm_ups: list[WarmUp] = []
    rounds: list[Round] = []
    blocks: list[Block] = []
    step_ns: MedianInterval | None = None
    cpu_per_wall: float | None = None
    ratio: Comparison | None = None
    speed: SpeedVerdict | None = None


class Timing(msgspec.Struct, kw_only=True):
    """One backend's clock: one-off costs apart from the steps, every raw block kept.

    ``step`` is a value-and-gradient call from Python, ``loop`` gradient descent in the backend's best idiom, ``primal``
    the loss alone, timed against ``step`` in the same process: its ratio is gradient over primal. ``collected`` is the
    step with the garbage collector on, as in a user's program, for a backend that tapes; all else is timed with it off.
    ``communication`` is what the ranks of a sharded backend exchange in a step, by itself, against the step. ``piped``:
    it is a program of any language, and all its calls have the way of their numbers through a pipe in them; then
    ``communication`` is that way alone, and CPU time over wall-clock time and memory, which are its own, are not told.
    ``peak_resident_bytes`` is that of a process which only loaded and stepped, ``import_resident_bytes`` its size after
    the import. ``times_floor`` is ``step`` over what this machine could do it in at best.
    """

    backend: str
    starts: list[Start]
    step: Timed | None = None
    loop: Timed | None = None
    primal: Timed | None = None
    collected: Timed | None = None
    communication: Timed | None = None
    piped: bool = False
    one_thread: OneThread | None = None
    peak_resident_bytes: int | None = None
    import_resident_bytes: int | None = None
    times_floor: float | None = None
    loop_times_floor: float | None = None

    @property
    def import_s(self) -> float:
        """Seconds to import the backend: median over its processes."""
        return median(start.import_s for start in self.starts if start.pair is not None)

    @property
    def build_s(self) -> float:
        """Seconds to build the program and place the data: median over its processes."""
        return median(start.build_s for start in self.starts if start.pair is not None)

    @property
    def first_call_s(self) -> float:
        """Seconds of the first call as on a new machine: with a cold compile cache where there was one."""
        return median(start.first_call_s for start in self._starts_but("warm") or self.starts)

    @property
    def warm_first_call_s(self) -> float | None:
        """Seconds of the first call with a warm compile cache; ``None`` where none was seen."""
        warm = [start.first_call_s for start in self.starts if start.compile_cache == "warm"]
        return median(warm) if warm else None

    @property
    def compile_cache(self) -> str:
        """What `first_call_s` found: ``cold``, ``warm``, or ``""`` where the backend keeps none on disk."""
        return (self._starts_but("warm") or self.starts)[0].compile_cache

    @property
    def start_s(self) -> float:
        """Seconds from an empty process to the first gradient: import, build, first call."""
        return self.import_s + self.build_s + self.first_call_s

    def _starts_but(self, cache: str) -> list[Start]:
        return [start for start in self.starts if start.compile_cache != cache]


class Formulated(msgspec.Struct, frozen=True, kw_only=True):
    """What another formulation of the same model gives, timed in turns in one process of ``backend``.

    ``ratio`` is the time of the problem's own formulation over that of this one.
    """

    formulation: str
    backend: str
    step_ns: MedianInterval
    ratio: Comparison
    speed: SpeedVerdict
    floor_ns: float | None


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """From ``first`` steps on, up to the next span, ``backend`` has the least total time.

    ``low`` and ``high`` are the same with the steps of both at the ends of their intervals; ``None`` where no end is
    reached: the one may never overtake the other.
    """

    first: int
    backend: str
    low: int | None = None
    high: int | None = None


class Recommendation(msgspec.Struct, frozen=True, kw_only=True):
    """Which backend to choose for ``steps`` steps of this problem, and why. ``choice`` has ties, best first.

    ``spans`` is the choice by number of steps, import and first call included, in the backends' own loops;
    ``step_spans`` the same where every step is called from Python.
    """

    choice: list[str]
    reasons: list[str]
    steps: int = 1
    spans: list[Span] = []
    step_spans: list[Span] = []
