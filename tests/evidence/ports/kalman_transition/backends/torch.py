import torch


def loss(params, data):
    A, C = params["A"], params["C"]
    Q, R = torch.diag(params["log_q"].exp()), torch.diag(params["log_r"].exp())
    m, P = A.new_zeros(3), torch.eye(3, dtype=A.dtype)
    nll = A.new_zeros(())
    for y in data["y"]:
        m, P = A @ m, A @ P @ A.T + Q
        S = C @ P @ C.T + R
        e = y - C @ m
        K = torch.linalg.solve(S, C @ P).T
        nll = nll + 0.5 * (torch.logdet(S) + e @ torch.linalg.solve(S, e))
        m, P = m + K @ e, P - K @ C @ P
    return nll
