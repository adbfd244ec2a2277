"""What is computed: the built-in models (`spec`), problems (`problem`), data sets (`data`), a user's model (`user`).

To import it takes the standard library and NumPy; what else a file needs to be read is imported where it is read.
No framework, no process, no verdict.
"""

from typing import TYPE_CHECKING, Any

from gradparity.model_spec.errors import InputError

if TYPE_CHECKING:
    from gradparity.model_spec.spec import Logistic, Parameters, ProjectedLogistic

__all__ = ["InputError", "Logistic", "Parameters", "ProjectedLogistic"]


def __getattr__(name: str) -> Any:
    """Models are imported with NumPy when they are first used: the command line's help needs the error alone."""
    if name in __all__:
        from gradparity.model_spec import spec

        return getattr(spec, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
