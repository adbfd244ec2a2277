import torch

INNER_LR = 0.1


def task_loss(w, x, y):
    return torch.nn.functional.mse_loss(torch.tanh(x @ w), y)


def adapt(w, x, y, steps=2):
    for _ in range(steps):
        gradient = torch.func.grad(task_loss)(w, x, y).detach()
        w = w - INNER_LR * gradient
    return w


def loss(params, data):
    support, query = data["support"], data["query"]
    losses = [
        task_loss(adapt(params["w"], support["x"][i], support["y"][i]), query["x"][i], query["y"][i]) for i in range(3)
    ]
    return torch.stack(losses).mean()
