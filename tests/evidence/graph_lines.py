"""Lines of random losses that use what frameworks have beyond NumPy's names."""

from __future__ import annotations

ELEMENTWISE = (
    "celu", "elu", "gelu", "hard_sigmoid", "hard_silu", "hard_tanh", "leaky_relu", "log_sigmoid", "mish", "relu",
    "relu6", "selu", "sigmoid", "silu", "soft_sign", "softplus",
)  # fmt: skip

LINES = [
    *(f"xp.{name}({{a}})" for name in ELEMENTWISE),
    *(f"xp.{name}({{a}})" for name in ("glu", "logsumexp")),
    *(f"xp.{name}({{a}}, axis={axis})" for axis in (0, -1) for name in ("log_softmax", "logsumexp", "softmax")),
    "xp.gelu({a}, True)", "xp.one_hot(xp.argmax({a}), 3) * {b}",
    "xp.softmax({a} + {b}, axis=-1) * xp.log_softmax({a}, axis=-1)",
    "xp.logsumexp(xp.stack([{a}, {b}]), axis=0)", "xp.sum(xp.one_hot([0, 1, 5], 2) * xp.sum({a}))",
]  # fmt: skip
