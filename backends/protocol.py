"""What a backend is, in one screen. The protocol is structural: nothing here needs to be imported.

A backend differentiates losses of the form ``loss(params, data) -> scalar`` with named parameters and
named data, both dictionaries of its own arrays. ``loss(spec)`` gives the built-in model in the
framework's own idiom, ``namespace()`` what losses are written in that are written once; ``program(loss)``
gives what the harness calls. A loss of the user's own may carry
``gradient(params, data)``, derived by hand: a backend that differentiates nothing takes it, and of
another it replaces ``value_and_gradient`` and ``descend`` of its program.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from gradparity.model_spec.spec import Logistic

Array: TypeAlias = Any  #: an array of the framework
Params: TypeAlias = dict[str, Array]
Data: TypeAlias = dict[str, Array]
Loss: TypeAlias = Callable[[Params, Data], Array]
HostArray: TypeAlias = npt.NDArray[np.generic]


class NothingToRun(Exception):
    """A backend has nothing to differentiate in this model, and has not failed."""


class Program(Protocol):
    """A differentiated loss. Parameters and data are arguments, never closed over: a compiler would fold them.

    ``jvp`` and ``hvp`` may be ``None``, or raise, where there is no such derivative: of a gradient written by hand, or
    of an operation that has no forward mode. Then loss and gradient are compared, and the report says what was not.

    One with several ways to the HVP may have ``hvps`` more, from the name of each to a function like ``hvp``, the one
    that the framework's users get first. The first two that do not raise are both judged.

    One that reads data faster in another memory layout, or with an array more that no step changes, may have a method
    ``arrange(data) -> data`` more, which is called once, before any clock starts.

    One whose calls have more in them than the backend's own work has ``communicate(params, data)``, which makes that
    part alone and gives a value and arrays like a gradient, and ``require_timed()``, which raises where it cannot.

    One of a sharded backend has ``own(data)``, a `gradparity.backends.shards.Shard` with its rank's rows of data on the
    host; ``combination``, whether the loss is a sum or a mean over rows; and ``communicate(params, data)``, which gives
    what ``value_and_gradient`` does and makes its exchange between ranks alone, to be timed. What its functions return
    is that of all rows, alike on every rank in every bit.
    """

    def value(self, params: Params, data: Data) -> Array:
        """The loss alone (the primal), a scalar, compiled where the gradient is."""

    def value_and_gradient(self, params: Params, data: Data) -> tuple[Array, Params]:
        """The loss, a scalar, and its gradient, shaped like ``params``."""

    def jvp(self, params: Params, data: Data, tangents: Params) -> Array:
        """The directional derivative ``<gradient, tangents>``, a scalar, by forward mode where there is one."""

    def hvp(self, params: Params, data: Data, tangents: Params) -> Params:
        """The Hessian-vector product ``H tangents``, shaped like ``params``."""

    def descend(self, params: Params, data: Data, steps: int, learning_rate: float) -> tuple[Array, Params]:
        """``steps`` of gradient descent: the ``steps`` losses, each before its update, and the final parameters.

        The loop in the framework's best idiom: compiled whole where that is possible.
        """


class Backend(Protocol):
    """One framework, or one way of using it.

    One that takes losses written once for all backends has a method ``namespace() -> Any`` more: its array namespace,
    which they get as ``xp``. With one it may leave out ``loss(spec)``: the built-in models are then written once, too.
    They need ``sum``, ``exp``, ``log``, ``logaddexp`` and ``zeros_like`` of it, operators and ``@``.

    One that has not both precisions says which in ``precisions``, such as ``("float64",)``: it takes no part in others.

    One that has losses of users' models in another place than these has ``user_loss(spec) -> Loss`` more, from a
    `gradparity.model_spec.user_spec.UserSpec`.

    One that compiles may have a method ``compilations() -> int`` more: how often it has in this process. No number
    is taken of a block during which that rises.

    One whose compiler may take long may have ``uncompiled(loss, names) -> Program`` more: the same program with the
    named functions (``value_and_gradient``, ``jvp``, ``hvp``, ``descend``) evaluated operation by operation, and
    ``operations(loss, params, data) -> int``: how many there are in a value and gradient.

    It may have ``interpreted(loss)`` more, with ``value`` and ``value_and_gradient`` from host arrays to host arrays
    that compile nothing: for a loss that is called once or twice. Its ``twice(params, data)`` calls the loss two times
    and gives both values, with what the second call raised; or None, where that is better done by the framework.

    One that is sharded (its registration says so) is started as several processes with the variables that ``torchrun``
    sets, and joins its group in ``configure``. It has ``agreed(number) -> int`` more, the whole number of rank 0 on
    every rank, and ``alone(loss) -> Program``, that of one process. Every rank is asked the same in the same order.

    One whose work another process does, for which this one waits, has ``process_id`` more, once it is configured: CPU
    time of that process and of those that it has started counts as its own.

    One that has half precision has ``converted(tree, old, new)`` more: the arrays, those of dtype ``old`` as ``new``,
    where one of the two is ``bfloat16`` or ``float16`` and the other ``float32``.

    One whose framework has random generators of its own, which a loss may draw from, may have ``seed(number)`` more,
    which seeds them: a loss that draws is then told from one that keeps something from call to call.

    One whose derivatives of single functions ``gradparity atlas`` is to show has ``elementwise(f)`` more, of a function
    ``f(x, y)`` that acts on each element: ``value``, ``reverse``, ``forward`` and ``second`` by name, each a function
    of ``(x, y)``, arrays of shape (n,), that differentiates in ``x``; ``together`` gives them all in a dictionary.
    ``own_names()`` has functions of the framework's own that its namespace replaces.

    A backend may also have ``view(tree)``, which is ``put`` without the copy where the framework has a way: data read
    from a file in chunks go through it if it is there, and are not written over before the result was waited for.
    """

    def configure(self, threads: int) -> None:
        """Set the process-wide switches (precision, threads): once, in a worker, before anything else."""

    def versions(self) -> dict[str, str]:
        """Version of each package that computes, by distribution name."""

    def put(self, tree: Mapping[str, HostArray]) -> dict[str, Array]:
        """Copies of host arrays as arrays of the framework, dtype kept."""

    def get(self, tree: Mapping[str, Array]) -> dict[str, HostArray]:
        """Arrays of the framework as host arrays, dtype kept; one that no package has for NumPy as float32.

        Its name is then in the dtype's metadata: ``np.dtype("float32", metadata={"narrow": "bfloat16"})``.
        """

    def wait(self, result: Any) -> Any:
        """The same result, once it has been computed: what asynchronous dispatch needs inside a timed call."""

    def loss(self, spec: Logistic) -> Loss:
        """The built-in model in the framework's own idiom, where its namespace alone would not do it justice."""

    def program(self, loss: Loss) -> Program:
        """What differentiates ``loss``; compiled where the framework compiles.

        Raises:
            NothingToRun: the backend differentiates no loss like this one.
        """


class Sink(Protocol):
    """What takes the tapped values of one evaluation, and their cotangents."""

    def value(self, name: str, value: HostArray) -> int:
        """A value that passed a tap of that name; returns which occurrence of the name it is, from 0."""

    def cotangent(self, name: str, occurrence: int, cotangent: HostArray, batch: tuple[int, ...] | None = None) -> None:
        """The cotangent that arrived at an occurrence, as ``dL/d(re) - i dL/d(im)`` where it is complex.

        ``batch``: the leading axes that are those of a ``vmap``, with size 1 where the value has none of its own.
        """


class Taps(Protocol):
    """How a framework's values are tapped. A backend that has it returns it from a method ``taps()``."""

    def context(self, sink: Sink) -> AbstractContextManager[Any]:
        """What has to be in force while the loss is evaluated for a recording."""

    def probe(self, sink: Sink, name: str, value: Any) -> Any:
        """The same value (an array, or a Python number), which reports itself and its cotangent."""

    def pull_back(self, loss: Loss, params: Params, data: Data) -> tuple[Array, Callable[[], None] | None]:
        """The loss, evaluated; and what runs its backward pass, ``None`` where there is none."""
