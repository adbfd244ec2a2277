import torch


def loss(params, data):
    logits = data["states"] @ params["policy"]
    log_prob = torch.distributions.Categorical(logits=logits, validate_args=False).log_prob(data["actions"])
    values = data["states"] @ params["value"]
    advantages = data["returns"] - values
    advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    return -(log_prob * advantages).mean() + 0.5 * (data["returns"] - values).pow(2).mean()
