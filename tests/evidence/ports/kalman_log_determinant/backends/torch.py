import torch


def predict(A, Q, m, P):
    return A @ m, A @ P @ A.T + Q


def loss(params, data):
    A, h = params["A"], params["h"]
    Q, r = torch.diag(params["log_q"].exp()), params["log_r"].exp()[0]
    m, P = torch.zeros(2, dtype=A.dtype), torch.eye(2, dtype=A.dtype)
    total = 0.0
    for y in data["y"]:
        m, P = predict(A, Q, m, P)
        s = h @ P @ h + r
        e = y - h @ m
        total = total + 0.5 * (torch.log(s) + e * e / s)
        gain = P @ h / s
        m, P = m + gain * e, P - torch.outer(gain, h @ P)
    return total / len(data["y"])
