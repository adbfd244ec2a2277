"""TensorFlow's graphs on the CPU, run by its own executor or compiled by XLA: tapes, and accumulators around them."""

import os
from importlib.metadata import version

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow as tf
import tensorflow.experimental.numpy as tnp


class Program:
    """A loss and its derivatives. Parameters, data and tangents are dictionaries of tensors."""

    def __init__(self, loss, xla):
        self.loss = loss
        self.value = tf.function(loss, jit_compile=xla)
        self.value_and_gradient = tf.function(self.reverse, jit_compile=xla)
        self.jvp = tf.function(self.forward, jit_compile=xla)
        self.hvp = tf.function(self.forward_over_reverse, jit_compile=xla)
        self.descend = tf.function(self.steps, jit_compile=xla)

    def reverse(self, params, data):
        """The loss and its gradient, by a tape."""
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(params)
            value = self.loss(params, data)
        return value, tape.gradient(value, params, unconnected_gradients="zero")

    def forward(self, params, data, tangents):
        """Along one direction, by an accumulator."""
        with tf.autodiff.ForwardAccumulator(list(params.values()), list(tangents.values())) as forward:
            value = self.loss(params, data)
        return forward.jvp(value, unconnected_gradients="zero")

    def forward_over_reverse(self, params, data, tangents):
        """A tape within an accumulator."""
        with tf.autodiff.ForwardAccumulator(list(params.values()), list(tangents.values())) as forward:
            gradient = self.reverse(params, data)[1]
        return forward.jvp(gradient, unconnected_gradients="zero")

    def steps(self, params, data, steps, learning_rate):
        """Gradient descent in one graph, with the loss before each step."""
        dtype = next(iter(params.values())).dtype
        losses = tf.TensorArray(dtype, size=steps, element_shape=())
        for step in tf.range(steps):
            value, gradient = self.reverse(params, data)
            losses = losses.write(step, tf.cast(value, dtype))
            params = {name: p - learning_rate * gradient[name] for name, p in params.items()}
        return losses.stack(), params


class Backend:
    """What an entry point names an instance of."""

    def __init__(self, xla):
        self.xla = xla

    def configure(self, threads):
        """Threads of the executor; and tensors that index, broadcast and multiply as NumPy's arrays do."""
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
        tnp.experimental_enable_numpy_behavior()

    def versions(self):
        """What computes."""
        return {"tensorflow": tf.__version__, "gradparity-tensorflow": version("gradparity-tensorflow")}

    def put(self, tree):
        """Copies of the host's arrays."""
        return {name: tf.constant(value) for name, value in tree.items()}

    def get(self, tree):
        """The host's arrays again."""
        return {name: value.numpy() for name, value in tree.items()}

    def wait(self, result):
        """On the CPU a call returns when its results are there."""
        return result

    def seed(self, number):
        """Its generators, which a loss may draw from."""
        tf.random.set_seed(number)

    def namespace(self):
        """What a loss that is written once is given as `xp`."""
        return tnp

    def program(self, loss):
        """What differentiates a loss, built in or not."""
        return Program(loss, self.xla)


backend, xla = Backend(xla=False), Backend(xla=True)
