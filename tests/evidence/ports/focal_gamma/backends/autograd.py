import autograd.numpy as np


def sigmoid(z):
    return 1.0 / (1.0 + np.exp(-z))


def focal(logits, targets, gamma, alpha=0.25):
    p = sigmoid(logits)
    positive = -alpha * targets * (1 - p) ** gamma * np.log(p)
    negative = -(1 - alpha) * (1 - targets) * p**gamma * np.log(1 - p)
    return np.mean(positive + negative)


def loss(params, data):
    logits = np.dot(data["x"], params["w"]) + params["b"]
    return focal(logits, data["y"], gamma=3.0)
