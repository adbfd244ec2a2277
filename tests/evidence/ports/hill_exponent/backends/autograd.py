import autograd.numpy as np


def hill(dose, ec50, n=2.5):
    scaled = (dose / ec50) ** n
    return scaled / (1.0 + scaled)


def loss(params, data):
    effect = hill(data["dose"][:, None], np.exp(params["log_ec50"]))
    predicted = params["e0"] + params["emax"] * effect
    return np.mean((predicted - data["response"]) ** 2)
