"""One trial: the port with its source edited, held against what is wanted of it. Whatever the edit breaks is a no."""

from __future__ import annotations

import contextlib
import io
import math
import signal
import sys
import threading
import time
import types
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from gradparity.backends.protocol import Backend, Data, Loss
from gradparity.model_spec.problem import UserProblem
from gradparity.model_spec.user.edited import edited
from gradparity.model_spec.user.model import find_model
from gradparity.worker.cure_messages import Wanted
from gradparity.worker.trace_messages import Traced
from gradparity.worker.tracing import trace
from gradparity.worker.user_loss import user_loss
from gradparity.worker.wire import Arrays

#: Loss and gradient at one point.
Answer: TypeAlias = tuple[float, Arrays]

#: Tolerance where nobody gave one: relative to the block, and to the largest, of which what cancels is the rounding.
RELATIVE = {"float64": (1e-9, 1e-12), "float32": (1e-4, 1e-5)}
#: A trial may take so many times as long as the port as it is, and so many seconds more: then it loops.
SLOWER, MORE_S = 20, 2.0


class Endless(BaseException):
    """A trial takes too long. No Exception, which the user's code might handle."""


class Trials:
    """The port under edits of its source. ``seconds`` by the clock are for all of them."""

    def __init__(
        self, backend: Backend, names: Sequence[str], problem: UserProblem, wanted: Sequence[Wanted], seconds: float
    ) -> None:
        self._backend, self._names, self._problem, self.wanted = backend, names, problem, wanted
        self.root = find_model(problem.spec.path)[0].parent
        self._ends_s, self._limit_s = time.monotonic() + seconds, seconds
        self._interpreted: Callable[[Loss], Any] | None = getattr(backend, "interpreted", None)
        self.tried = 0
        #: Whether the loss takes no parameters that are not differentiated, as with `torch.autograd.grad` in it.
        self.differentiated = False

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Those of the parameters, by flat name."""
        return {name: np.shape(value) for name, value in self._problem.params.items()}

    def over(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() >= self._ends_s

    def loss(self, texts: Mapping[Path, str]) -> float | None:
        """The loss at the first point with files of other texts; ``None`` where anything is the matter with it."""
        found: list[float] | None = self._trial(texts, lambda loss: list(islice(self._losses(loss), 1)))
        return found[0] if found is not None and math.isfinite(found[0]) else None

    def gradients(self, texts: Mapping[Path, str], points: int | None = None) -> list[Answer] | None:
        """Loss and gradient at the first points, or all."""
        found: list[Answer] | None = self._trial(texts, lambda loss: self._answers(self._brief(loss), points))
        return found

    def proves(self, texts: Mapping[Path, str]) -> bool:
        """Whether loss and every block agree at every point: the losses first, which cost less."""

        def evaluate(loss: Loss) -> bool:
            losses = self._losses(loss)
            if not all(self.loss_agrees(each, got) for each, got in zip(self.wanted, losses, strict=True)):
                return False
            return self.agree(self._answers(self._brief(loss), None))

        return bool(self._trial(texts, evaluate))

    def confirms(self, texts: Mapping[Path, str]) -> bool:
        """The same by the program of the framework itself, where what proved it was not that."""
        if self._interpreted is None:
            return True
        answers: list[Answer] | None = self._trial(
            texts, lambda loss: self._answers(self._backend.program(loss), None, placed=True)
        )
        return self.agree(answers)

    def traced(self, texts: Mapping[Path, str]) -> Traced | None:
        """The record of the port, at the first point."""
        params, data = self._inputs(self.wanted[0])
        found: Traced | None = self._trial(
            texts, lambda loss: trace(self._backend, loss, params, data, self.root, draws=0)
        )
        return found

    def agree(self, answers: list[Answer] | None) -> bool:
        """Whether loss and every block are within the tolerances at every point."""
        return answers is not None and all(
            self.loss_agrees(each, loss) and self.gradient_agrees(each, gradient)
            for each, (loss, gradient) in zip(self.wanted, answers, strict=True)
        )

    def _losses(self, loss: Loss) -> Iterator[float]:
        """At one point after the other."""
        if self.differentiated:
            return (value for value, _ in self._answers(self._brief(loss), None))
        value = loss if self._interpreted is None else self._interpreted(loss).value
        inputs = self._placed if self._interpreted is None else self._inputs
        return (self._number(value(*inputs(each))) for each in self.wanted)

    def _answers(self, program: Any, points: int | None, *, placed: bool = False) -> list[Answer]:
        on_host, found = self._interpreted is not None and not placed, list[Answer]()
        for each in self.wanted[:points]:
            value, gradient = program.value_and_gradient(*(self._inputs if on_host else self._placed)(each))
            blocks = gradient if on_host else self._backend.get(gradient)
            found.append((self._number(value), {name: np.array(block) for name, block in blocks.items()}))
        return found

    def loss_agrees(self, wanted: Wanted, loss: float) -> bool:
        """Whether a loss is within the tolerance."""
        return abs(loss - wanted.loss) <= self.tolerance(wanted)

    def gradient_agrees(self, wanted: Wanted, gradient: Arrays) -> bool:
        """Whether every wanted block is there and every entry of it within its tolerance."""
        largest = max((float(np.abs(block).max(initial=0)) for block in wanted.gradient.values()), default=0.0)
        for name, block in wanted.gradient.items():
            got = gradient.get(name)
            if got is None or got.shape != block.shape:
                return False
            relative, of_largest = RELATIVE[self._problem.spec.dtype]
            own = max(relative * float(np.abs(block).max(initial=0)), of_largest * largest)
            tolerance = wanted.tolerances.get(name, own)
            if not bool(np.all(np.abs(got - block) <= tolerance)):  # nan is not within any
                return False
        return bool(wanted.gradient)

    def tolerance(self, wanted: Wanted) -> float:
        """That of the loss."""
        given = wanted.loss_tolerance
        return RELATIVE[self._problem.spec.dtype][0] * max(abs(wanted.loss), 1e-300) if given is None else given

    def _trial(self, texts: Mapping[Path, str], evaluate: Callable[[Loss], Any]) -> Any:
        given: dict[str, Any] = {
            name: sys.modules[name] for name in ("jax", "torch", "gradparity") if name in sys.modules
        }
        began_s = time.monotonic()
        try:
            with _quiet(), edited(texts, self.root, given), _alarm(self._limit_s):
                found = evaluate(user_loss(self._problem.spec, self._backend, self._names))
        except (Exception, SystemExit, Endless):
            found = None
        if self.tried == 0:
            self._limit_s = SLOWER * (time.monotonic() - began_s) + MORE_S
        self.tried += 1
        return found

    def _inputs(self, wanted: Wanted) -> tuple[Arrays, Arrays]:
        params = self._problem.params if wanted.params is None else wanted.params
        data = self._problem.data if wanted.data is None else wanted.data
        return dict(params), dict(data)

    def _placed(self, wanted: Wanted) -> tuple[Any, Data]:
        """Inputs as arrays of the framework, new ones: a trial may write into them."""
        params, data = self._inputs(wanted)
        return self._backend.put(params), self._backend.put(data)

    def _brief(self, loss: Loss) -> Any:
        """What differentiates a loss that is called once or twice: nothing is compiled for it."""
        for way in ("interpreted", "eager"):
            own = getattr(self._backend, way, None)
            if own is not None:
                return own(loss)
        return self._backend.program(loss)

    def _number(self, value: Any) -> float:
        array = value if isinstance(value, np.ndarray) else np.asarray(self._backend.get({"": value})[""])
        if array.shape or array.dtype.kind not in "fiu":
            raise TypeError("a loss that is no real number")
        return float(array)


@contextmanager
def _quiet() -> Iterator[None]:
    """Nothing is printed and nothing warned about."""
    sink = io.StringIO()
    with warnings.catch_warnings(), np.errstate(all="ignore"), contextlib.redirect_stdout(sink):
        warnings.simplefilter("ignore")
        with contextlib.redirect_stderr(sink):
            yield


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """Raise `Endless` in the user's Python after some seconds, where the system has an alarm for it."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(_number: int, _frame: types.FrameType | None) -> None:
        raise Endless

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
