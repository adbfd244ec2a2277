"""Results of the schema before today's, as those of today. Pure: plain values in and out.

What is not of its schema is passed on as it is, for the types of today to refuse.
"""

from __future__ import annotations

import re
from typing import Any, TypeAlias

Document: TypeAlias = dict[str, Any]

#: The oldest schema that is read.
OLDEST = 2


def from_2(run: Document) -> Document:
    """The document of schema 2 as one of schema 3: other names for two fields, and for what values do at a tap."""
    found: Document = _renamed(run, "sittings", "sessions") | {"schema_version": 3}
    if isinstance(problems := run.get("problems"), list):
        found["problems"] = [_with_causes(_renamed(problem, "partings", "divergences")) for problem in problems]
    return found


def _with_causes(problem: Any) -> Any:
    if isinstance(problem, dict) and isinstance(findings := problem.get("findings"), list):
        return problem | {"findings": [_with_cause(finding) for finding in findings]}
    return problem


def _with_cause(finding: Any) -> Any:
    """What said where a backend parts from others says where it diverges."""
    if isinstance(finding, dict) and isinstance(cause := finding.get("cause"), str):
        return finding | {"cause": re.sub("^parts at", "diverges at", cause)}
    return finding


def _renamed(part: Any, old: str, new: str) -> Any:
    return {new if key == old else key: part[key] for key in part} if isinstance(part, dict) else part
