"""Expectations of a connection, one word each, and whether an answer meets them."""

from __future__ import annotations

from iptsim.errors import UsageError
from iptsim.explanation.delivery import delivered_text
from iptsim.explanation.explanation import Explanation
from iptsim.extensions.verdicts import BLOCKING
from iptsim.languages import Text, message
from iptsim.suggestions import choose_from

_VERDICTS = ("accept", "drop", "reject", "depends")
#: "open": the request and its reply pass, and nothing shows that no program listens; "refused": they pass, but no
#: program listens; "closed": the packet or its reply is blocked, or the connection is refused.
EXPECTATIONS = (*_VERDICTS, "open", "refused", "closed")


def check_expectation(expected: object) -> str:
    """Check an expectation from the user, and return it.

    Raises:
        UsageError: there is no such expectation.
    """
    if not isinstance(expected, str) or expected not in EXPECTATIONS:
        fault = message("expect: unknown {expected!r}", expected=str(expected)[:40])
        raise UsageError(choose_from(fault, expected, EXPECTATIONS))
    return expected


def is_met(expected: str, answer: Explanation) -> bool:
    """Return whether an answer meets an expectation; of classes of addresses, whether all of them do."""
    if answer.classes and expected != "depends":
        return all(is_met(expected, one.explanation) for one in answer.classes)
    if expected in _VERDICTS:
        return answer.verdict == expected.upper()
    passes, refused = answer.verdict == "ACCEPT", is_refused(answer)
    if expected == "refused":
        return refused
    if expected == "closed":
        return refused or answer.verdict in BLOCKING
    return passes and not refused


def is_refused(answer: Explanation) -> bool:
    """Return whether no rule blocks a connection, but no program listens at its end."""
    return answer.verdict == "ACCEPT" and answer.trace.listening is False


def assumption_of(expected: str, answer: Explanation) -> Text:
    """Return what "open" assumes about an answer; "" if nothing has to be assumed."""
    delivered = answer.trace.opening.delivered
    unknown = answer.trace.listening is None and delivered is not None and delivered.packet.dport is not None
    if expected != "open" or answer.verdict != "ACCEPT" or not unknown or delivered is None:
        return ""
    return message(
        "A program is assumed to listen on {place}: the source does not show it; a new `iptsim collect` would.",
        place=delivered_text(delivered),
    )
