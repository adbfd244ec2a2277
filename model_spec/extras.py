"""Packages that only some files need, so that a first answer does without their 240 MB: the extra ``files``."""

from importlib.util import find_spec

from gradparity.model_spec.errors import InputError

#: Packages of the extra, as they are imported and as they are installed.
NAMES = {"polars": "polars", "sklearn": "scikit-learn"}


def installed(package: str) -> bool:
    """Whether a package of the extra is there; it is not imported."""
    return find_spec(package) is not None


def cure(package: str) -> str:
    """The command that installs it."""
    return f"pip install {NAMES[package]}"


def require(package: str, what: str) -> None:
    """See that a package of the extra is there, for ``what`` the user asks for.

    Raises:
        InputError: it is not; its cure is the command that installs it.
    """
    if not installed(package):
        expected = f"{NAMES[package]}, which it takes"
        raise InputError(what, got=f"no package {package} here", expected=expected, cure=cure(package))
