from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal


def loss(params, data):
    components = Independent(Normal(params["means"], params["log_scales"].exp(), validate_args=False), 1)
    weights = Categorical(logits=params["logits"], validate_args=False)
    mixture = MixtureSameFamily(weights, components, validate_args=False)
    return -mixture.log_prob(data["x"]).mean()
