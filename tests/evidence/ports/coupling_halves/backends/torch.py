import torch


def conditioner(p, a):
    log_scale, shift = (torch.tanh(a @ p["w1"]) @ p["w2"] + p["b2"]).chunk(2, dim=-1)
    return torch.tanh(log_scale), shift


def loss(params, data):
    z, log_det = data["x"], 0.0
    for i, p in enumerate(params["couplings"]):
        kept, moved = z.chunk(2, dim=-1) if i % 2 == 0 else z.chunk(2, dim=-1)[::-1]
        log_scale, shift = conditioner(p, kept)
        moved = moved * log_scale.exp() + shift
        z = torch.cat((kept, moved) if i % 2 == 0 else (moved, kept), dim=-1)
        log_det = log_det + log_scale.sum(-1)
    return (0.5 * z.pow(2).sum(-1) - log_det).mean()
