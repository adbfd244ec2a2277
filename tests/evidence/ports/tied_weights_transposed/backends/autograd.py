import autograd.numpy as np
from autograd.scipy.special import logsumexp


def loss(params, data):
    table = params["table"]
    e = np.sum(table[data["context"]], axis=1)
    h = np.tanh(np.dot(e, params["mix"]))
    logits = np.dot(h, table)
    log_p = logits - logsumexp(logits, axis=1, keepdims=True)
    return -np.mean(log_p[np.arange(len(h)), data["target"]])
