"""The order in which tables see a packet at each hook (include/uapi/linux/netfilter_ipv4.h).

The nf_tables flavour of iptables hangs the security table behind nat at INPUT, the legacy flavour
before it; everything else is the same.
"""

from __future__ import annotations

PREROUTING, INPUT, FORWARD, OUTPUT, POSTROUTING = "PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"

#: Stands in the order where connection tracking looks the packet up or makes a new entry.
CONNTRACK = "conntrack"

_ORDER: dict[str, tuple[str, ...]] = {
    PREROUTING: ("raw", CONNTRACK, "mangle", "nat"),
    INPUT: ("mangle", "filter", "security", "nat"),
    FORWARD: ("mangle", "filter", "security"),
    OUTPUT: ("raw", CONNTRACK, "mangle", "nat", "filter", "security"),
    POSTROUTING: ("mangle", "nat"),
}


def tables_at(hook: str, backend: str) -> tuple[str, ...]:
    """Return the tables, and :data:`CONNTRACK`, that a packet passes at a hook, in order."""
    if hook == INPUT and backend == "nf_tables":
        return ("mangle", "filter", "nat", "security")
    return _ORDER[hook]


#: Which side of the packet nat may rewrite at a hook.
NAT_SIDE: dict[str, str] = {PREROUTING: "dst", OUTPUT: "dst", POSTROUTING: "src", INPUT: "src"}
