"""The error function in extended precision, held against mpmath; its enclosures are in test_midrad."""

import mpmath
import numpy as np
import pytest

from gradparity.truth.numbers.lanes import lanes


def written_out(x: np.longdouble) -> mpmath.mpf:
    """The same number for mpmath, exactly."""
    mantissa, exponent = np.frexp(x)
    return mpmath.ldexp(int(np.ldexp(mantissa, 64)), int(exponent) - 64)


@pytest.mark.parametrize("name", ["erf", "erfc"])
@pytest.mark.parametrize("scale", [1e-30, 1e-2, 1.0, 8.0, 25.0])
def test_the_error_function_is_off_by_a_rounding_at_most(name: str, scale: float) -> None:
    rng = np.random.default_rng(0)
    x = scale * rng.standard_normal(200).astype(np.longdouble) * (1 + np.longdouble(2) ** -60)
    found = np.asarray(getattr(lanes(x), name)())
    with mpmath.workprec(300):
        for at, value in zip(x, found, strict=True):
            expected = getattr(mpmath, name)(written_out(at))
            assert abs(written_out(value) - expected) <= abs(expected) * mpmath.ldexp(1, -63)
