"""Which known update rule a run of parameters obeys to rounding, from its own gradients: SGD, Adam and their kin.

`identify` names the rule, `compare` says what two of them differ in, `steps` takes a named rule's steps in extended
precision. NumPy only, SciPy where it is asked for; no framework, and nothing that knows what a backend is.
"""

from gradparity.numerics.update_rules.compare import compare
from gradparity.numerics.update_rules.formulas import steps
from gradparity.numerics.update_rules.identify import identify
from gradparity.numerics.update_rules.rules import Form, Group, Identified, Rule

__all__ = ["Form", "Group", "Identified", "Rule", "compare", "identify", "steps"]
