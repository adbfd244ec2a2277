import torch


def rms_norm(x, gain, eps=1e-3):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * gain


def loss(params, data):
    x = data["x"]
    for block in params["blocks"]:
        x = x + torch.tanh(rms_norm(x, block["g"]) @ block["w"])
    return torch.mean((x @ params["out"] - data["y"]) ** 2)
