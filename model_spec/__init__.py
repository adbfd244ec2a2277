"""What is computed: the built-in models, their parameters and their data. No framework, ever."""

from model_spec.errors import InputError
from model_spec.spec import Logistic, Parameters, ProjectedLogistic

__all__ = ["InputError", "Logistic", "Parameters", "ProjectedLogistic"]
