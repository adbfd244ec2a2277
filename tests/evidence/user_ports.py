"""What users call besides an array namespace: softmax, norms, attention, by formula and by frameworks' own functions.

A loss drawn by `tests.evidence.user_families` takes a namespace and such operations. `Operations` writes them out in
the namespace, as a neutral loss does; `TorchOperations` and `JaxOperations` call what their users call, whose formulas
are others. What has a poor second derivative in autograd is written anew (`autograd_namespace`).
"""

from __future__ import annotations

from typing import Any

from gradparity.backends import load, lookup

Array = Any


class Operations:
    """By formula, in any namespace."""

    def __init__(self, xp: Any) -> None:
        self.xp, self.erf = xp, xp.erf

    def sigmoid(self, x: Array) -> Array:
        return 0.5 * (self.xp.tanh(0.5 * x) + 1)

    def softplus(self, x: Array) -> Array:
        return self.xp.logaddexp(x, self.xp.zeros_like(x))

    def silu(self, x: Array) -> Array:
        return x * self.sigmoid(x)

    def relu(self, x: Array) -> Array:
        return self.xp.maximum(x, self.xp.zeros_like(x))

    def leaky_relu(self, x: Array) -> Array:
        return self.xp.where(x > 0, x, 0.125 * x)

    def elu(self, x: Array) -> Array:
        return self.xp.where(x > 0, x, self.xp.exp(self.xp.minimum(x, self.xp.zeros_like(x))) - 1)

    def gelu(self, x: Array) -> Array:
        return 0.5 * x * (1 + self.erf(x * 0.5**0.5))

    def gelu_tanh(self, x: Array) -> Array:
        return 0.5 * x * (1 + self.xp.tanh((2 / self.xp.pi) ** 0.5 * (x + 0.044715 * x**3)))

    def logsumexp(self, x: Array, axis: int) -> Array:
        m = self.xp.max(x, axis=axis, keepdims=True)
        total = self.xp.sum(self.xp.exp(x - m), axis=axis)
        return self.xp.log(total) + self.xp.squeeze(m, axis=axis)

    def softmax(self, x: Array) -> Array:
        e = self.xp.exp(x - self.xp.max(x, axis=-1, keepdims=True))
        return e / self.xp.sum(e, axis=-1, keepdims=True)

    def log_softmax(self, x: Array) -> Array:
        shifted = x - self.xp.max(x, axis=-1, keepdims=True)
        return shifted - self.xp.log(self.xp.sum(self.xp.exp(shifted), axis=-1, keepdims=True))

    def cross_entropy(self, logits: Array, onehot: Array, labels: Array) -> Array:
        return -self.xp.mean(self.xp.sum(onehot * self.log_softmax(logits), axis=-1))

    def bce(self, logits: Array, y: Array) -> Array:
        return self.xp.mean(self.softplus(logits) - y * logits)

    def huber(self, r: Array, delta: float) -> Array:
        a = self.xp.abs(r)
        return self.xp.mean(self.xp.where(a <= delta, 0.5 * r * r, delta * (a - 0.5 * delta)))

    def mse(self, a: Array, b: Array) -> Array:
        return self.xp.mean((a - b) ** 2)

    def layer_norm(self, x: Array, w: Array, b: Array, eps: float) -> Array:
        c = x - self.xp.mean(x, axis=-1, keepdims=True)
        return c / self.xp.sqrt(self.xp.mean(c * c, axis=-1, keepdims=True) + eps) * w + b

    def batch_norm(self, x: Array, w: Array, b: Array, eps: float) -> Array:
        c = x - self.xp.mean(x, axis=0)
        return c / self.xp.sqrt(self.xp.mean(c * c, axis=0) + eps) * w + b

    def normalised(self, x: Array) -> Array:
        return x / self.xp.sqrt(self.xp.sum(x * x, axis=-1, keepdims=True))

    def attention(self, q: Array, k: Array, v: Array, mask: Array) -> Array:
        """Of heads by positions by features; ``mask`` is added."""
        scores = self.xp.einsum("hid,hjd->hij", q, k) / q.shape[-1] ** 0.5 + mask
        return self.xp.einsum("hij,hjd->hid", self.softmax(scores), v)

    def poisson(self, log_rate: Array, y: Array) -> Array:
        return self.xp.mean(self.xp.exp(log_rate) - y * log_rate)

    def gaussian(self, mean: Array, variance: Array, y: Array) -> Array:
        return 0.5 * self.xp.mean(self.xp.log(variance) + (y - mean) ** 2 / variance)

    def kl(self, log_p: Array, q: Array) -> Array:
        return self.xp.sum(q * (self.xp.log(q) - log_p)) / q.shape[0]

    def lower(self, K: Array) -> Array:
        return self.xp.linalg.cholesky(K)

    def gather(self, table: Array, index: Array) -> Array:
        return table[index]


class JaxOperations(Operations):
    """By ``jax.nn`` and ``jax.scipy``."""

    def __init__(self) -> None:
        import jax

        super().__init__(load(lookup("jax").target).namespace())
        self.nn, self.jax = jax.nn, jax
        self.sigmoid, self.softplus, self.silu, self.relu = (
            *(jax.nn.sigmoid, jax.nn.softplus, jax.nn.silu, jax.nn.relu),
        )
        self.softmax, self.log_softmax, self.elu = jax.nn.softmax, jax.nn.log_softmax, jax.nn.elu

    def leaky_relu(self, x: Array) -> Array:
        return self.nn.leaky_relu(x, 0.125)

    def gelu(self, x: Array) -> Array:
        return self.nn.gelu(x, approximate=False)

    def gelu_tanh(self, x: Array) -> Array:
        return self.nn.gelu(x, approximate=True)

    def logsumexp(self, x: Array, axis: int) -> Array:
        return self.nn.logsumexp(x, axis=axis)

    def cross_entropy(self, logits: Array, onehot: Array, labels: Array) -> Array:
        chosen = self.xp.take_along_axis(logits, labels[:, None], axis=-1)[:, 0]
        return self.xp.mean(self.nn.logsumexp(logits, axis=-1) - chosen)

    def layer_norm(self, x: Array, w: Array, b: Array, eps: float) -> Array:
        # Not jax.nn.standardize, whose variance is E[x^2] - E[x]^2.
        mean, variance = self.xp.mean(x, axis=-1, keepdims=True), self.xp.var(x, axis=-1, keepdims=True)
        return (x - mean) * self.jax.lax.rsqrt(variance + eps) * w + b

    def attention(self, q: Array, k: Array, v: Array, mask: Array) -> Array:
        # Not jax.nn.dot_product_attention, whose softmax is in float32 for any dtype.
        scores = self.xp.matmul(q, self.xp.swapaxes(k, -1, -2)) * q.shape[-1] ** -0.5 + mask
        return self.xp.matmul(self.nn.softmax(scores), v)

    def gather(self, table: Array, index: Array) -> Array:
        return self.xp.take(table, index, axis=0)


class TorchOperations(Operations):
    """By ``torch.nn.functional`` and ``torch.special``."""

    def __init__(self, xp: Any) -> None:
        import torch
        import torch.nn.functional as F  # noqa: N812

        super().__init__(xp)
        self.torch, self.F = torch, F
        self.sigmoid, self.silu, self.relu, self.gelu = torch.sigmoid, F.silu, F.relu, F.gelu

    def leaky_relu(self, x: Array) -> Array:
        return self.F.leaky_relu(x, 0.125)

    def elu(self, x: Array) -> Array:
        return self.F.elu(x)

    def gelu_tanh(self, x: Array) -> Array:
        return self.F.gelu(x, approximate="tanh")

    def logsumexp(self, x: Array, axis: int) -> Array:
        return self.torch.logsumexp(x, dim=axis)

    def softmax(self, x: Array) -> Array:
        return self.F.softmax(x, dim=-1)

    def log_softmax(self, x: Array) -> Array:
        return self.F.log_softmax(x, dim=-1)

    def cross_entropy(self, logits: Array, onehot: Array, labels: Array) -> Array:
        return self.F.cross_entropy(logits, labels)

    def bce(self, logits: Array, y: Array) -> Array:
        return self.F.binary_cross_entropy_with_logits(logits, y)

    def huber(self, r: Array, delta: float) -> Array:
        return self.F.huber_loss(r, self.torch.zeros_like(r), delta=delta)

    def mse(self, a: Array, b: Array) -> Array:
        return self.F.mse_loss(a, b)

    def layer_norm(self, x: Array, w: Array, b: Array, eps: float) -> Array:
        return self.F.layer_norm(x, x.shape[-1:], w, b, eps)

    def batch_norm(self, x: Array, w: Array, b: Array, eps: float) -> Array:
        return self.F.batch_norm(x, None, None, w, b, training=True, eps=eps)

    def normalised(self, x: Array) -> Array:
        return self.F.normalize(x, dim=-1)

    def attention(self, q: Array, k: Array, v: Array, mask: Array) -> Array:
        from torch.nn.attention import SDPBackend, sdpa_kernel

        with sdpa_kernel(SDPBackend.MATH):  # the fused kernels have no second derivative
            return self.F.scaled_dot_product_attention(q, k, v, attn_mask=mask)

    def poisson(self, log_rate: Array, y: Array) -> Array:
        return self.F.poisson_nll_loss(log_rate, y, log_input=True)

    def gaussian(self, mean: Array, variance: Array, y: Array) -> Array:
        return self.F.gaussian_nll_loss(mean, y, variance, eps=1e-300)

    def kl(self, log_p: Array, q: Array) -> Array:
        return self.F.kl_div(log_p, q, reduction="batchmean")

    def gather(self, table: Array, index: Array) -> Array:
        return self.F.embedding(index, table)


def port(name: str, idiomatic: bool) -> Operations:
    """The operations of a backend's port."""
    if name == "jax" and idiomatic:
        return JaxOperations()
    if name == "autograd":
        return Operations(autograd_namespace())
    xp = load(lookup(name).target).namespace()
    return TorchOperations(xp) if idiomatic else Operations(xp)


def autograd_namespace() -> Any:
    """autograd.numpy but for three functions, whose second derivatives there are nan or have lost their digits.

    Its ``tanh`` divides by ``cosh(x)^2``, infinite from 355 on; its ``abs`` differentiates ``x / |x|``, of which a
    rounding over ``|x|`` is left; its ``logaddexp`` forms ``p - p^2``, which cancels at ``p = 1``.
    """
    from types import SimpleNamespace

    import autograd.numpy as anp
    import numpy as np
    from autograd.extend import defvjp, primitive

    tanh = primitive(np.tanh)
    defvjp(tanh, lambda ans, x: lambda g: g * (1 - ans * ans))

    def absolute(x: Array) -> Array:
        return anp.where(x > 0, x, -x)

    def logaddexp(a: Array, b: Array) -> Array:
        return anp.where(a > b, a, b) + anp.log1p(anp.exp(-absolute(a - b)))

    space = load(lookup("autograd").target).namespace()
    members = {name: getattr(space, name) for name in dir(space) if not name.startswith("_")}
    return SimpleNamespace(**members | {"tanh": tanh, "abs": absolute, "logaddexp": logaddexp})
