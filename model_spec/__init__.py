"""What is computed: the built-in models, their parameters and their data. No framework, ever."""

from gradparity.model_spec.errors import InputError
from gradparity.model_spec.spec import Logistic, Parameters, ProjectedLogistic

__all__ = ["InputError", "Logistic", "Parameters", "ProjectedLogistic"]
