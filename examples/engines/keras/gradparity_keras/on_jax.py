"""Keras over JAX: `jax.grad` and `jax.jvp` of what `keras.ops` computes, compiled by `jax.jit`."""

import os

os.environ["KERAS_BACKEND"] = "jax"

import jax
import keras

from gradparity_keras import Backend


class Program:
    """A loss and its derivatives. Parameters, data and tangents are dictionaries of JAX's arrays."""

    def __init__(self, loss):
        self.loss = loss
        self.value = jax.jit(loss)
        self.value_and_gradient = jax.jit(jax.value_and_grad(loss))
        self.jvp = jax.jit(self.forward)
        self.hvp = jax.jit(self.forward_over_reverse)
        self.descend = jax.jit(self.steps, static_argnums=2)

    def forward(self, params, data, tangents):
        """Along one direction, by forward mode."""
        return jax.jvp(lambda params: self.loss(params, data), (params,), (tangents,))[1]

    def forward_over_reverse(self, params, data, tangents):
        """Forward mode of the gradient."""
        return jax.jvp(lambda params: jax.grad(self.loss)(params, data), (params,), (tangents,))[1]

    def steps(self, params, data, steps, learning_rate):
        """Gradient descent in one scan, with the loss before each step."""

        def step(params, _):
            value, gradient = jax.value_and_grad(self.loss)(params, data)
            return {name: p - learning_rate * gradient[name] for name, p in params.items()}, value

        params, losses = jax.lax.scan(step, params, length=steps)
        return losses, params


class JaxBackend(Backend):
    """Whose calls return before their results are there."""

    def wait(self, result):
        """Once they are."""
        return jax.block_until_ready(result)


def configure(threads):  # noqa: ARG001  # XLA has them from the launcher
    """float64 as such."""
    jax.config.update("jax_enable_x64", True)


backend = JaxBackend(keras, jax, Program, configure)
