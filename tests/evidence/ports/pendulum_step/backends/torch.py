import torch

DT, G = 0.1, 9.81


def simulate(start, length, steps):
    theta, omega = start
    for _ in range(steps):
        yield theta
        omega = omega - DT * G / length * torch.sin(theta)
        theta = theta + DT * omega


def loss(params, data):
    length = params["log_length"].exp()[0]
    angles = torch.stack(list(simulate(params["start"], length, len(data["angles"]))))
    return torch.nn.functional.mse_loss(angles, data["angles"])
