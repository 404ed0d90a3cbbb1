"""Conditions of nftables in the notation of iptables, where both mean the same to the kernel.

Source: libnftables-json(5).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import product
from typing import Any

from iptsim.extensions.base import quote
from iptsim.host.nft_chains import NftProxy
from iptsim.host.nft_header_fields import compared, header_options, tcp_flags
from iptsim.host.nft_icmp import icmp_match
from iptsim.host.nft_values import address, has_bits_of, is_limited, plain, ports, protocol_named, shown
from iptsim.packet import Family

#: The address families of protocols that only one of them has.
_FAMILIES: dict[str, Family] = {"icmp": 4, "icmpv6": 6, "ip": 4, "ip6": 6}
#: What iptables takes for all protocols.
_ALL_PROTOCOLS = frozenset({"0", "all", "ip"})
#: The name of a protocol.
_PROTOCOL = re.compile(r"[a-z0-9-]+")
#: Protocols with ports, by nft's names.
TRANSPORTS = frozenset({"tcp", "udp", "sctp", "dccp"})
_STATES = frozenset({"invalid", "established", "related", "new", "untracked"})
#: What `ct original` and `ct reply` compare, by the options of iptables.
_TUPLE = {
    "saddr": "src", "ip saddr": "src", "ip6 saddr": "src", "daddr": "dst", "ip daddr": "dst", "ip6 daddr": "dst",
    "proto-src": "srcport", "proto-dst": "dstport",
}  # fmt: skip
#: The names of network protocols; a number could mean any of them.
_NETWORKS = frozenset({"8021ad", "8021q", "arp", "ip", "ip6", "ipv4", "ipv6", "vlan"})
#: What every packet has.
_ALWAYS_THERE = frozenset({"iif", "iifname", "l4proto", "mark", "nfproto", "oif", "oifname", "protocol"})
_COMPARISONS = frozenset({"<", "<=", ">", ">="})
#: Numbers in the header of a packet.
_HEADER_FIELDS = {
    ("ip", "ttl"): "hops", ("ip6", "hoplimit"): "hops", ("ip", "dscp"): "dscp", ("ip6", "dscp"): "dscp",
    ("ip", "length"): "length",
}  # fmt: skip
#: The bits of IPv4's field on fragments that are the offset; it is 0 in the first fragment (IP_OFFSET).
_FRAGMENT_OFFSET = 0x1FFF
#: The hooks of packets that have come in.
_ARRIVING = frozenset({"prerouting", "input", "forward"})
#: Options that iptables allows once in a rule.
_ONCE = re.compile(r" -[sdiop] ")
#: A condition that no packet of the family satisfies, and one that every packet satisfies.
NEVER: list[str] = []
_ALWAYS = [""]


class Conditions:
    """The conditions of one rule for one address family.

    Args:
        sets: the elements of named sets.
        hook: the hook of the base chain.
        family: the address family.

    Attributes:
        options: for each condition, alternative options, one of which must match.
        also: options that must match too; iptables would allow each only once in a rule.
        hidden: the conditions without an equivalent.
        protocols: the protocols to which the rule is restricted; None for all.
        proxy: the transparent proxy that must serve the packet.
    """

    def __init__(self, sets: Mapping[str, Sequence[Any]], hook: str, family: Family) -> None:
        self.sets, self.hook, self.family = sets, hook, family
        self.options: list[list[str]] = []
        self.also: list[str] = []
        self.hidden: list[str] = []
        self.protocols: list[str] | None = None
        self.proxy: NftProxy | None = None

    @property
    def alternatives(self) -> list[list[str]]:
        """Alternative options of each condition, that on the protocol included."""
        protocols = [] if self.protocols is None else [[f"-p {name}" for name in self.protocols]]
        return [*protocols, *self.options]

    def copy(self) -> Conditions:
        """Return the conditions as they are now."""
        made = Conditions(self.sets, self.hook, self.family)
        made.options, made.also, made.hidden = [*self.options], [*self.also], [*self.hidden]
        made.protocols, made.proxy = self.protocols, self.proxy
        return made

    def add(self, value: Any) -> None:
        """Add the condition of a `match` statement."""
        options = None
        if isinstance(value, Mapping):
            options = self.of(value.get("left"), str(value.get("op", "==")), value.get("right"))
        if options is None:
            self.hidden.append(shown(value))
            self._imply(value.get("left") if isinstance(value, Mapping) else None)
        elif len(options) == 1 and self._has(options[0]):
            self.also.append(options[0])
        else:
            self.options.append(options)

    def _has(self, option: str) -> bool:
        """Return whether another condition has an option that iptables allows once in a rule."""
        once = _ONCE.search(f" {option}")
        return once is not None and any(once[0] in f" {other}" for one in self.options for other in one)

    def of(self, left: Any, op: str, right: Any) -> list[str] | None:
        """Return alternative options, one of which must match: empty if no packet can match, None if unknown."""
        if op in _COMPARISONS:
            span = compared(op, right)
            return self.of(left, "==", span) if span is not None else None
        if not isinstance(left, Mapping) or len(left) != 1 or op not in ("==", "!=", "in", "!"):
            return None
        if "&" in left:
            return self._masked(left["&"], op, right)
        ((kind, about),) = left.items()
        if kind == "concat":
            return self._concatenated(about, op, right)
        if not isinstance(about, Mapping):
            return None
        if isinstance(right, list) and op not in ("in", "!"):
            return None  # all bits of a mask at once
        negated = op == "!="
        values = self._values(right)
        if values is None or (negated and not values):
            return None
        if kind == "payload":
            protocol, field = str(about.get("protocol")), str(about.get("field"))
            if (protocol, field) == ("tcp", "flags"):
                return self._any_flag(values, negated=op == "!") if op in ("in", "!") else None
            return self._payload(protocol, field, values, negated=negated) if op != "!" else None
        if op == "!":
            return None
        if kind == "meta":
            return self._meta(str(about.get("key")), values, negated=negated)
        if kind == "ct" and about.get("key") == "status" and op != "in":
            return None  # all of its bits, of which a packet of a connection has others too
        if kind == "ct":
            return self._tracked(str(about.get("key")), about.get("dir"), values, negated=negated)
        if kind == "fib":
            return self._fib(about, values, negated=negated)
        return None

    def add_update(self, kind: str, value: Any, full: Collection[str]) -> None:
        """Add what a statement depends on that changes a set or a map: the fields, and the room for an element."""
        about = value if isinstance(value, Mapping) else {}
        parts = [about.get("elem"), about.get("data")] if kind == "map" else [about.get("elem")]
        is_full = about.get("op") != "delete" and str(about.get(kind)).removeprefix("@") in full
        if about.get("stmt") or is_full or not all(self._has_field(one) for one in parts):
            self.hidden.append(kind)

    def _has_field(self, expression: Any) -> bool:
        """Restrict the rule to packets with a field; return whether all of these have it."""
        if isinstance(expression, int | str):
            return True
        if not isinstance(expression, Mapping) or len(expression) != 1:
            return False
        ((kind, about),) = expression.items()
        if kind == "concat" and isinstance(about, list):
            return all(self._has_field(one) for one in about)
        if kind == "elem" and isinstance(about, Mapping):
            return self._has_field(about.get("val"))
        if kind == "meta" and isinstance(about, Mapping):
            return str(about.get("key")) in _ALWAYS_THERE
        if kind != "payload" or not isinstance(about, Mapping):
            return False
        protocol = str(about.get("protocol"))
        if protocol in ("ip", "ip6"):
            if (4 if protocol == "ip" else 6) != self.family:
                self.options.append(NEVER)
            return True
        if protocol in TRANSPORTS:
            self.only([protocol])
        return protocol in TRANSPORTS or (
            protocol == "th" and bool(self.protocols) and TRANSPORTS.issuperset(self.protocols or ())
        )

    def only(self, names: Iterable[str]) -> None:
        """Restrict the rule to some protocols."""
        wanted = list(names)
        known = self.protocols
        self.protocols = wanted if known is None else [name for name in known if name in wanted]

    def _imply(self, expression: Any) -> None:
        """Restrict the rule to the packets with a header, as nft does (payload_gen_dependency)."""
        about = expression if isinstance(expression, Mapping) else {}
        for part in about.get("concat") or about.get("&") or [about]:
            payload = part.get("payload") if isinstance(part, Mapping) else None
            protocol = str(payload.get("protocol")) if isinstance(payload, Mapping) else ""
            if _FAMILIES.get(protocol, self.family) != self.family:
                self.options.append(NEVER)
            elif protocol in TRANSPORTS or protocol in ("icmp", "icmpv6"):
                self.only([protocol])

    def imply_protocol(self, key: Mapping[str, Any]) -> None:
        """Restrict the rule to the protocol whose port a map looks up."""
        for part in key.get("concat") or [key]:
            payload = part.get("payload") if isinstance(part, Mapping) else None
            if isinstance(payload, Mapping) and str(payload.get("protocol")) in TRANSPORTS:
                self.only([str(payload["protocol"])])

    def named(self, data: Any) -> Sequence[Any] | None:
        """Return the elements of a named set; None if they are not known."""
        return self.sets.get(data.removeprefix("@")) if isinstance(data, str) else None

    def _values(self, right: Any) -> list[Any] | None:
        if isinstance(right, str) and right.startswith("@"):
            found = self.named(right)
        elif isinstance(right, Mapping) and "set" in right:
            found = right["set"] if isinstance(right["set"], list) else [right["set"]]
        else:
            return list(right) if isinstance(right, list) else [right]
        return None if found is None or any(map(is_limited, found)) else [plain(one) for one in found]

    def _concatenated(self, parts: Any, op: str, right: Any) -> list[str] | None:
        """Return the options for several fields that are looked up together."""
        values = self._values(right)
        if op != "==" or values is None or not isinstance(parts, list):
            return None
        found: list[str] = []
        for value in values:
            own = value.get("concat") if isinstance(value, Mapping) else None
            if not isinstance(own, list) or len(own) != len(parts):
                return None
            options = self.together(list(zip(parts, own, strict=True)))
            if options is None:
                return None
            found += options
        return found

    def together(self, pairs: list[tuple[Any, Any]]) -> list[str] | None:
        """Return the options for fields that have one value each; a protocol among them holds for the others."""
        for protocol in ("icmp", "icmpv6"):
            kind, code = (
                [pair for pair in pairs if _reads(pair[0], protocol, name)] for name in ("type", "code")
            )
            if kind and code:
                others = self.together([pair for pair in pairs if pair not in (*kind, *code)])
                options = self._icmp(protocol, [kind[0][1]], code[0][1], negated=False)
                return None if others is None or options is None else _joined([options, others])
        named = [protocol_named(value) for field, value in pairs if _tells_protocol(field)]
        if not named:
            each = [self.of(field, "==", value) for field, value in pairs]
            return None if None in each else _joined(filter(None, each)) if all(each) else NEVER
        known = self.protocols
        if self.family == 6 and any(_reads(field, "ip", "protocol") for field, _ in pairs):
            return NEVER
        if len(named) > 1 or not _PROTOCOL.fullmatch(named[0]) or named[0] in _ALL_PROTOCOLS:
            return None
        if known is not None and named[0] not in known:
            return NEVER
        if known is not None and len(known) > 1:
            return None
        inner = Conditions(self.sets, self.hook, self.family)
        inner.protocols = named
        each = [inner.of(field, "==", value) for field, value in pairs if not _tells_protocol(field)]
        if None in each or inner.also:
            return None
        if not inner.protocols or not all(each):
            return NEVER
        return _joined([[f"-p {named[0]}"] if known is None else _ALWAYS, *filter(None, each)])

    def _masked(self, left: Any, op: str, right: Any) -> list[str] | None:
        """Return the option for some bits of a mark, or some flags of TCP."""
        if op not in ("==", "!=") or not isinstance(left, list) or len(left) != 2:
            return None
        field, mask = left
        sign = "! " if op == "!=" else ""
        if _reads(field, "tcp", "flags"):
            masked, wanted = tcp_flags(mask), tcp_flags(right)
            if masked is None or wanted is None:
                return None
            self.only(["tcp"])
            return [f"-m tcp {sign}--tcp-flags {masked} {wanted or 'NONE'}"]
        if _reads(field, "ip", "frag-off") and (mask, right) == (_FRAGMENT_OFFSET, 0):
            return [f"{'' if op == '!=' else '! '}-f"] if self.family == 4 else NEVER
        if isinstance(mask, str) and isinstance(right, str):
            return self._bits_of_address(field, mask, right, sign)
        marks = {"meta": "mark", "ct": "connmark"}
        name = next((marks[kind] for kind in marks if field == {kind: {"key": "mark"}}), None)
        if name is None or not isinstance(mask, int) or not isinstance(right, int):
            return None
        return [f"-m {name} {sign}--mark {right:#x}/{mask:#x}"]

    def _bits_of_address(self, field: Any, mask: str, wanted: str, sign: str) -> list[str] | None:
        """Return the option for some bits of an address."""
        for side, option in (("saddr", "-s"), ("daddr", "-d")):
            if _reads(field, "ip", side) and self.family == 6:
                return NEVER
            if _reads(field, "ip", side) and (possible := has_bits_of(wanted, mask)) is not None:
                # iptables would ignore the other bits
                return [f"{sign}{option} {wanted}/{mask}"] if possible else _ALWAYS if sign else NEVER
        return None

    def _any_flag(self, values: list[Any], *, negated: bool) -> list[str] | None:
        """Return the options for TCP segments with one flag or another, or with none of them."""
        flags = [tcp_flags(one) for one in values]
        if None in flags:
            return None
        self.only(["tcp"])
        joined = ",".join(filter(None, flags))
        return [f"-m tcp {'' if negated else '! '}--tcp-flags {joined} NONE"] if joined else NEVER

    def _payload(self, protocol: str, field: str, values: list[Any], *, negated: bool) -> list[str] | None:
        if protocol in ("ip", "ip6"):
            if (4 if protocol == "ip" else 6) != self.family:
                return NEVER
            if field in ("saddr", "daddr"):
                return self._addresses(field, values, negated=negated)
            if field in ("protocol", "nexthdr"):
                # behind extension headers, nft compares the first of them
                return self._l4(values, negated=negated) if self.family == 4 else None
            name = _HEADER_FIELDS.get((protocol, field))
            return self._header(name, values, negated=negated) if name is not None else None
        if field in ("sport", "dport") and protocol in TRANSPORTS:
            self.only([protocol])
            return ports(field, values, negated=negated)
        if field in ("sport", "dport") and protocol == "th" and self.protocols:
            return ports(field, values, negated=negated)
        if field == "type" and protocol in ("icmp", "icmpv6"):
            return self._icmp(protocol, values, negated=negated)
        if (protocol, field) == ("ether", "saddr") and self.hook in _ARRIVING:
            return self._each("-m mac", "--mac-source", map(str, values), negated=negated)
        return None

    def _icmp(self, protocol: str, kinds: list[Any], code: Any = None, *, negated: bool) -> list[str] | None:
        """Return the options for some types of ICMP, with a code if one is given."""
        if _FAMILIES[protocol] != self.family:
            return NEVER
        found = [icmp_match(protocol, kind, code) for kind in kinds]
        if None in found:
            return None
        self.only([protocol])
        options = [self._each(f"-m {one[0]}", one[1], [one[2]], negated=negated) for one in found if one]
        together = [option for each in options for option in each]
        return self._all(together) if negated else together

    def _header(self, name: str, values: list[Any], *, negated: bool) -> list[str] | None:
        """Return the options for numbers in the header."""
        found = header_options(name, values, self.family, negated=negated)
        if found is None:
            return None
        return self._all(found.options) if found.every else found.options

    def _each(self, match: str, flag: str, values: Iterable[str], *, negated: bool) -> list[str]:
        """Return the options for one of some values, or for none of them."""
        options = [" ".join(filter(None, (match, "!" if negated else "", flag, value))) for value in values]
        return self._all(options) if negated else options

    def _all(self, options: list[str]) -> list[str]:
        """Return the options for several conditions that must all match."""
        if len(options) == 1:
            return options
        self.also += options
        return _ALWAYS

    def _addresses(self, field: str, values: list[Any], *, negated: bool) -> list[str] | None:
        found = [address(one) for one in values]
        if None in found:
            return None
        side = "src" if field == "saddr" else "dst"
        flag = "-s" if field == "saddr" else "-d"
        options = list[str]()
        for one in filter(None, found):
            match, option = ("-m iprange", f"--{side}-range") if "-" in one else ("", flag)
            options += self._each(match, option, [one], negated=negated)
        return self._all(options) if negated else options

    def _l4(self, values: list[Any], *, negated: bool) -> list[str] | None:
        names = ["ipv6-icmp" if (name := protocol_named(one)) == "icmpv6" else name for one in values]
        if not _ALL_PROTOCOLS.isdisjoint(names) or not all(map(_PROTOCOL.fullmatch, names)):
            return None
        if negated:
            return self._each("", "-p", names, negated=True)
        self.only("icmpv6" if name == "ipv6-icmp" else name for name in names)
        return _ALWAYS

    def _meta(self, key: str, values: list[Any], *, negated: bool) -> list[str] | None:
        if key in ("iifname", "oifname", "iif", "oif"):
            return self._interface(key, values, negated=negated)
        if key == "l4proto":
            return self._l4(values, negated=negated)
        if key in ("nfproto", "protocol"):
            if not _NETWORKS.issuperset(map(str, values)):
                return None
            own = ("ipv4", "ip") if self.family == 4 else ("ipv6", "ip6")
            holds = any(str(one) in own for one in values)
            return _ALWAYS if holds is not negated else NEVER
        if key == "length":
            return self._header(key, values, negated=negated)
        numbers = [one for one in values if isinstance(one, int)]
        if key == "mark" and len(numbers) == len(values):
            return self._each("-m mark", "--mark", map(hex, numbers), negated=negated)
        if key in ("skuid", "skgid") and len(numbers) == len(values) and not negated:
            if self.hook not in ("output", "postrouting"):
                return None  # the user of the socket that the packet is for, if the kernel looked it up early
            return [f"-m owner --{key[2:]}-owner {number}" for number in numbers]
        if key == "pkttype" and {"host", "unicast", "broadcast", "multicast"}.issuperset(map(str, values)):
            kinds = ["unicast" if one == "host" else str(one) for one in values]
            return self._each("-m pkttype", "--pkt-type", kinds, negated=negated)
        return None

    def _interface(self, key: str, values: list[Any], *, negated: bool) -> list[str] | None:
        arriving = key.startswith("i")
        # forwarded packets keep their input interface in postrouting (Linux 5.7 and later)
        there: tuple[str, ...] = ("prerouting", "input", "forward", "postrouting")
        there = there if arriving else ("forward", "output", "postrouting")
        names = [str(one) for one in values]
        if self.hook not in there or any(not name or name.endswith("+") for name in names):
            return None
        flag = "-i" if arriving else "-o"
        names = [name[:-1] + "+" if name.endswith("*") else name for name in names]
        if any(len(name) > 15 or not {"*", "\\"}.isdisjoint(name) for name in names):
            return None
        return self._each("", flag, map(quote, names), negated=negated)

    def _tracked(self, key: str, direction: Any, values: list[Any], *, negated: bool) -> list[str] | None:
        names, sign = [str(one) for one in values], "! " if negated else ""
        if direction is not None:
            return self._of_direction(key, str(direction), values, negated=negated)
        if key == "state" and _STATES.issuperset(names):
            return [f"-m conntrack {sign}--ctstate {','.join(names).upper()}"]
        if key == "status" and {"dnat", "snat"}.issuperset(names) and not negated:
            return [f"-m conntrack --ctstate {','.join(names).upper()}"]
        if key == "direction" and len(names) == 1 and names[0] in ("original", "reply"):
            return [f"-m conntrack --ctdir {_opposite(names[0]) if negated else names[0].upper()}"]
        numbers = [one for one in values if isinstance(one, int)]
        if key == "mark" and len(numbers) == len(values):
            return self._each("-m connmark", "--mark", map(hex, numbers), negated=negated)
        return None

    def _of_direction(
        self, key: str, direction: str, values: list[Any], *, negated: bool
    ) -> list[str] | None:
        """Return the options for an address or a port of the connection in one direction."""
        if key.startswith("ip") and key.startswith("ip6 ") is not (self.family == 6):
            return NEVER
        if key not in _TUPLE or direction not in ("original", "reply"):
            return None
        is_port = key.startswith("proto-")
        found = [str(one) if isinstance(one, int) else None if is_port else address(one) for one in values]
        if any(one is None or "-" in one for one in found):
            return None
        option = f"--ct{'orig' if direction == 'original' else 'repl'}{_TUPLE[key]}"
        return self._each("-m conntrack", option, filter(None, found), negated=negated)

    def _fib(self, about: Mapping[str, Any], values: list[Any], *, negated: bool) -> list[str] | None:
        flags = about.get("flags")
        sides = flags if isinstance(flags, list) else [flags]
        if about.get("result") == "oif" and set(sides) in ({"saddr", "iif"}, {"saddr", "mark", "iif"}):
            return self._way_back(values, marked="mark" in sides, negated=negated)
        # to iptables, local addresses of IPv6 are unicast too (xt_addrtype.c); to nft no address is both
        kinds = {"local", "broadcast", "multicast", "unicast"} if self.family == 4 else {"local", "multicast"}
        if (
            about.get("result") != "type"
            or sides[0] not in ("saddr", "daddr")
            or sides[1:] not in ([], ["iif"] if self.family == 4 and self.hook in _ARRIVING else [])
            or not kinds.issuperset(map(str, values))
        ):
            return None
        side = "--src-type" if sides[0] == "saddr" else "--dst-type"
        limit = " --limit-iface-in" if len(sides) > 1 else ""
        return self._each("-m addrtype", side, (f"{one}".upper() + limit for one in values), negated=negated)

    def _way_back(self, values: list[Any], *, marked: bool, negated: bool) -> list[str] | None:
        """Return the option for packets to whose source the routes lead back by the interface that they came from."""
        if self.hook != "prerouting" or values not in ([True], [False]):
            return None
        exists = values[0] is not negated
        return [f"-m rpfilter{' --validmark' if marked else ''}{'' if exists else ' --invert'}"]


def _joined(each: Iterable[list[str]]) -> list[str]:
    """Return all combinations of alternative options, one of each list."""
    return [" ".join(filter(None, words)) for words in product(*each)]


def _tells_protocol(expression: Any) -> bool:
    """Return whether an expression is the protocol of the transport layer."""
    return expression == {"meta": {"key": "l4proto"}} or _reads(expression, "ip", "protocol")


def _reads(expression: Any, protocol: str, field: str) -> bool:
    """Return whether an expression is a field of a header."""
    payload = expression.get("payload") if isinstance(expression, Mapping) else None
    return isinstance(payload, Mapping) and (payload.get("protocol"), payload.get("field")) == (
        protocol,
        field,
    )


def _opposite(direction: str) -> str:
    return "REPLY" if direction == "original" else "ORIGINAL"
