"""The packets to which expressions of nftables restrict a rule by what they read; see libnftables-json(5)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from typing import Any

from iptsim.addresses import Family

#: The address families of protocols that only one of them has.
FAMILIES: dict[str, Family] = {"icmp": 4, "icmpv6": 6, "ip": 4, "ip6": 6}
#: Protocols with ports, by nft's names.
TRANSPORTS = frozenset({"tcp", "udp", "sctp", "dccp", "udplite"})
#: The protocols of other headers of the transport layer, by nft's names of the headers.
_PROTOCOLS = {"ah": "ah", "comp": "ipcomp", "esp": "esp", "gre": "gre", "grev": "gre", "igmp": "igmp"}
#: The protocol or the address family of which packets have what an expression other than `payload` reads.
_OF_PROTOCOL = {"tcp option": "tcp", "sctp chunk": "sctp", "dccp option": "dccp"}
_OF_FAMILY: dict[str, Family] = {"exthdr": 6, "ip option": 4}
#: Protocols with a type and a code.
_WITH_TYPE = frozenset({"icmp", "icmpv6"})
#: What every packet has.
_ALWAYS_THERE = frozenset({"iif", "iifname", "l4proto", "mark", "nfproto", "oif", "oifname", "protocol"})
#: A condition that no packet of the family satisfies, and one that every packet satisfies.
NEVER: list[str] = []
ALWAYS = [""]


class Restrictions:
    """The packets to which one rule is restricted, of one address family.

    Args:
        family: the address family.

    Attributes:
        options: for each condition, alternative options, one of which must match.
        protocols: the protocols to which the rule is restricted; None for all.
    """

    def __init__(self, family: Family) -> None:
        self.family = family
        self.options: list[list[str]] = []
        self.protocols: list[str] | None = None

    def only(self, names: Iterable[str]) -> None:
        """Restrict the rule to some protocols."""
        wanted = list(names)
        known = self.protocols
        self.protocols = wanted if known is None else [name for name in known if name in wanted]

    def has_field(self, expression: Any) -> bool:
        """Restrict the rule to packets with a field; return whether all of these have it."""
        if isinstance(expression, int | str):
            return True
        if not isinstance(expression, Mapping) or len(expression) != 1:
            return False
        ((kind, about),) = expression.items()
        if kind == "concat" and isinstance(about, list):
            return all(self.has_field(one) for one in about)
        if kind == "elem" and isinstance(about, Mapping):
            return self.has_field(about.get("val"))
        if kind == "meta" and isinstance(about, Mapping):
            return str(about.get("key")) in _ALWAYS_THERE
        if kind != "payload" or not isinstance(about, Mapping) or "tunnel" in about:
            return False
        protocol = str(about.get("protocol"))
        if protocol in ("ip", "ip6"):
            if (4 if protocol == "ip" else 6) != self.family:
                self.options.append(NEVER)
            return True
        if protocol in _WITH_TYPE and FAMILIES[protocol] != self.family:
            self.options.append(NEVER)
        if protocol in TRANSPORTS | _WITH_TYPE:
            self.only([protocol])
        if protocol in _WITH_TYPE:
            return about.get("field") in ("type", "code")  # others are of some types only
        return protocol in TRANSPORTS or (
            protocol == "th" and bool(self.protocols) and TRANSPORTS.issuperset(self.protocols or ())
        )

    def imply(self, expression: Any) -> None:
        """Restrict the rule to the packets with a header, as nft does (payload_gen_dependency)."""
        about = expression if isinstance(expression, Mapping) else {}
        parts = about.get("concat") or about.get("&")
        for part in parts if isinstance(parts, list) else [about]:
            found = part if isinstance(part, Mapping) else {}
            payload = found.get("payload")
            header = payload if isinstance(payload, Mapping) else {}
            # of a packet in a tunnel, only the protocol of the tunnel is known
            protocol = str(header.get("tunnel", header.get("protocol", "")))
            families = [FAMILIES.get(protocol, self.family), *(_OF_FAMILY.get(key) for key in found)]
            if any(one not in (None, self.family) for one in families):
                self.options.append(NEVER)
            names = [protocol if protocol in TRANSPORTS | _WITH_TYPE else _PROTOCOLS.get(protocol)]
            for name in filter(None, (*names, *(_OF_PROTOCOL.get(key) for key in found))):
                self.only([name])

    def imply_protocol(self, key: Mapping[str, Any]) -> None:
        """Restrict the rule to the protocol of which a map looks up a field."""
        for part in _fields(key):
            payload = part.get("payload") if isinstance(part, Mapping) else None
            if isinstance(payload, Mapping) and str(payload.get("protocol")) in TRANSPORTS | _WITH_TYPE:
                self.only([str(payload["protocol"])])


def combinations(each: Iterable[list[str]]) -> list[str]:
    """Return all combinations of alternative options, one of each list."""
    return [" ".join(filter(None, words)) for words in product(*each)]


def compares_bare_ports(statements: Iterable[Mapping[str, Any]]) -> bool:
    """Return whether a rule compares or looks up ports (`th dport`) of packets whose protocol it does not name before.

    The kernel reads the same bytes of any transport header (nft_payload_eval).
    """
    for expression in _read_by(statements):
        fields = _fields(expression)
        payloads = [one["payload"] for one in fields if isinstance(one, Mapping) and "payload" in one]
        headers = {str(one.get("protocol")) for one in payloads if isinstance(one, Mapping)}
        if not headers.isdisjoint(TRANSPORTS | _WITH_TYPE):
            return False
        if any(tells_protocol(one) or reads(one, "ip6", "nexthdr") for one in fields):
            return False
        if reads_bare_port(expression):
            return True
    return False


def reads_bare_port(expression: Any) -> bool:
    """Return whether an expression is a port of any protocol, or one of its fields is."""
    return any(reads(one, "th", "sport") or reads(one, "th", "dport") for one in _fields(expression))


def _fields(expression: Any) -> list[Any]:
    """Return the fields that are looked up together, or the expression itself."""
    parts = expression.get("concat") if isinstance(expression, Mapping) else None
    return parts if isinstance(parts, list) else [expression]


def _read_by(statements: Iterable[Mapping[str, Any]]) -> Iterator[Any]:
    """Yield what the conditions and the verdict maps of a rule read."""
    for statement in statements:
        for kind, part in (("match", "left"), ("vmap", "key")):
            about = statement.get(kind)
            if isinstance(about, Mapping):
                yield about.get(part)


def tells_protocol(expression: Any) -> bool:
    """Return whether an expression is the protocol of the transport layer."""
    return expression == {"meta": {"key": "l4proto"}} or reads(expression, "ip", "protocol")


def reads(expression: Any, protocol: str, field: str) -> bool:
    """Return whether an expression is a field of a header, which is not one in a tunnel."""
    payload = expression.get("payload") if isinstance(expression, Mapping) else None
    if not isinstance(payload, Mapping) or "tunnel" in payload:
        return False
    return (payload.get("protocol"), payload.get("field")) == (protocol, field)
