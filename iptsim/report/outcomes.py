"""Verdicts and reasons in a word or two, with signs that differ in shape and colour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from iptsim.languages import Message, message, message_as, say
from iptsim.reaching import ReachClass
from iptsim.report.markup import Markup, element

#: Up to this many names are written out; of more, the first two and the number of the others.
NAMES = 3


class Outcome(NamedTuple):
    """What happens to a connection.

    Attributes:
        tone: the class of its colours.
        sign: its shape.
        word: its name.
    """

    tone: str
    sign: str
    word: Message


OUTCOMES = {
    "ACCEPT": Outcome("ACCEPT", "✓", message("allowed")),
    "DROP": Outcome("DROP", "✕", message("dropped")),
    "REJECT": Outcome("REJECT", "⊘", message("rejected")),
    "DEPENDS": Outcome("DEPENDS", "?", message("depends")),
    "refused": Outcome("REFUSED", "○", message("refused")),
    "": Outcome("OTHER", "·", message("unknown")),
}
SEVERITIES = {
    "critical": Outcome("critical", "▲", message_as("severity", "critical")),
    "high": Outcome("high", "◆", message_as("severity", "high")),
    "medium": Outcome("medium", "●", message_as("severity", "medium")),
    "low": Outcome("low", "○", message_as("severity", "low")),
    "info": Outcome("info", "i", message_as("severity", "info")),
}
#: The reason codes of :mod:`iptsim.explanation.codes` in few words.
REASON_WORDS: dict[str, Message] = {
    "icc-enabled": message("icc is on"),
    "link": message("opened by --link"),
    "outgoing": message("outgoing"),
    "published-port": message("published port"),
    "docker-proxy": message("through docker-proxy"),
    "bypasses-iptables": message("bypasses iptables"),
    "inside-namespace": message("stays in the namespace"),
    "no-rules": message("no rules"),
    "rule-accept": message("a rule accepts"),
    "policy-accept": message("policy ACCEPT"),
    "icc-disabled": message("icc is off"),
    "isolated-networks": message("isolated networks"),
    "internal-network": message("internal network"),
    "direct-route-drop": message("not from its own network"),
    "loopback-port": message("published on loopback only"),
    "unpublished-port": message("not published"),
    "policy-drop": message("policy DROP"),
    "rule-drop": message("a rule drops"),
    "rule-reject": message("a rule rejects"),
    "queued": message("a program decides"),
    "rules-not-shown": message("rules not shown"),
    "ip-forward-off": message("host does not forward"),
    "interface-forwarding-off": message("interface does not forward"),
    "ipv6-disabled": message("IPv6 is disabled"),
    "interface-down": message("interface is down"),
    "no-route": message("no route"),
    "no-source": message("no source address"),
    "no-neighbour": message("address not in use"),
    "martian": message("invalid address"),
    "rp-filter": message("reverse path filter"),
    "not-joined": message("group not joined"),
    "not-for-host": message("not for this host"),
    "proxy-unrouted": message("no route to the transparent proxy"),
    "conntrack-clash": message("connection already exists"),
    "nat-failed": message("cannot be translated"),
    "ttl-exceeded": message("TTL has expired"),
    "too-big": message("larger than the MTU"),
    "hairpin-off": message("hairpin is off"),
    "isolated-ports": message("isolated bridge ports"),
    "macvlan-host": message("macvlan: not the host"),
    "reply-not-recognised": message("reply not recognised"),
    "reply-dropped": message("reply is dropped"),
    "proxy-cut-off": message("docker-proxy is cut off"),
    "nft-chain": message("nftables chain"),
    "undecided-match": message("undecided match"),
    "depends-on-source": message("depends on the source"),
    "depends-on-destination": message("depends on the destination"),
}


def outcome_of(one: ReachClass) -> Outcome:
    """Return what happens to packets."""
    return OUTCOMES["refused" if one.is_refused else one.verdict]


def is_open_question(one: ReachClass) -> bool:
    """Return whether packets depend on something undecided, although the followed packet does not."""
    return one.verdict == "DEPENDS" != one.explanation.verdict


def reason_words(one: ReachClass) -> Message | str:
    """Return the reason in a few words."""
    code = "undecided-match" if is_open_question(one) else one.explanation.reason.code
    return REASON_WORDS.get(code, code)


def badge(outcome: Outcome, text: Message | str | None = None) -> Markup:
    """Return an outcome as a coloured word with its sign."""
    return element(
        f"span.badge.v-{outcome.tone}",
        element("span", outcome.sign, aria_hidden="true"),
        " ",
        text or outcome.word,
    )


def named(names: Sequence[str]) -> str:
    """Return names as a text; if there are many, only the first two."""
    if len(names) <= NAMES:
        return ", ".join(names)
    return say("{names} and {count} more", names=", ".join(names[:2]), count=len(names) - 2)
