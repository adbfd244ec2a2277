"""A trained classifier of digits from its checkpoint: convolution, batch norm, average pooling, a dense layer.

``net.safetensors`` has PyTorch's names and orders, float32. The port for JAX has Flax's, which ``layouts`` says once.
The statistics of the batch norm are no parameters: they are held fixed.

What goes wrong when it is ported: kernels in PyTorch's order; channels, rows, columns flattened in another order than
the dense layer behind was trained with; ``eps`` 1e-5 in PyTorch and in Flax's linen, 1e-3 in Keras.

Source: PyTorch's ``Conv2d``, ``BatchNorm2d`` in ``eval``, ``AvgPool2d`` and ``Linear``; scikit-learn's digits.
"""

import gradparity
from gradparity import special

layouts = {
    "jax": {
        "conv.weight": ("params/conv/kernel", "oihw -> hwio"),
        "norm.weight": "params/norm/scale",
        "norm.running_mean": "batch_stats/norm/mean",
        "norm.running_var": "batch_stats/norm/var",
        "norm.num_batches_tracked": None,
        "fc.weight": ("params/fc/kernel", "o (c h w) -> (h w c) o", {"h": 3, "w": 3}),
        "**.bias": "params/**/bias",
    }
}


def parameters(rng):
    """The checkpoint's state, 214 parameters and the statistics of the batch norm, by PyTorch's names."""
    del rng
    return gradparity.weights("net.safetensors")


def data(rng):
    """Twelve of the digits, images (12, 1, 8, 8) in 0 to 1 and labels (12,)."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    rows = rng.choice(len(digits.target), 12, replace=False)
    images = (digits.images[rows, None] / 16).astype("float32")
    return {"images": images, "labels": digits.target[rows]}


def loss(params, data, xp):
    """The mean cross entropy, in the names of the checkpoint."""
    hidden = special.conv(data["images"], params["conv.weight"]) + params["conv.bias"][:, None, None]
    gain = params["norm.weight"] / xp.sqrt(params["norm.running_var"] + 1e-5)
    centred = hidden - params["norm.running_mean"][:, None, None]
    hidden = xp.tanh(centred * gain[:, None, None] + params["norm.bias"][:, None, None])
    pooled = special.avg_pool(hidden, 2)
    logits = xp.reshape(pooled, (len(data["labels"]), -1)) @ params["fc.weight"].T + params["fc.bias"]
    top = xp.max(logits, axis=1, keepdims=True)
    total = xp.log(xp.sum(xp.exp(logits - top), axis=1)) + top[:, 0]
    return xp.mean(total - logits[xp.arange(len(data["labels"])), data["labels"]])
