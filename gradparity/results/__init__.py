"""What a run found: typed, versioned, written as it arrives.

`run` is the whole, `findings` correctness, `timing` the clock; `store` writes and reads ``results.json``, and
`validation` refuses what no report could show. Records only: nothing is measured or judged, and to read a file loads
no truth.
"""

from gradparity.results.findings import (
    DIFFERS,
    GOOD,
    NEUTRAL_IS_ODD,
    NO_ANSWER,
    UNREPEATABLE,
    UNRESOLVED,
    Diagnosis,
    Disagreement,
    Finding,
    NotGiven,
    Outlier,
    OwnDerivative,
    Pairwise,
    Training,
    Trouble,
    Verdict,
    worst,
)
from gradparity.results.run import FEW, SCHEMA_VERSION, BackendInfo, Checked, ProblemResult, RunResult, Session, label
from gradparity.results.timing import Formulated, OneThread, Recommendation, Span, Start, Timed, Timing

__all__ = [
    "DIFFERS",
    "FEW",
    "GOOD",
    "NEUTRAL_IS_ODD",
    "NO_ANSWER",
    "SCHEMA_VERSION",
    "UNREPEATABLE",
    "UNRESOLVED",
    "BackendInfo",
    "Checked",
    "Diagnosis",
    "Disagreement",
    "Finding",
    "Formulated",
    "NotGiven",
    "OneThread",
    "Outlier",
    "OwnDerivative",
    "Pairwise",
    "ProblemResult",
    "Recommendation",
    "RunResult",
    "Session",
    "Span",
    "Start",
    "Timed",
    "Timing",
    "Training",
    "Trouble",
    "Verdict",
    "label",
    "worst",
]
