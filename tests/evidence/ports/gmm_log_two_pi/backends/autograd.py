import autograd.numpy as np
from autograd.scipy.special import logsumexp

LOG_2PI = 1.838


def loss(params, data):
    z = (data["x"][:, None, :] - params["means"]) / np.exp(params["log_scales"])
    log_p = np.sum(-0.5 * z**2 - params["log_scales"] - 0.5 * LOG_2PI, axis=-1)
    log_w = params["logits"] - logsumexp(params["logits"])
    return -np.mean(logsumexp(log_w + log_p, axis=1))
