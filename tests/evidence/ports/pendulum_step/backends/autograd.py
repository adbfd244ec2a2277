import autograd.numpy as np

DT, G = 0.1, 9.81


def step(theta, omega, length):
    new_omega = omega - DT * G / length * np.sin(theta)
    return theta + DT * omega, new_omega


def loss(params, data):
    theta, omega = params["start"][0], params["start"][1]
    length = np.exp(params["log_length"][0])
    total = 0.0
    for observed in data["angles"]:
        total = total + (theta - observed) ** 2
        theta, omega = step(theta, omega, length)
    return total / len(data["angles"])
