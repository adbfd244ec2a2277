import autograd.numpy as np
from autograd.scipy.special import logsumexp


def standardise(returns):
    spread = np.std(returns)
    return (returns - np.mean(returns)) / (spread + 1e-8)


def loss(params, data):
    logits = np.dot(data["states"], params["policy"])
    log_prob = logits[np.arange(len(logits)), data["actions"]] - logsumexp(logits, axis=1)
    error = data["returns"] - np.dot(data["states"], params["value"])
    return 0.5 * np.mean(error**2) - np.mean(log_prob * standardise(error))
