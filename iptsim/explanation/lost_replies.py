"""Why a connection fails although its request arrives: its reply is lost, or docker-proxy's own connection fails."""

from __future__ import annotations

from iptsim.addresses import address_text
from iptsim.explanation.case import Case
from iptsim.explanation.codes import ReasonCode
from iptsim.explanation.reason import Reason
from iptsim.explanation.returning import masquerading_text, passing_by_text
from iptsim.languages import message, message_sentences
from iptsim.netfilter.replies import is_sent_bare


def lost(case: Case, cause: Reason) -> Reason:
    """Return the reason for a request that arrives, but whose reply does not."""
    leg = case.leg
    if leg.proxy and leg.direction == "original":
        text = message_sentences(
            message("docker-proxy accepts the connection, but its own connection to the container fails."),
            cause.message,
        )
        return Reason(ReasonCode.PROXY_CUT_OFF, text, cause.step, leg, cause.remedy)
    arrives = (
        message(
            "docker-proxy accepts the connection, so the port looks open, but the container's replies to "
            "docker-proxy are lost."
        )
        if leg.proxy
        else message("The request arrives, but its reply is lost on the way back.")
    )
    request, advice = case.trace.legs[0], cause.remedy
    text = message_sentences(arrives, cause.message)
    if cause.code is ReasonCode.REPLY_NOT_RECOGNISED and not leg.proxy:
        text = message_sentences(arrives, passing_by_text(request, leg), cause.message)
        advice = masquerading_text(request)
    if leg.direction == "reply" and not leg.proxy and is_sent_bare(case.host, request):
        text = message_sentences(
            message(
                "The request arrives, but its reply is lost on the way back: no rule gave the request "
                "the host's address, so the reply comes to {source} itself.",
                source=address_text(request.packet.family, request.packet.src),
            ),
            cause.message,
        )
        advice = message("To get the reply back, masquerade traffic leaving the network (--ip-masq).")
    code = cause.code if cause.code is ReasonCode.REPLY_NOT_RECOGNISED else ReasonCode.REPLY_DROPPED
    return Reason(code, text, cause.step, leg, advice)
