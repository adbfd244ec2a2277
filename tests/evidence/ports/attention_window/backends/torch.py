import torch
import torch.nn.functional as F

WINDOW = 2


def loss(params, data):
    x = data["x"]
    q, k, v = x @ params["wq"], x @ params["wk"], x @ params["wv"]
    scores = torch.einsum("bid,bjd->bij", q, k) / 2
    i = torch.arange(x.shape[1])
    visible = (i[:, None] - i).abs() <= WINDOW
    scores = scores.masked_fill(~visible, float("-inf"))
    return F.mse_loss(scores.softmax(-1) @ v, data["y"])
