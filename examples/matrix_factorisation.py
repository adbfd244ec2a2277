"""Matrix factorisation with biases, on the ratings that were observed.

    loss = mean_n (r_n - mu - a[i_n] - c[j_n] - U[i_n] . V[j_n])^2 + L2/2 (|U|^2 + |V|^2)

Source: Y. Koren, R. Bell, C. Volinsky, "Matrix factorization techniques for recommender systems", Computer 42(8)
(2009), equations 4 and 5.

What goes wrong when it is ported: a user rates many items, so gradients of one row of `U` come from many ratings
and have to be *added*; `gradient[i] += g` with a repeated index in NumPy, and `.at[i].set` in JAX, keep one of
them. Regularising the rows that a rating touches, once a rating, is another loss than regularising the matrix once.
"""

import numpy as np

USERS, ITEMS, RANK, RATINGS = 12, 9, 3, 60
L2 = 0.02


def parameters(rng):
    """Factors `U (12, 3)` and `V (9, 3)`, biases `a (12,)` and `c (9,)`, and the mean `mu ()`."""
    return {
        "U": 0.5 * rng.standard_normal((USERS, RANK)),
        "V": 0.5 * rng.standard_normal((ITEMS, RANK)),
        "a": 0.1 * rng.standard_normal(USERS),
        "c": 0.1 * rng.standard_normal(ITEMS),
        "mu": np.array(3.0),
    }


def data(rng):
    """60 distinct cells of the matrix, `users` and `items` as integers, and their `ratings` from 1 to 5."""
    users, items = np.divmod(rng.choice(USERS * ITEMS, RATINGS, replace=False), ITEMS)
    return {"users": users, "items": items, "ratings": rng.integers(1, 6, RATINGS).astype(float)}


def loss(params, data, xp):
    """Mean squared error of the observed ratings and the penalty on the factors."""
    i, j = data["users"], data["items"]
    predicted = params["mu"] + params["a"][i] + params["c"][j] + xp.sum(params["U"][i] * params["V"][j], axis=1)
    penalty = xp.sum(params["U"] ** 2) + xp.sum(params["V"] ** 2)
    return xp.mean((data["ratings"] - predicted) ** 2) + 0.5 * L2 * penalty
