import autograd.numpy as np
from autograd.numpy.linalg import slogdet, solve


def loss(params, data):
    A, C = params["A"], params["C"]
    Q, R = np.diag(np.exp(params["log_q"])), np.diag(np.exp(params["log_r"]))
    m, P, nll = np.zeros(3), np.eye(3), 0.0
    for y in data["y"]:
        m = np.dot(A, m)
        P = np.dot(A.T, np.dot(P, A)) + Q
        S = np.dot(C, np.dot(P, C.T)) + R
        e = y - np.dot(C, m)
        K = solve(S, np.dot(C, P)).T
        nll = nll + 0.5 * (slogdet(S)[1] + np.dot(e, solve(S, e)))
        m, P = m + np.dot(K, e), P - np.dot(K, np.dot(C, P))
    return nll
