import torch
import torch.nn.functional as F

H = 5


def gru_cell(p, x, h):
    xr, xz, xn = (x @ p["w"] + p["b"]).split(H, dim=-1)
    hr, hz = (h @ p["u"][:, : 2 * H]).split(H, dim=-1)
    r = torch.sigmoid(xr + hr)
    z = torch.sigmoid(xz + hz)
    n = torch.tanh(xn + (r * h) @ p["u"][:, 2 * H :] + p["bn"])
    return (1 - z) * n + z * h


def loss(params, data):
    h = torch.zeros(data["x"].shape[0], H, dtype=data["x"].dtype)
    for x in data["x"].unbind(1):
        h = gru_cell(params["gru"], x, h)
    return F.binary_cross_entropy_with_logits(h @ params["head"], data["y"])
