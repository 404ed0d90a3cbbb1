"""From a trace to an answer in words: verdict, reason code, sentences, the deciding rule."""

from iptsim.explanation.explanation import Explanation, explain_trace
from iptsim.explanation.reasons import REASONS, Reason

__all__ = ["REASONS", "Explanation", "Reason", "explain_trace"]
