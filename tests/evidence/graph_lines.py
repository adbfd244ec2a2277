"""Lines of random losses that use what frameworks have beyond NumPy's names."""

from __future__ import annotations

ELEMENTWISE = (
    "digamma", "entr", "erfinv", "gammaln", "i0", "i0e", "i1", "i1e", "log_ndtr", "logit", "ndtr", "sinc",
    "celu", "elu", "gelu", "hard_sigmoid", "hard_silu", "hard_tanh", "leaky_relu", "log_sigmoid", "mish", "relu",
    "relu6", "selu", "sigmoid", "silu", "soft_sign", "softplus",
)  # fmt: skip

LINES = [
    *(f"xp.{name}({{a}})" for name in ELEMENTWISE),
    *(f"xp.{name}({{a}})" for name in ("glu", "logsumexp")),
    *(f"xp.{name}({{a}}, axis={axis})" for axis in (0, -1) for name in ("log_softmax", "logsumexp", "softmax")),
    *(f"xp.{name}({{a}}, {{b}})" for name in ("beta", "betaln", "xlogy", "xlog1py")),
    *(f"xp.{name}(xp.tanh({{a}}))" for name in ("erfinv", "i0", "i1", "sinc")),
    *(f"xp.{name}(xp.sigmoid({{a}}))" for name in ("gammaln", "logit", "ndtri", "entr")),
    *(f"xp.{name}(d0, {{a}})" for name in ("xlogy", "xlog1py")), "xp.gammaln({a} * {a} + 1)",
    "xp.betaln(xp.exp({a}), xp.exp({b}))", "xp.polygamma(1, {a})", "xp.polygamma(0, {a} * {a} + 0.5)",
    "xp.cumlogsumexp({a}, axis=0)", "xp.cumlogsumexp({a}, axis=-1)", "xp.ndtri({a})",
    "xp.gelu({a}, True)", "xp.one_hot(xp.argmax({a}), 3) * {b}",
    "xp.softmax({a} + {b}, axis=-1) * xp.log_softmax({a}, axis=-1)",
    "xp.logsumexp(xp.stack([{a}, {b}]), axis=0)", "xp.sum(xp.one_hot([0, 1, 5], 2) * xp.sum({a}))",
]  # fmt: skip
