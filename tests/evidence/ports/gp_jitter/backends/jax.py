import jax.numpy as jnp
from jax.scipy.linalg import cho_solve


def kernel(a, b, p):
    difference = (a[:, None, :] - b[None, :, :]) / jnp.exp(p["log_scale"])
    return jnp.exp(p["log_variance"] - 0.5 * jnp.sum(difference**2, axis=-1))


def loss(params, data):
    x, y = data["x"], data["y"]
    n = y.size
    K = kernel(x, x, params)
    K = K + jnp.exp(params["log_noise"]) * jnp.eye(n) + 1e-6 * jnp.eye(n)
    L = jnp.linalg.cholesky(K)
    quadratic = y @ cho_solve((L, True), y)
    log_det = 2 * jnp.sum(jnp.log(jnp.diag(L)))
    return 0.5 * (quadratic + log_det + n * jnp.log(2 * jnp.pi)) / n
