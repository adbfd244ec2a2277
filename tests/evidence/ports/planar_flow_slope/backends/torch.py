import torch
from torch import nn
from torch.func import functional_call


class Planar(nn.Module):
    def __init__(self, size=3):
        super().__init__()
        self.u, self.w = nn.Parameter(torch.zeros(size)), nn.Parameter(torch.ones(size))
        self.b = nn.Parameter(torch.zeros(1))

    def forward(self, z):
        h = torch.tanh(z @ self.w + self.b)
        slope = (1 - h)[:, None] * self.w
        return z + h[:, None] * self.u, torch.log(torch.abs(1 + slope @ self.u))


class Flow(nn.Module):
    def __init__(self, depth=3):
        super().__init__()
        self.flows = nn.ModuleList(Planar() for _ in range(depth))
        self.log_scale = nn.Parameter(torch.zeros(3))

    def forward(self, z):
        log_det = self.log_scale.sum()
        z = z * self.log_scale.exp()
        for flow in self.flows:
            z, change = flow(z)
            log_det = log_det + change
        return z, log_det


model = Flow()


def loss(params, data):
    state = {f"flows.{i}.{k}": v for i, p in enumerate(params["flows"]) for k, v in p.items()}
    x, log_det = functional_call(model, {**state, "log_scale": params["log_scale"]}, data["z"])
    energy = 0.5 * (x - data["target"]).pow(2).sum(dim=-1)
    return (energy - log_det).mean()
