import jax
import jax.numpy as jnp


def cosine(a, b):
    dots = jnp.sum(a * b, axis=-1)
    return jnp.mean(dots / (jnp.linalg.norm(a, axis=-1) * jnp.linalg.norm(b, axis=-1)))


def loss(params, data):
    z1, z2 = (jax.nn.silu(data[view] @ params["encoder"]) for view in ("view1", "view2"))
    p1, p2 = (z @ params["predictor"]["w"] + params["predictor"]["b"] for z in (z1, z2))
    one = cosine(p1, z2)
    two = cosine(p2, jax.lax.stop_gradient(z1))
    return -0.5 * (one + two)
