"""The port that is wrong.

`binary_cross_entropy` has no derivative in its `weight`, and says so; `detach()` makes the message go away, and
takes the weight's share of the gradient with it. `reduction="none"`, then a product, then the mean mends the gradient
and leaves an HVP that is off by 3e-12: `cures/obvious.py`. With `binary_cross_entropy_with_logits` all is right:
`cures/from_logits.py`.
"""

import torch
from torch.nn.functional import binary_cross_entropy

from gradparity import tap


def loss(params, data):
    """Mean focal loss, gamma = 2."""
    p, y = torch.sigmoid(data["X"] @ params["w"] + params["b"]), data["y"]
    p_t = p * y + (1 - p) * (1 - y)
    weight = tap("weight", (1 - p_t) ** 2)
    return binary_cross_entropy(p, y, weight=weight.detach())
