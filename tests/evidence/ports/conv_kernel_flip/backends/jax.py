import jax.numpy as jnp
from jax import lax


def loss(params, data):
    h = lax.conv_general_dilated(
        data["x"],
        params["kernel"],
        window_strides=(1,),
        padding="VALID",
        dimension_numbers=("NCH", "OIH", "NCH"),
    )
    h = jnp.tanh(h + params["bias"][:, None])
    return jnp.mean((jnp.einsum("ncl,cl->n", h, params["out"]) - data["y"]) ** 2)
