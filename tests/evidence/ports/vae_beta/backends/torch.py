import torch
from torch import nn
from torch.func import functional_call

from backends._tree import dotted


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(6, 8)
        self.mean, self.log_var = nn.Linear(8, 2), nn.Linear(8, 2)

    def forward(self, x):
        h = torch.tanh(self.hidden(x))
        return self.mean(h), self.log_var(h)


class Decoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden, self.out = nn.Linear(2, 8), nn.Linear(8, 6)

    def forward(self, z):
        return self.out(torch.tanh(self.hidden(z)))


class VAE(nn.Module):
    def __init__(self, beta=4.0):
        super().__init__()
        self.encoder, self.decoder, self.beta = Encoder(), Decoder(), beta

    def forward(self, x, noise):
        mean, log_var = self.encoder(x)
        z = mean + noise * torch.exp(0.5 * log_var)
        reconstruction = 0.5 * (self.decoder(z) - x).pow(2).sum(-1)
        kl = -0.5 * torch.sum(1 + log_var - mean.pow(2) - log_var.exp(), dim=-1)
        return (reconstruction + self.beta * kl).mean()


vae = VAE()


def loss(params, data):
    return functional_call(vae, dotted(params), (data["x"], data["noise"]))
