import jax
import jax.numpy as jnp


def dense(p, x):
    return x @ p["weight"].T + p["bias"]


@jax.jit
def forward(params, x):
    for block in params["blocks"]:
        x = jax.nn.elu(dense(block["fc"], x))
    return dense(params["head"], x)


def loss(params, data):
    return jnp.mean(jnp.square(forward(params, data["x"]) - data["y"]))
