"""GradBench's ``lstm``, which is ADBench's: layers of long short-term memory with weights of one entry a unit.

    gates = (x, h, x, h) * weight + bias;   f, i, o = sigmoid of the first three,   g = tanh of the last
    c = c f + i g,   h = o tanh c,   which is the next layer's x
    loss = -mean_tj s_(t+1)j (y_tj - log(2 + sum_j exp y_tj))
    y = h w_1 + w_2 of the last layer,   x = s_t w_0 of the first

`main_params` has weight and bias of each layer in turn, `extra_params` w_0, w_1 and w_2, and `state` h and c of each.
GradBench draws all three as here; its sequence s are the bits of letters of a text, 1,024 or more; here they are drawn.
"""

import numpy as np

from gradparity.backends.gradbench.wire import Wire, require_shape, size
from gradparity.model_spec.errors import InputError

LAYERS, LETTERS, BITS = (2, 3), (6, 5), (5, 4)


def parameters(rng):
    """`main_params (4, 20)` and `extra_params (3, 5)`; of an odd seed (6, 16) and (3, 4)."""
    layers, bits = size(rng, *LAYERS), size(rng, *BITS)
    return {"main_params": rng.random((2 * layers, 4 * bits)), "extra_params": rng.random((3, bits))}


def data(rng):
    """`state (4, 5)`, and `sequence (6, 5)` of zeros and ones; of an odd seed (6, 4) and (5, 4)."""
    bits = size(rng, *BITS)
    return {
        "state": rng.random((2 * size(rng, *LAYERS), bits)),
        "sequence": rng.integers(0, 2, (size(rng, *LETTERS), bits)).astype("float64"),
    }


def loss(params, data, xp):
    """Mean of the negative logarithms of what the next letter is predicted by."""
    main, extra, letters = params["main_params"], params["extra_params"], data["sequence"]
    layers, bits = main.shape[0] // 2, letters.shape[1]
    hidden, cell = ([data["state"][2 * layer + which] for layer in range(layers)] for which in (0, 1))
    total = 0.0
    for t in range(letters.shape[0] - 1):
        x = letters[t] * extra[0]
        for layer in range(layers):
            h = hidden[layer]
            gates = xp.concatenate([x, h, x, h]) * main[2 * layer] + main[2 * layer + 1]
            f, i, o = (xp.sigmoid(gates[part * bits : (part + 1) * bits]) for part in range(3))
            cell[layer] = cell[layer] * f + i * xp.tanh(gates[3 * bits :])
            x = hidden[layer] = o * xp.tanh(cell[layer])
        y = x * extra[1] + extra[2]
        total = total + xp.sum(letters[t + 1] * (y - xp.log(2.0 + xp.sum(xp.exp(y)))))
    return -total / ((letters.shape[0] - 1) * bits)


class _Wire(Wire):
    primal, derivative, loops = "objective", "jacobian", True
    params, data = {"main_params": 2, "extra_params": 2}, {"state": 2, "sequence": 2}

    def read(self, given):
        params, data = super().read(given)
        letters, bits = data["sequence"].shape
        layers = len(params["main_params"]) // 2
        if letters < 2 or not bits or not layers:
            raise InputError("input sequence", got=f"{letters} letters", expected="two letters or more, of a layer")
        require_shape("main_params", params["main_params"], (2 * layers, 4 * bits))
        require_shape("extra_params", params["extra_params"], (3, bits))
        require_shape("state", data["state"], (2 * layers, bits))
        return params, data

    def answer(self, gradient, curvature):
        return np.concatenate([gradient[name].ravel() for name in self.params])

    def shapes(self, params):
        return (sum(params[name].size for name in self.params),)

    def understood(self, primal, answer, params, data):
        main, extra = np.split(answer, [params["main_params"].size])
        shaped = {"main_params": main, "extra_params": extra}
        return primal, {name: value.reshape(params[name].shape) for name, value in shaped.items()}


WIRE = _Wire()
