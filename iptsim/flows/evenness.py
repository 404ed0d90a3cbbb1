"""Whether a condition or a target treats packets alike whose addresses and ports are of the same kinds."""

from __future__ import annotations

from typing import Any, Literal

from iptsim.extensions.constraints import Constraint, Several
from iptsim.extensions.matches.conntrack import FLOW_PORTS
from iptsim.extensions.nat import NatRange
from iptsim.extensions.predicates import Predicate
from iptsim.flows.cuts import COLUMNS, has_gaps

#: Whether a condition has the same result for all packets of a coarse class that took the same path so far ("same"),
#: for all whose addresses and ports are of the same fine kinds ("asked"), or neither ("uneven").
Evenness = Literal["same", "asked", "uneven"]
#: Fields whose conditions are "same".
_SAME = frozenset({
    "proto", "in_interface", "out_interface", "ct.state", "mark", "tcp_flags", "tcp_options", "fragment", "ttl", "tos",
    "length", "icmp_type", "pkttype", "src_mac", "local_socket", "uid", "gid", "other_groups", "physical_in",
    "physical_out", "physical_in.present", "physical_out.present", "ct", "ct.mark", "ct.status", "ct.direction",
    "ct.proto", "ct.labels", "ct.helper", "ct.expires", "backend", "merges_ports", "mss", "chance", "limit", "udp",
})  # fmt: skip
_SAME_BEGINNINGS = (
    "fact.", "src.type", "dst.type", "reverse_path", "nth.", "connlimit", "src.own_type", "dst.own_type", "hashlimit",
    "quota", "rateest", "nfacct.", "hidden ", "-m ", "rt.",
)  # fmt: skip
#: Targets whose effect does not depend on the addresses and ports of a packet.
_EVEN_TARGETS = frozenset({
    "ACCEPT", "DROP", "RETURN", "REJECT", "QUEUE", "LOG", "NFLOG", "ULOG", "MARK", "CONNMARK", "NOTRACK", "CT", "DNAT",
    "SNAT", "MASQUERADE", "REDIRECT", "TCPMSS", "CLASSIFY", "DSCP", "TOS", "TTL", "HL", "ECN", "TRACE", "CHECKSUM",
    "AUDIT", "CONNSECMARK", "SECMARK", "NFQUEUE", "IDLETIMER", "LED", "TEE", "TCPOPTSTRIP", "RATEEST", "SYNPROXY",
})  # fmt: skip


def kind_of(predicate: Predicate, family: int, *, only_ports: bool = False) -> Evenness:
    """Return for which packets a condition certainly has the same result.

    Args:
        predicate: the condition.
        family: 4 or 6.
        only_ports: the packets differ in nothing but ports: those of their connections are theirs, or come from rules.
    """
    if predicate.effect is not None:
        return "uneven"
    return _kind_of(predicate.constraint, family, only_ports)


def _kind_of(constraint: Constraint | Several | None, family: int, only_ports: bool) -> Evenness:
    if constraint is None:
        return "uneven"
    if isinstance(constraint, Several):
        kinds = {_kind_of(part, family, only_ports) for part in constraint.parts}
        return "uneven" if "uneven" in kinds else "asked" if "asked" in kinds else "same"
    key = constraint.field.key
    if only_ports and key in ("src", "dst"):
        return "same"
    if key in COLUMNS:
        return "uneven" if has_gaps(constraint, family) else "asked"
    if key.startswith("ipset ") or (only_ports and key in FLOW_PORTS):
        return "asked"
    return "same" if key in _SAME or key.startswith(_SAME_BEGINNINGS) else "uneven"


def is_even(target: Any, *, only_ports: bool = False) -> bool:
    """Return whether a target does the same to all packets: it picks no address or port by the packet's own.

    Args:
        target: the target.
        only_ports: the packets differ in nothing but ports, which are of the same kinds. A port in a range is then kept
            for all of them or for none; in a shifted range, each is replaced by another.
    """
    if target.name not in _EVEN_TARGETS:
        return False
    if only_ports:
        return not any(isinstance(one, NatRange) and one.base_port is not None for _, one in target.given())
    for _, value in target.given():
        if isinstance(value, NatRange):
            spans = [span for span in (value.addresses, value.ports) if span is not None]
            if value.base_port is not None or any(first != last for first, last in spans):
                return False
        elif target.name in ("REDIRECT", "MASQUERADE") and isinstance(value, tuple) and value[0] != value[-1]:
            return False
    return True
