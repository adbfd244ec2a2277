import jax
import jax.numpy as jnp


def predict(A, Q, m, P):
    return A @ m, jnp.einsum("ij,jk,lk->il", A, P, A) + Q


def update(C, R, m, P, y):
    S = C @ P @ C.T + R
    e = y - C @ m
    K = jnp.linalg.solve(S, C @ P).T
    nll = 0.5 * (jnp.linalg.slogdet(S)[1] + e @ jnp.linalg.solve(S, e))
    return m + K @ e, P - K @ C @ P, nll


def loss(params, data):
    A, C = params["A"], params["C"]
    Q, R = jnp.diag(jnp.exp(params["log_q"])), jnp.diag(jnp.exp(params["log_r"]))

    def step(belief, y):
        m, P = predict(A, Q, *belief)
        m, P, nll = update(C, R, m, P, y)
        return (m, P), nll

    _, nll = jax.lax.scan(step, (jnp.zeros(3), jnp.eye(3)), data["y"])
    return jnp.sum(nll)
