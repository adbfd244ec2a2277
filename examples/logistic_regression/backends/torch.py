"""The loss of an `nn.Module`, called as a function of its parameters.

This file is loaded by its path: `import torch` means the framework, whatever the file is called.
"""

import torch
from torch import nn
from torch.func import functional_call
from torch.nn.functional import binary_cross_entropy_with_logits

L2 = 0.01


class Classifier(nn.Module):
    """The module as it stands in the code base that is being ported."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 1)

    def forward(self, X):
        """Logits `(S,)` of rows `X (S, 8)`."""
        return self.linear(X).squeeze(-1)


module = Classifier()


def loss(params, data):
    """Mean negative log-likelihood and the penalty; the module's own parameters are never read."""
    named = {"linear.weight": params["w"][None, :], "linear.bias": params["b"]}
    logits = functional_call(module, named, (data["X"],))
    return binary_cross_entropy_with_logits(logits, data["y"]) + 0.5 * L2 * torch.sum(params["w"] ** 2)
