"""What all findings of a code have in common."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

from iptsim.languages import Message

Severity = Literal["critical", "high", "medium", "low", "info"]
#: Most serious first.
SEVERITIES: tuple[Severity, ...] = get_args(Severity)


Sender = Literal["", "containers", "guests", "host", "outside"]


class Kind(NamedTuple):
    """What all findings of a code have in common; a text says what fails (:mod:`iptsim.findings.likelihood`).

    Attributes:
        severity: one of :data:`SEVERITIES`; the module of each says what it means.
        meaning: one sentence.
        explains: what it can be the cause of: that connections fail ("failure"), that the rules allow them ("access"),
            or neither, because it describes what the rules do, right or wrong ("nothing").
        sender: whose packets it is about (:attr:`iptsim.host.pasted.Complaint.senders`); "" for everybody's.
        observed: it shows how something failed, where others follow from the rules.
        seldom: a text that names no sender is seldom about it, however serious it is.
        forwarding: it is about packets between other machines, for which a host need not be set up.
    """

    severity: Severity
    meaning: Message
    explains: Literal["failure", "access", "nothing"] = "failure"
    sender: Sender = ""
    observed: bool = False
    seldom: bool = False
    forwarding: bool = False
