"""Rules of nftables in the notation of iptables, where both mean the same to the kernel; see libnftables-json(5).

A condition without an equivalent in iptables is unknown. A chain with statements that change packets, except by nat, or
whose effect is unknown, has no translation at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any, Literal

from iptsim.extensions.base import quote
from iptsim.extensions.targets.nfqueue import queue_words
from iptsim.host.namespace import NftRule
from iptsim.packet import Family

#: The statement of a pasted text for rules that it does not show.
GAP = "gap"
#: Statements that only observe.
_QUIET = frozenset({"comment", "counter", "log"})
_VERDICTS = {"accept": "ACCEPT", "drop": "DROP", "return": "RETURN"}
#: What `reject with` replies, in iptables' words.
REJECTS: dict[Family, dict[str, str]] = {
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
    },
}
#: ICMP types that a rule may check without a code, by nft's names.
_ICMP = {
    "echo-reply": 0, "destination-unreachable": 3, "source-quench": 4, "redirect": 5, "echo-request": 8,
    "router-advertisement": 9, "router-solicitation": 10, "time-exceeded": 11, "parameter-problem": 12,
    "timestamp-request": 13, "timestamp-reply": 14,
}  # fmt: skip
_ICMPV6 = {
    "destination-unreachable": 1, "packet-too-big": 2, "time-exceeded": 3, "parameter-problem": 4,
    "echo-request": 128, "echo-reply": 129, "mld-listener-query": 130, "mld-listener-report": 131,
    "mld-listener-done": 132, "mld-listener-reduction": 132, "nd-router-solicit": 133, "nd-router-advert": 134,
    "nd-neighbor-solicit": 135, "nd-neighbor-advert": 136, "nd-redirect": 137, "mld2-listener-report": 143,
}  # fmt: skip
#: Protocols with ports, by nft's names.
_TRANSPORTS = frozenset({"tcp", "udp", "sctp", "dccp"})
_STATES = frozenset({"invalid", "established", "related", "new", "untracked"})
#: Translations of nat: iptables' target, and its option for addresses and ports.
_TRANSLATIONS = {
    "dnat": ("DNAT", "--to-destination"),
    "snat": ("SNAT", "--to-source"),
    "masquerade": ("MASQUERADE", "--to-ports"),
    "redirect": ("REDIRECT", "--to-ports"),
}
#: Flags of a translation that do not affect which address it is.
_PORT_FLAGS = frozenset({"random", "fully-random"})
#: The maximum number of alternatives of a rule, and of ports in one `-m multiport`.
_MOST, _PORTS = 512, 7
#: A condition that no packet of the family satisfies, and one that every packet satisfies.
_NEVER: list[str] = []
_ALWAYS = [""]


class UntranslatableError(Exception):
    """A chain has a statement without a translation."""


class Translator:
    """Translates the rules of one table.

    Args:
        rules: the statements of each rule, by chain.
        sets: the elements of named sets and maps, except those whose elements change.
        hook: the hook of the base chain.
        nat: whether the base chain is one of type nat.
    """

    def __init__(
        self,
        rules: Mapping[str, Sequence[Sequence[dict[str, Any]]]],
        sets: Mapping[str, Sequence[Any]],
        hook: str,
        *,
        nat: bool = False,
    ) -> None:
        self.rules, self.sets, self.hook, self.nat = rules, sets, hook, nat

    def of(self, base: str, family: Family) -> tuple[NftRule, ...] | None:
        """Return the rules of a base chain and of the chains that it calls; None if one has no translation."""
        chains, found = [base], []
        try:
            for chain in _growing(chains):
                position = 0
                for statements in self.rules.get(chain, ()):
                    if (gap := gap_of(statements)) is not None:
                        if self.nat:
                            return None  # they may translate the packet
                        found.append(NftRule(chain, 0, "", gap=gap))
                        continue
                    position += 1
                    for words, hidden, called in _Rule(self, family).read(statements):
                        if called and called not in chains:
                            chains.append(called)
                        found.append(NftRule(chain, position, words, hidden, called))
        except UntranslatableError:
            return None
        return tuple(found)


def gap_of(statements: Sequence[Mapping[str, Any]]) -> Literal["some", "all"] | None:
    """Return what a placeholder of a pasted text represents: "some" or "all" rules of its chain; None for a rule."""
    gap = statements[0].get(GAP) if statements else None
    return None if not isinstance(gap, str) else "all" if gap == "all" else "some"


def _growing(names: list[str]) -> Iterator[str]:
    """Yield the names, including those that are added during iteration."""
    at = 0
    while at < len(names):
        yield names[at]
        at += 1


class _Rule:
    """Translates one rule for one address family."""

    def __init__(self, table: Translator, family: Family) -> None:
        self.table, self.family = table, family
        #: for each condition, alternative options, one of which must match
        self.conditions: list[list[str]] = []
        self.hidden: list[str] = []
        self.protocols: list[str] | None = None

    def read(self, statements: Sequence[dict[str, Any]]) -> Iterator[tuple[str, str, str]]:
        """Yield the alternatives of a rule: its options, unknown conditions, and the chain that it calls.

        Raises:
            UntranslatableError: a statement has no translation.
        """
        target: list[tuple[list[str], str, str]] = []
        for statement in statements:
            for key, value in statement.items():
                if key in _QUIET or (key == "mangle" and _is_trace(value)):
                    continue
                if key == "match":
                    self._match(value)
                elif key == "limit":
                    self.hidden.append("limit")
                elif key == "vmap":
                    target += self._vmap(value)
                elif key != "continue":
                    target.append(([], *self._verdict(key, value)))
        protocol = [[f"-p {name}" for name in self.protocols]] if self.protocols is not None else []
        hidden = " ".join(self.hidden)
        made = 0
        for more, verdict, called in target:
            for parts in product(*protocol, *self.conditions, *([more] if more else [])):
                made += 1
                if made > _MOST:
                    raise UntranslatableError
                yield " ".join(filter(None, (*parts, verdict))), hidden, called

    # -- statements --------------------------------------------------------------------------------

    def _verdict(self, key: str, value: Any) -> tuple[str, str]:
        """Return the target of a verdict, and the chain that it calls."""
        if key in _VERDICTS:
            return f"-j {_VERDICTS[key]}", ""
        if key in ("jump", "goto") and isinstance(value, Mapping) and value.get("target"):
            chain = str(value["target"])
            if chain in ("ACCEPT", "DROP", "REJECT", "RETURN"):
                raise UntranslatableError
            return f"{'-j' if key == 'jump' else '-g'} {chain}", chain
        if key == "reject" and not self.table.nat:
            return f"-j REJECT{self._reject(value)}", ""
        if key in _TRANSLATIONS and self.table.nat:
            return self._translation(key, value), ""
        if key == "queue" and not self.table.nat and (words := queue_words(value)) is not None:
            return words, ""
        raise UntranslatableError

    def _translation(self, key: str, value: Any) -> str:
        """Return the target that translates addresses or ports as a statement does."""
        about = value if isinstance(value, Mapping) else {}
        flags = about.get("flags", ())
        if value not in (None, about) or not _PORT_FLAGS.issuperset(
            [flags] if isinstance(flags, str) else flags
        ):
            raise UntranslatableError
        if about.get("family") not in (None, "ip" if self.family == 4 else "ip6"):
            self.conditions.append(_NEVER)
        target, option = _TRANSLATIONS[key]
        address = _address(about["addr"]) if "addr" in about else ""
        port = _port_range(about["port"]) if "port" in about else ""
        # netmap, and addresses from a map
        if (
            address is None
            or "/" in address
            or port is None
            or (key in ("dnat", "snat")) is not bool(address)
        ):
            raise UntranslatableError
        if port and not (self.protocols and _TRANSPORTS.issuperset(self.protocols)):
            raise UntranslatableError
        if self.family == 6 and address and port:
            address = f"[{address}]".replace("-", "]-[")
        to = f"{address}:{port}" if address and port else address or port
        return f"-j {target} {option} {to}" if to else f"-j {target}"

    def _reject(self, value: Any) -> str:
        if not isinstance(value, Mapping) or not value:
            return ""
        if value.get("type") == "tcp reset":
            if self.protocols is None:
                self.protocols = ["tcp"]  # nft adds this condition itself
            return " --reject-with tcp-reset"
        if value.get("type") == ("icmpv6" if self.family == 4 else "icmp"):
            # nft adds a condition on the family, which it does not list (stmt_reject_gen_dependency)
            self.conditions.append(_NEVER)
        kind = REJECTS[self.family].get(str(value.get("expr")))
        return f" --reject-with {kind}" if kind else ""

    def _vmap(self, value: Any) -> list[tuple[list[str], str, str]]:
        """Return the elements of a verdict map: options, target, called chain."""
        if not isinstance(value, Mapping):
            raise UntranslatableError
        data = value.get("data")
        elements = data.get("set") if isinstance(data, Mapping) else self._named(data)
        key = value.get("key")
        if elements is None or not isinstance(key, Mapping):
            raise UntranslatableError
        self._imply_protocol(key)
        found = []
        for element in elements:
            if not isinstance(element, list) or len(element) != 2 or not isinstance(element[1], Mapping):
                raise UntranslatableError
            before = self.protocols
            options = self._options(key, "==", _plain(element[0]))
            if options is None or self.protocols != before:
                raise UntranslatableError
            for verdict, inner in element[1].items():
                if verdict != "continue" and options:
                    found.append((options, *self._verdict(verdict, inner)))
        return found

    def _imply_protocol(self, key: Mapping[str, Any]) -> None:
        """Restrict the rule to the protocol whose port a map looks up."""
        payload = key.get("payload")
        if isinstance(payload, Mapping) and payload.get("protocol") in _TRANSPORTS:
            self._only([payload["protocol"]])

    # -- conditions --------------------------------------------------------------------------------

    def _match(self, value: Any) -> None:
        options = None
        if isinstance(value, Mapping):
            options = self._options(value.get("left"), str(value.get("op", "==")), value.get("right"))
        if options is None:
            self.hidden.append(_shown(value))
        else:
            self.conditions.append(options)

    def _options(self, left: Any, op: str, right: Any) -> list[str] | None:
        """Return alternative options, one of which must match: empty if no packet can match, None if unknown."""
        if not isinstance(left, Mapping) or op not in ("==", "!=", "in"):
            return None
        if "&" in left:
            return self._masked(left["&"], op, right)
        (kind, about), *more = left.items() if left else (("", None),)
        if more or not isinstance(about, Mapping):
            return None
        if isinstance(right, list) and op != "in":
            return None  # all bits of a mask at once
        negated = op == "!="
        values = self._values(right)
        if values is None or (negated and not values):
            return None
        if kind == "payload":
            return self._payload(str(about.get("protocol")), str(about.get("field")), values, negated=negated)
        if kind == "meta":
            return self._meta(str(about.get("key")), values, negated=negated)
        if kind == "ct" and "dir" not in about:
            return self._tracked(str(about.get("key")), values, negated=negated)
        if kind == "fib" and about.get("result") == "type" and len(values) == 1:
            return self._fib(about.get("flags"), str(values[0]), negated=negated)
        return None

    @staticmethod
    def _masked(left: Any, op: str, right: Any) -> list[str] | None:
        """Return the option for some bits of a mark."""
        marks = {"meta": "mark", "ct": "connmark"}
        if op not in ("==", "!=") or not isinstance(left, list) or len(left) != 2:
            return None
        field, mask = left
        name = next((marks[kind] for kind in marks if field == {kind: {"key": "mark"}}), None)
        if name is None or not isinstance(mask, int) or not isinstance(right, int):
            return None
        return [f"-m {name} {'! ' if op == '!=' else ''}--mark {right:#x}/{mask:#x}"]

    def _named(self, data: Any) -> Sequence[Any] | None:
        return self.table.sets.get(data.removeprefix("@")) if isinstance(data, str) else None

    def _values(self, right: Any) -> list[Any] | None:
        if isinstance(right, str) and right.startswith("@"):
            found = self._named(right)
            return None if found is None else [_plain(one) for one in found]
        if isinstance(right, Mapping) and "set" in right:
            inner = right["set"]
            return [_plain(one) for one in (inner if isinstance(inner, list) else [inner])]
        return list(right) if isinstance(right, list) else [right]

    def _only(self, names: Iterable[str]) -> None:
        """Restrict the rule to some protocols."""
        wanted = list(names)
        known = self.protocols
        self.protocols = wanted if known is None else [name for name in known if name in wanted]

    def _payload(self, protocol: str, field: str, values: list[Any], *, negated: bool) -> list[str] | None:
        if protocol in ("ip", "ip6"):
            if (4 if protocol == "ip" else 6) != self.family:
                return _NEVER
            if field in ("saddr", "daddr"):
                return self._addresses(field, values, negated=negated)
            if field in ("protocol", "nexthdr"):
                # behind extension headers, nft compares the first of them
                return self._l4(values, negated=negated) if self.family == 4 else None
            return None
        if field in ("sport", "dport") and protocol in _TRANSPORTS:
            self._only([protocol])
            return _ports(field, values, negated=negated)
        if field in ("sport", "dport") and protocol == "th" and self.protocols:
            return _ports(field, values, negated=negated)
        if field == "type" and protocol in ("icmp", "icmpv6"):
            if (4 if protocol == "icmp" else 6) != self.family:
                return _NEVER
            known = _ICMP if protocol == "icmp" else _ICMPV6
            numbers = [one if isinstance(one, int) else known.get(str(one)) for one in values]
            if negated or None in numbers:
                return None
            self._only([protocol])
            flag = "-m icmp --icmp-type" if protocol == "icmp" else "-m icmp6 --icmpv6-type"
            return [f"{flag} {number}" for number in numbers]
        return None

    def _addresses(self, field: str, values: list[Any], *, negated: bool) -> list[str] | None:
        found = [_address(one) for one in values]
        if None in found:
            return None
        side = "src" if field == "saddr" else "dst"
        flag = "-s" if field == "saddr" else "-d"
        if not negated:
            return [
                f"-m iprange --{side}-range {one}" if one and "-" in one else f"{flag} {one}" for one in found
            ]
        if len(found) == 1 and found[0] and "-" not in found[0]:
            return [f"! {flag} {found[0]}"]
        if any(one is None or "-" not in one for one in found):
            return None
        return [" ".join(f"-m iprange ! --{side}-range {one}" for one in found)]

    def _l4(self, values: list[Any], *, negated: bool) -> list[str] | None:
        names = ["ipv6-icmp" if str(one) == "icmpv6" else str(one) for one in values]
        if negated:
            return [f"! -p {names[0]}"] if len(names) == 1 and self.protocols is None else None
        self._only("icmpv6" if name == "ipv6-icmp" else name for name in names)
        return _ALWAYS

    def _meta(self, key: str, values: list[Any], *, negated: bool) -> list[str] | None:
        if key in ("iifname", "oifname", "iif", "oif"):
            return self._interface(key, values, negated=negated)
        if key == "l4proto":
            return self._l4(values, negated=negated)
        if key in ("nfproto", "protocol"):
            own = ("ipv4", "ip") if self.family == 4 else ("ipv6", "ip6")
            holds = any(str(one) in own for one in values)
            return _ALWAYS if holds is not negated else _NEVER
        if key == "mark" and len(values) == 1 and isinstance(values[0], int):
            return [f"-m mark {'! ' if negated else ''}--mark {values[0]:#x}"]
        if (
            key == "pkttype"
            and len(values) == 1
            and values[0] in ("host", "unicast", "broadcast", "multicast")
        ):
            kind = "unicast" if values[0] == "host" else values[0]
            return [f"-m pkttype {'! ' if negated else ''}--pkt-type {kind}"]
        return None

    def _interface(self, key: str, values: list[Any], *, negated: bool) -> list[str] | None:
        arriving = key.startswith("i")
        # forwarded packets keep their input interface in postrouting (Linux 5.7 and later)
        there: tuple[str, ...] = ("prerouting", "input", "forward", "postrouting")
        there = there if arriving else ("forward", "output", "postrouting")
        names = [str(one) for one in values]
        if self.table.hook not in there or any(not name or name.endswith("+") for name in names):
            return None
        flag = "-i" if arriving else "-o"
        names = [name[:-1] + "+" if name.endswith("*") else name for name in names]
        if any(len(name) > 15 or "*" in name for name in names):
            return None
        if negated:
            return [f"! {flag} {quote(names[0])}"] if len(names) == 1 else None
        return [f"{flag} {quote(name)}" for name in names]

    def _tracked(self, key: str, values: list[Any], *, negated: bool) -> list[str] | None:
        names = [str(one) for one in values]
        if key == "state" and all(name in _STATES for name in names) and (not negated or len(names) == 1):
            return [f"-m conntrack {'! ' if negated else ''}--ctstate {','.join(names).upper()}"]
        if key == "status" and len(names) == 1 and names[0] in ("dnat", "snat"):
            return [f"-m conntrack {'! ' if negated else ''}--ctstate {names[0].upper()}"]
        if key == "mark" and len(values) == 1 and isinstance(values[0], int):
            return [f"-m connmark {'! ' if negated else ''}--mark {values[0]:#x}"]
        return None

    @staticmethod
    def _fib(flags: Any, kind: str, *, negated: bool) -> list[str] | None:
        sides = flags if isinstance(flags, list) else [flags]
        if sides not in (["saddr"], ["daddr"]) or kind not in ("local", "broadcast", "multicast", "unicast"):
            return None
        side = "--src-type" if sides == ["saddr"] else "--dst-type"
        return [f"-m addrtype {'! ' if negated else ''}{side} {kind.upper()}"]


def _plain(value: Any) -> Any:
    """Return an element of a set without its counter or comment."""
    if isinstance(value, Mapping) and "elem" in value:
        inner = value["elem"]
        return inner.get("val") if isinstance(inner, Mapping) else inner
    return value


def _is_trace(value: Any) -> bool:
    key = value.get("key") if isinstance(value, Mapping) else None
    meta = key.get("meta") if isinstance(key, Mapping) else None
    return isinstance(meta, Mapping) and meta.get("key") in ("nftrace", "priority")


def _address(value: Any) -> str | None:
    """Return an address, prefix or range for iptables."""
    if isinstance(value, str):
        return (
            value if value and not value.startswith("@") and value[0] in "0123456789abcdefABCDEF:" else None
        )
    if isinstance(value, Mapping) and isinstance(value.get("prefix"), Mapping):
        return f"{value['prefix'].get('addr')}/{value['prefix'].get('len')}"
    if isinstance(value, Mapping) and isinstance(value.get("range"), list):
        first, last = value["range"]
        return f"{first}-{last}"
    return None


def _port_range(value: Any) -> str | None:
    """Return a port or a range of ports for a target of nat."""
    if isinstance(value, int):
        return str(value)
    found = value.get("range") if isinstance(value, Mapping) else None
    if isinstance(found, list) and len(found) == 2 and all(isinstance(one, int) for one in found):
        return f"{found[0]}-{found[1]}"
    return None


def _ports(field: str, values: list[Any], *, negated: bool) -> list[str] | None:
    """Return options for ports; a range counts as two ports of a `-m multiport`."""
    ports: list[str] = []
    for one in values:
        if isinstance(one, Mapping) and isinstance(one.get("range"), list):
            ports.append(":".join(map(str, one["range"])))
        elif isinstance(one, int):
            ports.append(str(one))
        else:
            return None
    if negated and len(ports) > _PORTS:
        return None
    sign = "! " if negated else ""
    return [
        f"-m multiport {sign}--{field}s {','.join(ports[at : at + _PORTS])}"
        for at in range(0, len(ports), _PORTS)
    ]


def _shown(value: Any) -> str:
    """Return a condition that is not translated, for a message."""
    left = value.get("left") if isinstance(value, Mapping) else None
    words: list[str] = []
    for kind, about in left.items() if isinstance(left, Mapping) else ():
        words.append(str(kind))
        if isinstance(about, Mapping):
            words += [
                str(about[name]) for name in ("protocol", "key", "field") if isinstance(about.get(name), str)
            ]
    return " ".join(words) or "match"
