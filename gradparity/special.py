"""Functions that no array namespace has in every framework: ``from gradparity import special``.

Each is the framework's own function of that name: of ``jax.nn`` and ``jax.scipy.special``, ``torch.nn.functional`` and
``torch.special``, ``autograd.scipy.special``, ``scipy.special`` for NumPy. Which framework the arguments tell: its
arrays under ``jit``, ``vmap`` and differentiation, or the certified numbers of the truth. Nothing is imported until
then. The same functions are names of the ``xp`` that a neutral loss gets, in every backend.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

_Names = Mapping[str, Callable[..., Any]]


def _jax() -> _Names:
    from gradparity.backends.names.jax_names import NAMES

    return NAMES


def _torch() -> _Names:
    from gradparity.backends.names.torch_names import NAMES

    return NAMES


def _autograd() -> _Names:
    from gradparity.backends.names.autograd_names import NAMES

    return NAMES


def _numpy() -> _Names:
    from gradparity.backends.names.numpy_names import NAMES

    return NAMES


#: By where an array's type is from.
_FRAMEWORKS: dict[str, Callable[[], _Names]] = {"jax": _jax, "jaxlib": _jax, "autograd": _autograd}
#: What goes with the arrays of any framework.
_PLAIN = frozenset({"builtins", "numpy"})


def _names(values: tuple[Any, ...]) -> _Names:
    """The functions of the framework that an argument is of; NumPy's where none is of any."""
    for value in values:
        if hasattr(value, "detach"):  # PyTorch's, and told so that its compiler understands it
            return _torch()
        own: _Names | None = getattr(type(value), "__gradparity_functions__", None)
        if own is not None:
            return own
        for origin in (each.__module__.partition(".")[0] for each in type(value).__mro__[:-1]):
            if origin in _FRAMEWORKS:
                return _FRAMEWORKS[origin]()
            if origin in _PLAIN:
                break
        else:
            raise TypeError(
                f"gradparity.special: {type(value).__name__} is no array of autograd, JAX, NumPy or PyTorch"
            )
    return _numpy()


def softmax(x: Any, axis: int | tuple[int, ...] | None = -1) -> Any:
    """``e^x / sum e^x`` along the axes."""
    return _names((x,))["softmax"](x, axis=axis)


def log_softmax(x: Any, axis: int | tuple[int, ...] | None = -1) -> Any:
    """``x - log sum e^x`` along the axes."""
    return _names((x,))["log_softmax"](x, axis=axis)


def logsumexp(x: Any, axis: int | tuple[int, ...] | None = None, *, keepdims: bool = False) -> Any:
    """``log sum e^x`` over the axes."""
    return _names((x,))["logsumexp"](x, axis=axis, keepdims=keepdims)


def sigmoid(x: Any) -> Any:
    """``1 / (1 + e^-x)``."""
    return _names((x,))["sigmoid"](x)


def log_sigmoid(x: Any) -> Any:
    """``-log(1 + e^-x)``."""
    return _names((x,))["log_sigmoid"](x)


def softplus(x: Any) -> Any:
    """``log(1 + e^x)``."""
    return _names((x,))["softplus"](x)


def relu(x: Any) -> Any:
    """``max(x, 0)``."""
    return _names((x,))["relu"](x)


def relu6(x: Any) -> Any:
    """``min(max(x, 0), 6)``."""
    return _names((x,))["relu6"](x)


def leaky_relu(x: Any, negative_slope: float = 0.01) -> Any:
    """``x`` above zero, ``negative_slope x`` below."""
    return _names((x,))["leaky_relu"](x, negative_slope)


def elu(x: Any, alpha: float = 1.0) -> Any:
    """``x`` above zero, ``alpha (e^x - 1)`` below."""
    return _names((x,))["elu"](x, alpha)


def celu(x: Any, alpha: float = 1.0) -> Any:
    """``x`` above zero, ``alpha (e^(x / alpha) - 1)`` below."""
    return _names((x,))["celu"](x, alpha)


def selu(x: Any) -> Any:
    """``1.0507 x`` above zero, ``1.0507 * 1.6733 (e^x - 1)`` below."""
    return _names((x,))["selu"](x)


def silu(x: Any) -> Any:
    """``x / (1 + e^-x)``."""
    return _names((x,))["silu"](x)


def mish(x: Any) -> Any:
    """``x tanh(log(1 + e^x))``."""
    return _names((x,))["mish"](x)


def gelu(x: Any, approximate: bool = False) -> Any:
    """``x Phi(x)`` of the normal distribution, or its approximation by ``tanh``."""
    return _names((x,))["gelu"](x, approximate)


def glu(x: Any, axis: int = -1) -> Any:
    """``a / (1 + e^-b)`` of the two halves of an axis."""
    return _names((x,))["glu"](x, axis)


def hard_tanh(x: Any) -> Any:
    """``min(max(x, -1), 1)``."""
    return _names((x,))["hard_tanh"](x)


def hard_sigmoid(x: Any) -> Any:
    """``min(max(x + 3, 0), 6) / 6``."""
    return _names((x,))["hard_sigmoid"](x)


def hard_silu(x: Any) -> Any:
    """``x min(max(x + 3, 0), 6) / 6``."""
    return _names((x,))["hard_silu"](x)


def soft_sign(x: Any) -> Any:
    """``x / (1 + |x|)``."""
    return _names((x,))["soft_sign"](x)


def one_hot(labels: Any, classes: int, dtype: Any = None) -> Any:
    """Ones at the labels along a new last axis; float32 unless `dtype` says otherwise, which holds them exactly."""
    return _names((labels,))["one_hot"](labels, classes, dtype)


def erf(x: Any) -> Any:
    """``2 / sqrt(pi) int_0^x e^(-s^2) ds``."""
    return _names((x,))["erf"](x)


def erfc(x: Any) -> Any:
    """``1 - erf(x)``."""
    return _names((x,))["erfc"](x)


def erfinv(x: Any) -> Any:
    """The y with ``erf(y) = x``."""
    return _names((x,))["erfinv"](x)


def ndtr(x: Any) -> Any:
    """``Phi(x)``, the distribution function of a standard normal variable."""
    return _names((x,))["ndtr"](x)


def log_ndtr(x: Any) -> Any:
    """``log Phi(x)``."""
    return _names((x,))["log_ndtr"](x)


def ndtri(p: Any) -> Any:
    """The x with ``Phi(x) = p``."""
    return _names((p,))["ndtri"](p)


def gammaln(x: Any) -> Any:
    """``log |Gamma(x)|``."""
    return _names((x,))["gammaln"](x)


def digamma(x: Any) -> Any:
    """``Gamma'(x) / Gamma(x)``."""
    return _names((x,))["digamma"](x)


def polygamma(n: int, x: Any) -> Any:
    """The n-th derivative of the digamma function."""
    return _names((x,))["polygamma"](n, x)


def beta(a: Any, b: Any) -> Any:
    """``Gamma(a) Gamma(b) / Gamma(a + b)``."""
    return _names((a, b))["beta"](a, b)


def betaln(a: Any, b: Any) -> Any:
    """``log |Gamma(a) Gamma(b) / Gamma(a + b)|``."""
    return _names((a, b))["betaln"](a, b)


def xlogy(x: Any, y: Any) -> Any:
    """``x log y``, 0 where x is."""
    return _names((x, y))["xlogy"](x, y)


def xlog1py(x: Any, y: Any) -> Any:
    """``x log(1 + y)``, 0 where x is."""
    return _names((x, y))["xlog1py"](x, y)


def entr(x: Any) -> Any:
    """``-x log x``, 0 where x is."""
    return _names((x,))["entr"](x)


def logit(x: Any) -> Any:
    """``log(x / (1 - x))``."""
    return _names((x,))["logit"](x)


def i0(x: Any) -> Any:
    """The modified Bessel function ``I_0``."""
    return _names((x,))["i0"](x)


def i0e(x: Any) -> Any:
    """``e^-|x| I_0(x)``."""
    return _names((x,))["i0e"](x)


def i1(x: Any) -> Any:
    """The modified Bessel function ``I_1``."""
    return _names((x,))["i1"](x)


def i1e(x: Any) -> Any:
    """``e^-|x| I_1(x)``."""
    return _names((x,))["i1e"](x)


def cumlogsumexp(x: Any, axis: int = -1) -> Any:
    """Running ``log sum e^x`` along an axis."""
    return _names((x,))["cumlogsumexp"](x, axis)


def segment_sum(x: Any, segments: Any, count: int) -> Any:
    """Sums of those along the first axis that are of the same segment; shape ``(count, ...)``."""
    return _names((x, segments))["segment_sum"](x, segments, count)


def conv(x: Any, kernels: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1) -> Any:
    """Correlation of images with kernels, as neural networks convolve, in any number of dimensions.

    Args:
        x: images, shape (batch, channels, ...), with sizes for as many dimensions as the kernels have.
        kernels: shape (outputs, channels / groups, ...).
        stride: steps of the window, one number or one for each dimension.
        padding: zeros around: a number, one or (before, after) for each dimension, "valid" or "same".
        dilation: distance of the kernel's elements, one number or one for each dimension.
        groups: parts that channels and outputs are divided into, each convolved by itself.

    Returns:
        Shape (batch, outputs, ...).
    """
    return _names((x, kernels))["conv"](x, kernels, stride, padding, dilation, groups)


def avg_pool(x: Any, window: Any, stride: Any = None, padding: Any = 0) -> Any:
    """Means of windows of images (batch, channels, ...), side by side without a stride; padding counts as zeros."""
    return _names((x,))["avg_pool"](x, window, stride, padding)


def max_pool(x: Any, window: Any, stride: Any = None, padding: Any = 0) -> Any:
    """Largest elements of windows of images (batch, channels, ...), padding never among them."""
    return _names((x,))["max_pool"](x, window, stride, padding)


def expm(a: Any) -> Any:
    """The exponential ``sum A^k / k!`` of matrices (..., n, n)."""
    return _names((a,))["expm"](a)


def solve_triangular(a: Any, b: Any, *, lower: bool = False, unit_diagonal: bool = False) -> Any:
    """``A^-1 B`` of one triangle of (..., n, n), by default the upper one; shapes (n,) or (..., n, k)."""
    return _names((a, b))["solve_triangular"](a, b, lower=lower, unit_diagonal=unit_diagonal)
