import torch.nn.functional as F
from torch import nn
from torch.func import functional_call


class Quantiser(nn.Module):
    def __init__(self, commitment=0.25):
        super().__init__()
        self.encoder, self.decoder = nn.Linear(6, 3), nn.Linear(3, 6)
        self.codebook = nn.Embedding(8, 3)
        self.commitment = commitment

    def nearest(self, z):
        distances = (z[:, None] - self.codebook.weight).pow(2).sum(-1)
        return self.codebook(distances.argmin(dim=1))

    def forward(self, x):
        z = self.encoder(x)
        q = self.nearest(z)
        moved = F.mse_loss(q, z)
        committed = F.mse_loss(q.detach(), z)
        z = z + (q - z).detach()
        return F.mse_loss(self.decoder(z), x) + moved + self.commitment * committed


model = Quantiser()


def loss(params, data):
    state = {f"{layer}.{name}": value for layer, tree in params.items() for name, value in tree.items()}
    return functional_call(model, state, data["x"])
