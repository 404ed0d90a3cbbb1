"""Why a packet got its verdict: one stable code and a few plain sentences for each possible end of a walk."""

from __future__ import annotations

from iptsim.deferred import deferred
from iptsim.explanation.accepted import accepted
from iptsim.explanation.branches import depends
from iptsim.explanation.codes import REASONS, ReasonCode
from iptsim.explanation.delivery import listening_text
from iptsim.explanation.reason import Reason
from iptsim.explanation.refused import refused
from iptsim.explanation.returning import advice_on_return, may_pass_by_text
from iptsim.host.model import Host
from iptsim.languages import message_sentences
from iptsim.netfilter.trace import Trace
from iptsim.question.model import Question

__all__ = ["REASONS", "Reason", "ReasonCode", "reason_of"]


def reason_of(host: Host, question: Question, trace: Trace) -> Reason:
    """Return the reason for a trace's verdict."""
    if trace.verdict == "DEPENDS":
        return depends(trace)
    if trace.verdict != "ACCEPT":
        return refused(host, question, trace)
    reason = accepted(host, question, trace)
    reason.message = message_sentences(
        reason.message, deferred(may_pass_by_text, host, trace), deferred(listening_text, host, trace)
    )
    reason.remedy = reason.remedy or deferred(advice_on_return, host, trace)
    return reason
