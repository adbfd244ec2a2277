import autograd.numpy as np
from autograd.scipy.special import logsumexp
from gradparity import stop

GAMMA = 0.9


def critic(p, state):
    return np.dot(np.tanh(np.dot(state, p["w"])), p["v"])


def loss(params, data):
    next_value = critic(params["critic"], data["next"])
    delta = data["reward"] + GAMMA * next_value - critic(params["critic"], data["state"])
    logits = np.dot(data["state"], params["actor"])
    chosen = logits[np.arange(16), data["action"]] - logsumexp(logits, axis=1)
    return np.mean(0.5 * delta**2 - chosen * stop(delta))
