"""From a trace to an answer in words: verdict, reason code, sentences, the deciding rule."""

from iptsim.explanation.explanation import Explanation, explain_trace
from iptsim.explanation.reason_of import REASONS, Reason, ReasonCode

__all__ = ["REASONS", "Explanation", "Reason", "ReasonCode", "explain_trace"]
