"""What a backend gives where the model has its gradient by hand: the loss as it has it, and that gradient as it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from gradparity.backends.protocol import Array, Backend, Data, Params, Program
    from gradparity.worker.user_loss import OwnGradientLoss


class GradientByHand:
    """A program with the gradient that the user derived on the backend's own arrays: first order, and no more."""

    jvp = None
    hvp = None

    def __init__(self, backend: Backend, program: Program, loss: OwnGradientLoss) -> None:
        self.backend, self.value, self.gradient = backend, program.value, loss.gradient

    def value_and_gradient(self, params: Params, data: Data) -> tuple[Array, Params]:
        """The loss as the backend compiles it, and the gradient as it is written."""
        return self.value(params, data), self.gradient(params, data)

    def descend(self, params: Params, data: Data, steps: int, learning_rate: float) -> tuple[Array, Params]:
        """Gradient descent as a Python loop: the losses, each before its update, and the final parameters."""
        losses = []
        for _ in range(steps):
            value, gradient = self.value_and_gradient(params, data)
            losses.append(value)
            params = {name: p - learning_rate * gradient[name] for name, p in params.items()}
        host = self.backend.get({str(k): value for k, value in enumerate(losses)})
        return self.backend.put({"": np.array(list(host.values()))})[""], params


def program_of(backend: Any, loss: Any, eager: Sequence[str] = ()) -> Any:
    """The program of a loss on a backend: its own, with the named functions not compiled; or a gradient by hand."""
    program = backend.uncompiled(loss, eager) if eager else backend.program(loss)
    return GradientByHand(backend, program, loss) if hasattr(loss, "lacking") else program
