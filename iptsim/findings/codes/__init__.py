"""The stable codes of findings, most serious first, each with its severity and its meaning.

Each severity has a module, and each new code an entry in one of them.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

from iptsim.findings.codes import critical, high, info, low, medium
from iptsim.languages import Message

Severity = Literal["critical", "high", "medium", "low", "info"]
#: Most serious first.
SEVERITIES: tuple[Severity, ...] = get_args(Severity)


class Kind(NamedTuple):
    """What all findings of a code have in common.

    Attributes:
        severity: one of :data:`SEVERITIES`; the module of each says what it means.
        meaning: one sentence.
    """

    severity: Severity
    meaning: Message


_MEANINGS: dict[Severity, dict[str, Message]] = {
    "critical": critical.MEANINGS,
    "high": high.MEANINGS,
    "medium": medium.MEANINGS,
    "low": low.MEANINGS,
    "info": info.MEANINGS,
}
#: All codes, most serious first. `docs/findings.md` is made from this table.
CODES: dict[str, Kind] = {
    code: Kind(severity, meaning)
    for severity, meanings in _MEANINGS.items()
    for code, meaning in meanings.items()
}

#: Codes of findings that say what the rules allow, so they explain no connection that fails.
ALLOWING = frozenset(
    {
        "accept-all", "bans-behind-accepted", "bans-behind-established", "bans-not-for-containers", "bans-not-reached",
        "bans-one-port", "container-port-open", "docker-chain-edited", "docker-user-after-return",
        "docker-user-appended", "docker-user-host-port", "docker-user-late", "docker-user-not-asked",
        "docker-user-not-ipv6", "docker-user-port", "docker-user-private-sources", "firewall-bypassed",
        "forward-rules-late", "icc-off-not-enforced", "input-blocks-nothing", "input-not-for-containers",
        "input-not-forward", "interface-accepted", "ipv6-open", "ipv6-rules-not-enabled",
        "limit-sees-first-only", "logs-only", "loopback-port-reachable", "open-despite-source",
        "output-not-for-containers", "rate-limit-inverted", "route-localnet", "service-open",
        "source-port-trusted", "spoofing-gains-access", "zone-of-bridges",
    }
)  # fmt: skip
#: Codes of findings that describe what the rules do, right or wrong, so they are never the likeliest cause.
DESCRIBING = frozenset(
    {
        "closed-by-default", "masquerades-some", "not-checked", "open-to-internet",
        "output-allows-some", "output-drops-some", "redundant-rule", "source-not-checked", "two-variants",
    }
)  # fmt: skip
#: Codes of findings that show how something failed, where those of other ones follow from the rules.
OBSERVED = frozenset(
    {"counters-grew", "docker-chain-missing", "port-forward-not-reached", "refused-elsewhere"}
)
#: Whose packets findings are about, where it is not everybody's (:attr:`iptsim.host.pasted.Complaint.senders`).
SENDERS = {
    "host-closed-to-containers": "containers",
    "host-without-names": "host",
    "input-drops-loopback": "host",
    "input-drops-replies": "host",
    "listens-on-loopback": "outside",
    "output-drop": "host",
    "output-drops-loopback": "host",
    "port-forward-not-for-host": "host",
    "published-on-loopback": "outside",
    "redirect-takes-every-host": "guests",
    "redirects-own-only": "host",
}
#: Codes of findings that a text which names no sender is seldom about, however serious they are.
SELDOM = frozenset({"input-drops-loopback", "output-drops-loopback"})
#: Codes of findings about packets between other machines, for which a host need not be set up.
FORWARDING = frozenset({"forward-closed", "forward-drop", "nftables-forward-drop"})
