"""How far a campaign is: a small table on a terminal, a line elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.table import Table

from gradparity.progress import Tally


class Count:
    """Jobs done, those that disagree and fail, what is left, and at which rate; nothing before the first of them."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._first: tuple[float, int] | None = None
        self._now = Tally()

    def take(self, tally: Tally) -> None:
        """Take how far it is; the rate counts from the last before the first job."""
        self._now = tally
        if self._first is None or not tally.workers:
            self._first = self._clock(), tally.done

    @property
    def known(self) -> bool:
        """Whether there is anything to say."""
        return self._first is not None

    @property
    def _each_s(self) -> float | None:
        """Seconds to the next job, on the average of this session."""
        if self._first is None or self._now.done <= self._first[1]:
            return None
        return (self._clock() - self._first[0]) / (self._now.done - self._first[1])

    def _fields(self) -> dict[str, str]:
        now, each_s = self._now, self._each_s
        left = now.of - now.done
        return {
            "done": f"{now.done:,} of {now.of:,}",
            "disagree": f"{now.disagree:,}",
            "failed": f"{now.failed:,}",
            "left": f"{left:,}",
            "at once": f"{now.workers:,}",
            "a minute": "?" if each_s is None else f"{60 / each_s:.3g}",
            "time left": "?" if each_s is None else f"about {_in_words(left * each_s)}",
        }

    def line(self) -> str:
        """``120 of 1,500 done: 3 disagree, 1 failed, 1,380 left; 4 at once, 12.5 a minute, about 110 min left``."""
        said = self._fields()
        known = self._each_s is not None and self._now.done < self._now.of
        rate = f", {said['a minute']} a minute, {said['time left']} left" if known else ""
        counts = f"{said['done']} done: {said['disagree']} disagree, {said['failed']} failed, {said['left']} left"
        return f"{counts}; {said['at once']} at once{rate}"

    def table(self) -> Table:
        """The same as a table of one row."""
        said = self._fields()
        table = Table(*said, box=None, header_style="dim", pad_edge=False)
        table.add_row(*said.values())
        return table


def _in_words(seconds: float) -> str:
    """Of a time that is only about right: ``40 s``, ``12 min``, ``3.5 h``."""
    if seconds < 100:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 100 * 60 else f"{seconds / 3600:.1f} h"
