"""Keras over TensorFlow: tapes and accumulators around what `keras.ops` computes, in graphs of `tf.function`."""

import os

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import tensorflow as tf
import tensorflow.experimental.numpy as tnp

from gradparity_keras import Backend


class Program:
    """A loss and its derivatives. Parameters, data and tangents are dictionaries of tensors."""

    def __init__(self, loss):
        self.loss = loss
        self.value = tf.function(loss)
        self.value_and_gradient = tf.function(self.reverse)
        self.jvp = tf.function(self.forward)
        self.hvp = tf.function(self.forward_over_reverse)
        self.descend = tf.function(self.steps)

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


def configure(threads):
    """Threads of the executor; and tensors that index, broadcast and multiply as NumPy's arrays do."""
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    tnp.experimental_enable_numpy_behavior()


backend = Backend(keras, tf, Program, configure)
