"""What a user's model imports: ``tap``, a name for an intermediate value, and ``stop``, an end of its gradient.

Standard library only: a framework is used where its own array arrives, which has imported it.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias, TypeVar

Value = TypeVar("Value")

#: What stands in for a tapped value, under a name, while a recording runs.
Probe: TypeAlias = Callable[[str, Any], Any]

#: What the frameworks call it, by where their arrays' types are from.
_STOPS: dict[str, tuple[str, str]] = {
    "jax": ("jax.lax", "stop_gradient"),
    "jaxlib": ("jax.lax", "stop_gradient"),
    "autograd": ("autograd.tracer", "getval"),
    "tensorflow": ("tensorflow", "stop_gradient"),
    "mlx": ("mlx.core", "stop_gradient"),
}
#: What has no gradient to stop.
_PLAIN = frozenset({"builtins", "numpy"})

# One for the process, and not one per thread: XLA calls back from threads of its own, and a loss may use several.
_probe: Probe | None = None
_one_at_a_time = threading.Lock()


def tap(name: str, value: Value) -> Value:
    """The value unchanged: outside a check the very same object, at the price of one global read.

    In a check, the value and the cotangent that arrives at it are recorded under ``name``, so that the report can name
    the first intermediate where two backends diverge. Use what it returns: the cotangent is the one of that.

    Args:
        name: what the report calls it; a name may be tapped many times, as in a loop.
        value: an array or number, or dicts, lists and tuples of them.
    """
    probe = _probe
    return value if probe is None else probe(name, value)


@contextmanager
def probing(probe: Probe) -> Iterator[None]:
    """Every tap of the process goes through ``probe``, until the block ends, by an exception too.

    Raises:
        RuntimeError: another block is running, in this thread or another.
    """
    global _probe
    if not _one_at_a_time.acquire(blocking=False):
        raise RuntimeError("taps are being recorded already: one recording at a time in a process")
    try:
        _probe = probe
        yield
    finally:
        _probe = None
        _one_at_a_time.release()


def stop(value: Value) -> Value:
    """The same value as a constant: no gradient passes, of any order, forward or backward.

    In a neutral loss and in a port of any framework, compiled or not, it is that framework's own ``stop_gradient`` or
    ``detach``; of numbers and NumPy's arrays it is the value itself. It declares that a gradient ends there on purpose,
    as at targets, teachers and running statistics: the truth has the same convention, and so does the check of a port
    against its own loss.

    Args:
        value: an array or number, or dicts, lists and tuples of them.

    Raises:
        TypeError: an array of a framework whose own stop is not known.
    """
    hold = _hold
    constant: Value = stopped(value) if hold is None else hold(value)
    return constant


# What stands in for `stop` while a loss is evaluated with its stopped values held.
_hold: Callable[[Any], Any] | None = None


@contextmanager
def holding(hold: Callable[[Any], Any]) -> Iterator[None]:
    """Every `stop` of the process goes through ``hold``, until the block ends."""
    global _hold
    _hold = hold
    try:
        yield
    finally:
        _hold = None


def stopped(value: Any) -> Any:
    """What `stop` returns outside of any check."""
    if isinstance(value, dict):
        return {key: stopped(each) for key, each in value.items()}
    if isinstance(value, list):
        return [stopped(each) for each in value]
    if isinstance(value, tuple):
        each_stopped = [stopped(each) for each in value]
        return type(value)(*each_stopped) if hasattr(value, "_fields") else tuple(each_stopped)
    detach = getattr(value, "detach", None)  # PyTorch's, and that of others like it
    if detach is not None:
        return detach()
    own = getattr(type(value), "__gradparity_stop__", None)
    if own is not None:
        return own(value)
    for origin in (each.__module__.partition(".")[0] for each in type(value).__mro__[:-1]):
        if origin in _STOPS:
            module, name = _STOPS[origin]
            return getattr(sys.modules[module], name)(value)
        if origin in _PLAIN:
            return value
    raise TypeError(f"gradparity.stop: {type(value).__name__} is no array whose gradient it knows how to stop")
