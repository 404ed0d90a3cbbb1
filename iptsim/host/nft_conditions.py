"""Conditions of nftables in the notation of iptables, where both mean the same to the kernel.

Source: libnftables-json(5).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from iptsim.addresses import Family
from iptsim.extensions.marks import ALL_BITS
from iptsim.host.nft_chains import NftProxy
from iptsim.host.nft_connection import (
    ARRIVING,
    BRIDGE,
    OF_IP,
    connection_options,
    each,
    fib_options,
    masked_state,
)
from iptsim.host.nft_header_fields import (
    ALL_FLAGS,
    Alternatives,
    address_bits,
    compared,
    flag_options,
    header_options,
    tcp_flags,
)
from iptsim.host.nft_icmp import icmp_match, with_code
from iptsim.host.nft_interfaces import group_options, interface_options
from iptsim.host.nft_marks import mark_options
from iptsim.host.nft_moments import moment_options
from iptsim.host.nft_names import all_named
from iptsim.host.nft_restrictions import (
    ALWAYS,
    FAMILIES,
    NEVER,
    TRANSPORTS,
    Restrictions,
    combinations,
    reads,
    tells_protocol,
)
from iptsim.host.nft_shares import shares
from iptsim.host.nft_values import (
    address,
    counting_words,
    has_host_bits,
    is_limited,
    keys_of,
    plain,
    ports,
    protocol_named,
    shown,
    spans,
)

#: What iptables takes for all protocols.
_ALL_PROTOCOLS = frozenset({"0", "all", "ip"})
#: The name of a protocol.
_PROTOCOL = re.compile(r"[a-z0-9-]+")
#: The names of network protocols; a number could mean any of them.
_NETWORKS = frozenset({"8021ad", "8021q", "arp", "ip", "ip6", "ipv4", "ipv6", "vlan"})
_COMPARISONS = frozenset({"<", "<=", ">", ">="})
#: Protocols that are an extension header of IPv6, or that `-m ipv6header` tells from the others.
_EXTENSION_HEADERS = frozenset({
    "ah", "esp", "hip", "hopopt", "ip", "ipv6-frag", "ipv6-nonxt", "ipv6-opts", "ipv6-route", "mobility-header",
    "shim6",
})  # fmt: skip
#: The type of the interface lo, which no other interface has (ARPHRD_LOOPBACK).
_LOOPBACK = ("loopback", "772")
#: Numbers in the header of a packet.
_HEADER_FIELDS = {
    ("ip", "ttl"): "hops", ("ip6", "hoplimit"): "hops", ("ip", "dscp"): "dscp", ("ip6", "dscp"): "dscp",
    ("ip", "length"): "length", ("ip", "ecn"): "ecn", ("ip6", "ecn"): "ecn",
}  # fmt: skip
#: The bits of IPv4's field on fragments that are the offset; it is 0 in the first fragment (IP_OFFSET).
_FRAGMENT_OFFSET = 0x1FFF


class Conditions(Restrictions):
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
        unread: the statement without an equivalent after them; "" for none.
    """

    def __init__(self, sets: Mapping[str, Sequence[Any]], hook: str, family: Family) -> None:
        super().__init__(family)
        self.sets, self.hook = sets, hook
        self.also: list[str] = []
        self.hidden: list[str] = []
        self.proxy: NftProxy | None = None
        self.unread = ""

    @property
    def alternatives(self) -> list[list[str]]:
        """Alternative options of each condition, that on the protocol included."""
        protocols = [] if self.protocols is None else [[f"-p {name}" for name in self.protocols]]
        return [*protocols, *self.options]

    def copy(self) -> Conditions:
        """Return the conditions as they are now."""
        made = Conditions(self.sets, self.hook, self.family)
        made.options, made.also, made.hidden = [*self.options], [*self.also], [*self.hidden]
        made.protocols, made.proxy, made.unread = self.protocols, self.proxy, self.unread
        return made

    def add(self, value: Any) -> None:
        """Add the condition of a `match` statement."""
        options = None
        if isinstance(value, Mapping):
            if self._add_code(value):
                return
            options = self.of(value.get("left"), str(value.get("op", "==")), value.get("right"))
        if options is None:
            self.hidden.append(shown(value))
            self.imply(value.get("left") if isinstance(value, Mapping) else None)
        else:
            self.options.append(options)

    def _add_code(self, value: Mapping[str, Any]) -> bool:
        """Add a code of ICMP to the condition on the type before it; return whether there is one."""
        for protocol in ("icmp", "icmpv6"):
            if reads(value.get("left"), protocol, "code") and value.get("op") == "==" and self.options:
                found = with_code(protocol, self.options[-1], value.get("right"))
                if found is not None:
                    self.options[-1] = found
                    return True
        return False

    def of(self, left: Any, op: str, right: Any) -> list[str] | None:
        """Return alternative options, one of which must match: empty if no packet can match, None if unknown."""
        if self.hook.startswith(BRIDGE) and not OF_IP.isdisjoint(keys_of(left)):
            return None
        if op in _COMPARISONS:
            is_mark = isinstance(left, Mapping) and {"key": "mark"} in left.values()
            span = compared(op, right, ALL_BITS) if is_mark else compared(op, right)
            return self.of(left, "==", span) if span is not None else None
        if not isinstance(left, Mapping) or len(left) != 1 or op not in ("==", "!=", "in", "!"):
            return None
        if "&" in left:
            return self._masked(left["&"], op, right)
        ((kind, about),) = left.items()
        if op in ("==", "!=", "in") and self._has_catch_all(right):
            return (NEVER if op == "!=" else ALWAYS) if self.has_field(left) else None
        if kind == "concat":
            return self._concatenated(about, op, right)
        if not isinstance(about, Mapping) or "tunnel" in about:
            return None
        if isinstance(right, list) and op not in ("in", "!"):
            return None  # all bits of a mask at once
        negated = op == "!="
        values = self._values(right)
        if values is None or (negated and not values):
            return None
        name = " ".join(str(about[key]) for key in ("protocol", "field", "key", "result") if key in about)
        values = all_named(name if kind == "payload" else f"{kind} {name}", values, some=op == "in")
        if kind == "payload":
            return self._of_header(left, op, right, values)
        if kind == "ct":
            return self._of_connection(about, op, values)
        return self._of_metadata(kind, about, values, negated=negated) if op != "!" else None

    def _of_header(self, left: Mapping[str, Any], op: str, right: Any, values: list[Any]) -> list[str] | None:
        """Return alternative options for a field of a header; `values` are those of the right side."""
        about, negated = left["payload"], op == "!="
        protocol, field = str(about.get("protocol")), str(about.get("field"))
        if (protocol, field) == ("tcp", "flags"):
            return (
                self._any_flag(values, negated=op == "!")
                if op in ("in", "!")
                else self._flags(left, op, values)
            )
        if op == "!":
            return None
        if isinstance(right, Mapping) and has_host_bits(right):
            # nft prints a mask and a value like that; `nft -f` would clear the bits
            return self._payload(protocol, field, values, negated=False) and (ALWAYS if negated else NEVER)
        return self._payload(protocol, field, values, negated=negated)

    def _of_connection(self, about: Mapping[str, Any], op: str, values: list[Any]) -> list[str] | None:
        """Return alternative options for what conntrack knows of a packet."""
        key, of_bits = str(about.get("key")), op in ("in", "!")
        if (op == "!" and key not in ("state", "status")) or (key == "status" and not of_bits):
            return None  # all bits of the status, of which a packet of a connection has others too
        negated = op in ("!=", "!")
        return self._found(connection_options(key, about.get("dir"), values, self.family, negated=negated))

    def _of_metadata(
        self, kind: str, about: Mapping[str, Any], values: list[Any], *, negated: bool
    ) -> list[str] | None:
        """Return alternative options for what is neither in a header nor of conntrack."""
        if kind == "meta":
            return self._meta(str(about.get("key")), values, negated=negated)
        if kind == "rt" and about.get("key") == "ipsec":
            return self._secured("out", ("forward", "output", "postrouting"), values, negated=negated)
        if kind == "fib":
            return self._found(fib_options(about, values, self.family, self.hook, negated=negated))
        if kind == "numgen" and not negated and len(values) == 1:
            chances = shares(about, values)
            return None if chances is None else NEVER if chances[0] is None else [chances[0]]
        if kind == "tcp option" and (about.get("name"), about.get("field")) == ("maxseg", "size"):
            return self._segment_size(values, negated=negated)
        return None

    def _segment_size(self, values: list[Any], *, negated: bool) -> list[str] | None:
        """Return the options for the maximum segment size that a packet names."""
        found = spans(values)
        if found is None or negated:
            return None  # to iptables, a packet that names none has another one
        self.only(["tcp"])
        return [f"-m tcpmss --mss {first}:{last}" for first, last in found]

    def _found(self, found: Alternatives | None) -> list[str] | None:
        """Return alternative options, of which one must match, for those of which maybe all must."""
        return None if found is None else self._all(found.options) if found.every else found.options

    def add_update(self, kind: str, value: Any, full: Collection[str]) -> None:
        """Add what a statement depends on that changes a set or a map: the fields, and the room for an element."""
        about = value if isinstance(value, Mapping) else {}
        parts = [about.get("elem"), about.get("data")] if kind == "map" else [about.get("elem")]
        is_full = about.get("op") != "delete" and str(about.get(kind)).removeprefix("@") in full
        counting = counting_words({kind: about})
        if counting or is_full or not all(self.has_field(one) for one in parts):
            self.hidden.append(counting or kind)

    def named(self, data: Any) -> Sequence[Any] | None:
        """Return the elements of a named set; None if they are not known."""
        return self.sets.get(data.removeprefix("@")) if isinstance(data, str) else None

    def _has_catch_all(self, right: Any) -> bool:
        """Return whether a set has an element that every packet finds (nft_set_catchall_lookup)."""
        is_set = isinstance(right, Mapping) or (isinstance(right, str) and right.startswith("@"))
        return is_set and "*" in (self._values(right) or ())

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
                [pair for pair in pairs if reads(pair[0], protocol, name)] for name in ("type", "code")
            )
            if kind and code:
                others = self.together([pair for pair in pairs if pair not in (*kind, *code)])
                options = self._icmp(protocol, [kind[0][1]], code[0][1], negated=False)
                return None if others is None or options is None else combinations([options, others])
        named = [protocol_named(value) for field, value in pairs if tells_protocol(field)]
        if not named:
            each = [self.of(field, "==", value) for field, value in pairs]
            return None if None in each else combinations(filter(None, each)) if all(each) else NEVER
        known = self.protocols
        if self.family == 6 and any(reads(field, "ip", "protocol") for field, _ in pairs):
            return NEVER
        if len(named) > 1 or not _PROTOCOL.fullmatch(named[0]) or named[0] in _ALL_PROTOCOLS:
            return None
        if known is not None and named[0] not in known:
            return NEVER
        if known is not None and len(known) > 1:
            return None
        inner = Conditions(self.sets, self.hook, self.family)
        inner.protocols = named
        each = [inner.of(field, "==", value) for field, value in pairs if not tells_protocol(field)]
        if None in each or inner.also:
            return None
        if not inner.protocols or not all(each):
            return NEVER
        return combinations([[f"-p {named[0]}"] if known is None else ALWAYS, *filter(None, each)])

    def _masked(self, left: Any, op: str, right: Any) -> list[str] | None:
        """Return the option for some bits of a mark, or some flags of TCP."""
        if op not in ("==", "!=") or not isinstance(left, list) or len(left) != 2:
            return None
        field, mask = left
        sign = "! " if op == "!=" else ""
        if reads(field, "tcp", "flags"):
            found = flag_options(mask, right, negated=bool(sign))
            if found is not None:
                self.only(["tcp"])
            return found
        if reads(field, "ip", "frag-off") and (mask, right) == (_FRAGMENT_OFFSET, 0):
            return [f"{'' if op == '!=' else '! '}-f"] if self.family == 4 else NEVER
        if field == {"ct": {"key": "state"}}:
            return self._found(masked_state(mask, right, negated=op == "!="))
        if isinstance(mask, str) and isinstance(right, str):
            return address_bits(field, mask, right, self.family, negated=bool(sign))
        marks = {"meta": "mark", "ct": "connmark"}
        name = next((marks[kind] for kind in marks if field == {kind: {"key": "mark"}}), None)
        values = self._values(right)
        if name is None or not isinstance(mask, int) or values is None:
            return None
        if not values or not all(isinstance(one, int) for one in values):
            return None
        bits = (f"{one:#x}/{mask:#x}" for one in values)
        return self._found(each(f"-m {name}", "--mark", bits, negated=bool(sign)))

    def _flags(self, left: Any, op: str, values: list[Any]) -> list[str] | None:
        """Return the options for TCP segments with just these flags, or those of one of several values."""
        each = [self._masked([left, ALL_FLAGS], op, one) for one in values]
        if None in each:
            return None
        options = [option for one in each for option in one or ()]
        return self._all(options) if op == "!=" else options

    def _any_flag(self, values: list[Any], *, negated: bool) -> list[str] | None:
        """Return the options for TCP segments with one flag or another, or with none of them."""
        flags = [tcp_flags(one) for one in values]
        if None in flags:
            return None
        self.only(["tcp"])
        combinations = ",".join(filter(None, flags))
        return [f"-m tcp {'' if negated else '! '}--tcp-flags {combinations} NONE"] if combinations else NEVER

    def _payload(self, protocol: str, field: str, values: list[Any], *, negated: bool) -> list[str] | None:
        if protocol in ("ip", "ip6"):
            if (4 if protocol == "ip" else 6) != self.family:
                return NEVER
            if field in ("saddr", "daddr"):
                return self._addresses(field, values, negated=negated)
            if field == "version" and all(isinstance(one, int) for one in values):
                return ALWAYS if (self.family in values) is not negated else NEVER
            if field == "nexthdr":
                return self._next_header(values, negated=negated)
            if field == "protocol":
                return self._l4(values, negated=negated)
            name = _HEADER_FIELDS.get((protocol, field))
            return self._header(name, values, negated=negated) if name is not None else None
        if field in ("sport", "dport") and protocol in TRANSPORTS:
            options = ports(field, values, negated=negated)
            if (
                self.protocols is not None
                and protocol not in self.protocols
                and options
                and len(options) == 1
            ):
                # no packet has both protocols; the condition stays, so that the rule is shown with it
                self.also.append(f"-p {protocol} {options[0]}")
                return ALWAYS
            self.only([protocol])
            return options
        if field in ("sport", "dport") and protocol == "th" and self.protocols:
            return ports(field, values, negated=negated)
        if field == "type" and protocol in ("icmp", "icmpv6"):
            return self._icmp(protocol, values, negated=negated)
        if (protocol, field) == ("ether", "type") and self.hook.startswith(BRIDGE):
            return self._meta("protocol", values, negated=negated)
        if (protocol, field) == ("ether", "type") and values == ["arp"] and not negated:
            return NEVER
        if (protocol, field) == ("ether", "saddr") and self.hook.removeprefix(BRIDGE) in ARRIVING:
            return self._each("-m mac", "--mac-source", map(str, values), negated=negated)
        return None

    def _icmp(self, protocol: str, kinds: list[Any], code: Any = None, *, negated: bool) -> list[str] | None:
        """Return the options for some types of ICMP, with a code if one is given."""
        if FAMILIES[protocol] != self.family:
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
        return self._found(header_options(name, values, self.family, negated=negated))

    def _each(self, match: str, flag: str, values: Iterable[str], *, negated: bool) -> list[str]:
        """Return the options for one of some values, or for none of them."""
        found = each(match, flag, values, negated=negated)
        return self._all(found.options) if negated else found.options

    def _all(self, options: list[str]) -> list[str]:
        """Return the options for several conditions that must all match."""
        if len(options) == 1:
            return options
        self.also += options
        return ALWAYS

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
        return ALWAYS

    def _next_header(self, values: list[Any], *, negated: bool) -> list[str] | None:
        """Return the option for the header that follows that of IPv6: of a packet without extension headers."""
        names = frozenset(map(protocol_named, values))
        if negated or not _EXTENSION_HEADERS.isdisjoint(names) or self._l4(values, negated=False) is None:
            return None
        return ["-m ipv6header --header protocol"]

    def _meta(self, key: str, values: list[Any], *, negated: bool) -> list[str] | None:
        if key in ("iifname", "oifname", "iif", "oif"):
            return self._found(interface_options(key, values, self.hook, negated=negated))
        if key in ("day", "hour", "time"):
            return moment_options(key, values, negated=negated)
        if key == "ipsec":
            return self._secured("in", ("prerouting", "input", "forward"), values, negated=negated)
        if key in ("iifgroup", "oifgroup"):
            return self._found(group_options(key, values, self.hook, negated=negated))
        if key in ("iiftype", "oiftype") and all(str(one) in _LOOPBACK for one in values):
            return self._found(interface_options(f"{key[:3]}name", ["lo"], self.hook, negated=negated))
        if key == "l4proto":
            return self._l4(values, negated=negated)
        if key in ("nfproto", "pkttype") and self.hook.startswith(BRIDGE):
            return None
        if key in ("nfproto", "protocol"):
            if not _NETWORKS.issuperset(map(str, values)):
                return None
            own = ("ipv4", "ip") if self.family == 4 else ("ipv6", "ip6")
            holds = any(str(one) in own for one in values)
            return ALWAYS if holds is not negated else NEVER
        if key == "length":
            return self._header(key, values, negated=negated)
        if key == "mark":
            return self._found(mark_options("mark", values, negated=negated))
        if key in ("skuid", "skgid") and (found := spans(values)) is not None:
            if self.hook == "forward":
                return NEVER  # such packets have no socket (ip_forward)
            if self.hook not in ("output", "postrouting"):
                return None  # the user of the socket that the packet is for, if the kernel looked it up early
            ids = [str(first) if first == last else f"{first}-{last}" for first, last in found]
            # to nft, a packet without a socket has no other user
            match = f"-m owner{' --socket-exists' if negated else ''}"
            return self._each(match, f"--{key[2:]}-owner", ids, negated=negated)
        if key == "pkttype" and {"host", "unicast", "broadcast", "multicast"}.issuperset(map(str, values)):
            kinds = ["unicast" if one == "host" else str(one) for one in values]
            return self._each("-m pkttype", "--pkt-type", kinds, negated=negated)
        return None

    def _secured(
        self, way: str, hooks: Collection[str], values: list[Any], *, negated: bool
    ) -> list[str] | None:
        """Return the option for packets that IPsec has decrypted, or will encrypt."""
        if self.hook not in hooks or len(values) != 1 or not isinstance(values[0], bool | int):
            return None
        return [f"-m policy --dir {way} --pol {'ipsec' if bool(values[0]) is not negated else 'none'}"]
