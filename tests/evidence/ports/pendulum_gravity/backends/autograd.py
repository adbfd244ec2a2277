import autograd.numpy as np

G = 9.8
DT = 0.1


def acceleration(theta, omega, length, friction):
    return -G / length * np.sin(theta) - friction * omega


def loss(params, data):
    theta, omega, total = params["angle"], np.zeros(1), 0.0
    for observed in data["angles"]:
        total = total + np.sum((theta - observed) ** 2)
        omega = omega + DT * acceleration(theta, omega, params["length"], params["friction"])
        theta = theta + DT * omega
    return total / len(data["angles"])
