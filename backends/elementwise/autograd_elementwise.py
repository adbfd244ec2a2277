"""HIPS autograd: ``elementwise_grad``, once and twice, and ``make_jvp``."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import autograd.numpy as anp
import autograd.scipy.special as asp
import numpy as np
from autograd import elementwise_grad, make_jvp

from gradparity.backends.protocol import Array


def derivatives(f: Callable[[Array, Array], Array]) -> dict[str, Callable[..., Any]]:
    """The value and the derivatives of ``f(x, y)`` in ``x``."""
    reverse = elementwise_grad(f)

    def forward(x: Array, y: Array) -> Array:
        return make_jvp(lambda x: f(x, y))(x)(np.ones_like(x))[1]

    return {"value": f, "reverse": reverse, "forward": forward, "second": elementwise_grad(reverse)}


def own_names() -> Any:
    """HIPS autograd's own functions of which the namespace of a neutral loss has other forms."""
    names = ("beta", "betaln", "digamma", "erf", "erfc", "erfinv", "gammaln", "i0", "i1", "logit", "polygamma")
    return SimpleNamespace(**{name: getattr(asp, name) for name in names}, sigmoid=asp.expit, sinc=anp.sinc)
