"""The port: a `keras.Sequential`, called with the parameters in the places of its own variables."""

import keras

from model_spec import WIDTHS


def network(dtype):
    """Its layers compute in one dtype, which they are told when they are made."""
    layers = [
        keras.layers.Dense(WIDTHS[1], activation="tanh", name="hidden", dtype=dtype),
        keras.layers.Dense(WIDTHS[2], name="output", dtype=dtype),
    ]
    return keras.Sequential([keras.Input((WIDTHS[0],), dtype=dtype), *layers])


# Made here, once: within a loss that JAX traces, their first values would be tracers.
networks = {dtype: network(dtype) for dtype in ("float32", "float64")}


def loss(params, data):
    """Mean squared error over rows and outputs."""
    net = networks[keras.backend.standardize_dtype(data["X"].dtype)]
    places = [variable.path.split("/")[-2:] for variable in net.trainable_variables]
    values = [params[layer][name] for layer, name in places]
    prediction, _ = net.stateless_call(values, net.non_trainable_variables, data["X"])
    return keras.ops.mean((prediction - data["Y"]) ** 2)
