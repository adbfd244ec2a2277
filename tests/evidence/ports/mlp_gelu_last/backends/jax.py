import jax
import jax.numpy as jnp


def affine(layer, x):
    return jnp.dot(x, layer["w"]) + layer["b"]


def loss(params, data):
    h1 = jax.nn.gelu(affine(params["fc1"], data["x"]), approximate=False)
    h2 = jax.nn.gelu(affine(params["fc2"], h1), approximate=False)
    h3 = jax.nn.gelu(affine(params["fc3"], h2))
    logits = affine(params["out"], h3)[:, 0]
    return jnp.mean(jax.nn.softplus(logits) - data["y"] * logits)
