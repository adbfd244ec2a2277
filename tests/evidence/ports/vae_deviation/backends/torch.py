import torch
import torch.nn.functional as F
from torch.distributions import Normal, kl_divergence


def loss(params, data):
    mean, log_var = (data["x"] @ params["enc"]["w"] + params["enc"]["b"]).chunk(2, dim=-1)
    deviation = log_var.exp().sqrt()
    z = mean + deviation * data["noise"]
    logits = z @ params["dec"]["w"] + params["dec"]["b"]
    bce = F.binary_cross_entropy_with_logits(logits, data["x"], reduction="none").sum(-1)
    posterior = Normal(mean, deviation, validate_args=False)
    prior = Normal(torch.zeros_like(mean), torch.ones_like(mean), validate_args=False)
    return (bce + kl_divergence(posterior, prior).sum(-1)).mean()
