import jax
import jax.numpy as jnp


def loss(params, data):
    A, h = params["A"], params["h"]
    Q, r = jnp.diag(jnp.exp(params["log_q"])), jnp.exp(params["log_r"][0])

    def step(belief, y):
        m, P = belief
        m, P = A @ m, A @ P @ A.T + Q
        s = h @ P @ h + r
        e = y - h @ m
        gain = P @ h / s
        nll = 0.5 * (jnp.log(s) + e**2 / s)
        return (m + gain * e, P - jnp.outer(gain, h @ P)), nll

    _, nll = jax.lax.scan(step, (jnp.zeros(2), jnp.eye(2)), data["y"])
    return nll.mean()
