"""Do autograd, JAX and PyTorch compute the same gradient, which one is wrong, and which is fastest here?"""

from gradparity.taps import tap as tap

__version__ = "0.1.0"
