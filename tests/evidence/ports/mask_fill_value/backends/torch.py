import torch

MASKED = -10.0


def attend(q, k, v, keep):
    scores = torch.matmul(q, k.transpose(1, 2)) / q.size(-1) ** 0.5
    scores = scores.masked_fill(~keep[:, None, :], MASKED)
    return torch.matmul(torch.softmax(scores, dim=-1), v)


def loss(params, data):
    x = data["x"]
    k, v = (x @ params["kv"]).chunk(2, dim=-1)
    out = attend(x @ params["q"], k, v, data["keep"])
    return ((out - data["y"]) ** 2).mean()
