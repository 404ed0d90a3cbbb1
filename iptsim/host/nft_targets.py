"""What nftables' `reject`, `synproxy` and `comment` are to iptables: options and targets; see libnftables-json(5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from iptsim.addresses import Family
from iptsim.extensions.options import quote
from iptsim.host.nft_names import reject_reason

COMMENT = "-m comment --comment"
#: The most characters of a comment of iptables (XT_MAX_COMMENT_LEN).
_LONGEST = 255
#: What `reject with` replies, in iptables' words.
_REJECTS: dict[Family, dict[str, str]] = {
    4: {
        "port-unreachable": "icmp-port-unreachable",
        "host-unreachable": "icmp-host-unreachable",
        "net-unreachable": "icmp-net-unreachable",
        "prot-unreachable": "icmp-proto-unreachable",
        "net-prohibited": "icmp-net-prohibited",
        "host-prohibited": "icmp-host-prohibited",
        "admin-prohibited": "icmp-admin-prohibited",
        "no-route": "icmp-net-unreachable",
    },
    6: {
        "port-unreachable": "icmp6-port-unreachable",
        "no-route": "icmp6-no-route",
        "host-unreachable": "icmp6-addr-unreachable",
        "addr-unreachable": "icmp6-addr-unreachable",
        "admin-prohibited": "icmp6-adm-prohibited",
        "policy-fail": "icmp6-policy-fail",
        "reject-route": "icmp6-reject-route",
    },
}


def reject_words(value: Mapping[str, Any], family: Family) -> str:
    """Return the option for what `reject` replies; "" for what iptables replies without one."""
    kind = _REJECTS[family].get(reject_reason(value.get("type"), value.get("expr")))
    if value.get("type") == "tcp reset":
        kind = "tcp-reset"
    return f" --reject-with {kind}" if kind else ""


def synproxy_words(value: Any) -> str:
    """Return the target that opens connections in place of a server; what it replies does not affect the packet."""
    about = value if isinstance(value, Mapping) else {}
    mss = about.get("mss")
    return f"-j SYNPROXY --mss {mss}" if isinstance(mss, int) else "-j SYNPROXY"


def comment_words(value: Any) -> str:
    """Return the option for a comment; "" if iptables could not have it."""
    if not isinstance(value, str) or not value.isprintable() or len(value) > _LONGEST:
        return ""
    return f"{COMMENT} {quote(value)}"


def comment_of_element(element: Any) -> str:
    """Return the option for the comment of an element of a map; "" without one."""
    inner = element.get("elem") if isinstance(element, Mapping) else None
    return comment_words(inner.get("comment")) if isinstance(inner, Mapping) else ""
