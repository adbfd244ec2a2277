import torch

HILL = 2.0


def response(dose, p):
    ec50 = p["log_ec50"].exp()
    effect = dose[:, None] ** HILL / (ec50**HILL + dose[:, None] ** HILL)
    return p["e0"] + p["emax"] * effect


def loss(params, data):
    return torch.mean((response(data["dose"], params) - data["response"]) ** 2)
