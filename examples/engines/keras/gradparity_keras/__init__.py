"""What Keras is the same in over all its engines: arrays, dtypes and `keras.ops`.

It reads its engine at its import, so that each engine has a file beside this, and imports Keras there.
"""


class Backend:
    """Keras over an engine: `Program` of a loss has the engine's own derivatives, and `configure` sets its switches."""

    def __init__(self, keras, engine, Program, configure):
        self.keras, self.engine, self.program, self.configure = keras, engine, Program, configure

    def versions(self):
        """What computes."""
        return {"keras": self.keras.version(), self.engine.__name__: str(self.engine.__version__)}

    def put(self, tree):
        """Copies of the host's arrays; what Keras makes without a dtype has theirs from here on."""
        for value in tree.values():
            if value.dtype.kind == "f":
                self.keras.config.set_floatx(value.dtype.name)
        made = self.keras.ops.convert_to_tensor
        return {name: made(value.copy(), value.dtype.name) for name, value in tree.items()}

    def get(self, tree):
        """The host's arrays again."""
        return {name: self.keras.ops.convert_to_numpy(value) for name, value in tree.items()}

    def wait(self, result):
        """On the CPU a call returns when its results are there, but for JAX's."""
        return result

    def seed(self, number):
        """The engine's generators; those of `keras.random.SeedGenerator` keep their state as they are."""
        self.keras.utils.set_random_seed(number)

    def namespace(self):
        """What a loss that is written once is given as `xp`."""
        return self.keras.ops
