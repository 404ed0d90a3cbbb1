"""From the kernel's trace events to the steps of a packet.

A base chain's first event carries the packet's header, which tells whose it is; the events after it only
carry the trace's number. The laboratory's own chains stand at the head and the tail of every hook
(:data:`OWN_TABLE`): the head switches tracing on, both show the header, the mark and the interfaces there.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from tests.kernel import netlink
from tests.kernel.frames import Header, read_header
from tests.kernel.rules import Chains

OWN_TABLE = "laboratory"
#: By the number that the kernel gives them (NF_INET_PRE_ROUTING ...).
HOOKS = ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")
_HEAD_PRIORITY, _TAIL_PRIORITY, _LAST_PRIORITY = -1000, 1000, 2**31 - 1

_POLICY, _RETURN, _RULE = 1, 2, 3
_TABLE, _CHAIN, _HANDLE, _TYPE, _VERDICT, _ID = 1, 2, 3, 4, 5, 6
_NETWORK, _TRANSPORT, _IIF, _OIF, _MARK, _DEFAULT = 8, 9, 10, 12, 14, 16
_LOG_HEADER, _LOG_PAYLOAD, _LOG_PREFIX = 1, 9, 10
_VERDICTS = {
    0: "DROP",
    1: "ACCEPT",
    2: "STOLEN",
    3: "QUEUE",
    -1: "CONTINUE",
    -2: "CONTINUE",
    -3: "JUMP",
    -4: "GOTO",
    -5: "RETURN",
}


def own_rules(family: int) -> str:
    """Return the nft script that puts the laboratory's chains at the head and tail of every hook.

    What is delivered locally is swallowed at the very end, after conntrack has confirmed the connection,
    so that the host's own stack does not answer and close it.
    """
    chains = []
    for hook in HOOKS:
        for place, priority, statement in (
            ("head", _HEAD_PRIORITY, "meta nftrace set 1 accept"),
            ("tail", _TAIL_PRIORITY, "accept"),
        ):
            chains.append(
                f"chain {hook}_{place} {{\n"
                f"type filter hook {hook.lower()} priority {priority};\n{statement}\n}}\n"
            )
    chains.append(f"chain SWALLOW {{\ntype filter hook input priority {_LAST_PRIORITY};\ndrop\n}}\n")
    return f"table {'ip' if family == 4 else 'ip6'} {OWN_TABLE} {{\n{''.join(chains)}}}\n"


class Step(NamedTuple):
    """A rule that matched, the end of a user chain (`rule` None, verdict RETURN), or a policy.

    Attributes:
        rule: place in the chain from 1, None for a policy or the end of a chain.
        verdict: ACCEPT, DROP, CONTINUE, RETURN, JUMP:chain, GOTO:chain, QUEUE, STOLEN.
        legacy: the rule is one of the legacy backend, on a host with rules of both.

    """

    hook: str
    table: str
    chain: str
    rule: int | None
    verdict: str
    policy: bool = False
    legacy: bool = False

    def __str__(self) -> str:
        place = self.rule if self.rule is not None else "policy" if self.policy else "end"
        backend = "legacy " if self.legacy else ""
        return f"{backend}{self.hook} {self.table}:{self.chain}:{place}={self.verdict}"


class Sighting(NamedTuple):
    """The packet at the head or the tail of a hook."""

    hook: str
    place: Literal["head", "tail"]
    in_interface: str | None
    out_interface: str | None
    mark: int
    header: Header


@dataclass
class Tracked:
    """All that was seen of one packet.

    Attributes:
        steps: in the tables of iptables.
        dropped: the rule or policy of another table of nftables that dropped the packet, or the last copy of it.

    """

    steps: list[Step] = field(default_factory=list)
    sightings: list[Sighting] = field(default_factory=list)
    dropped: Step | None = None

    @property
    def last(self) -> Sighting | None:
        """The last sighting of it."""
        return self.sightings[-1] if self.sightings else None

    @property
    def ended(self) -> bool:
        """Whether nothing more is to come: it left, it was delivered, or a rule took it."""
        if self.dropped or any(step.verdict in ("DROP", "STOLEN", "QUEUE") for step in self.steps):
            return True
        last = self.last
        return (
            last is not None
            and last.place == "tail"
            and (last.hook == "INPUT" or (last.hook == "POSTROUTING" and last.out_interface != "lo"))
        )


#: The trace number in OUTPUT of a packet that came from outside.
_OUTSIDE = -1


@dataclass
class Tracer:
    """Sorts events into packets.

    Attributes:
        positions: place of a rule by (table, chain, handle).
        interfaces: names by index.
        chains: of the legacy dump; a legacy trace names no verdicts.
        tables: those of iptables.
        mark_legacy: the host has rules of both backends, so steps say which are of the legacy one.
        packets: by cookie; clones that a TEE target made are kept under the negative cookie.
        others: packets that the laboratory did not send, by trace number.

    """

    positions: Mapping[tuple[str, str, int], int]
    interfaces: Mapping[int, str]
    chains: Chains
    tables: Collection[str]
    mark_legacy: bool = False
    packets: dict[int, Tracked] = field(default_factory=dict)
    others: dict[int, Tracked] = field(default_factory=dict)
    _by_trace: dict[int, Tracked] = field(default_factory=dict)
    _hooks: dict[int, str] = field(default_factory=dict)
    _cookies: set[int] = field(default_factory=set)
    _outputs: dict[int, int] = field(default_factory=dict)

    def expect(self, cookie: int, *, local: bool) -> None:
        """Announce a packet that is about to be sent."""
        self._cookies = {cookie}
        self._outputs = {} if local else {cookie: _OUTSIDE}
        self.packets.clear()
        self.others.clear()
        self._by_trace.clear()
        self._hooks.clear()

    def read(self, messages: Iterable[tuple[int, bytes]]) -> None:
        """Take in trace events of nf_tables and packets of nflog."""
        for kind, body in messages:
            if kind == netlink.NFT_TRACE:
                self._event(netlink.attributes(body, 4))
            elif kind == netlink.NFLOG_PACKET:
                self._log(netlink.attributes(body, 4))

    def _owner(self, trace: int, header: Header, hook: str, table: str) -> Tracked:
        """Find whose run of a base chain begins, by what its header says."""
        cookie = header.cookie
        if cookie not in self._cookies:
            return self.others.setdefault(trace, self._looped(hook) or Tracked())
        if table == OWN_TABLE and hook == "OUTPUT" and self._outputs.setdefault(cookie, trace) != trace:
            # what came from outside does not pass OUTPUT, nor does a second packet of the host: the clone of a TEE rule
            return self.packets.setdefault(-cookie, Tracked())
        known = self._by_trace.get(trace)
        if known is not None and known is self.packets.get(-cookie):
            return known
        return self.packets.setdefault(cookie, Tracked())

    def _looped(self, hook: str) -> Tracked | None:
        """Return the packet that has just left by lo, and comes in again under another trace number."""
        for other in self.others.values():
            last = other.last
            if hook == "PREROUTING" and last and last.hook == "POSTROUTING" and last.out_interface == "lo":
                return other
        return None

    def _event(self, event: netlink.Attributes) -> None:
        table, chain = netlink.text(event[_TABLE]), netlink.text(event[_CHAIN])
        trace = int.from_bytes(event[_ID], "big")
        known = table == OWN_TABLE or table in self.tables
        if known and (_NETWORK in event or _TRANSPORT in event):
            header = read_header(event.get(_NETWORK, b""), event.get(_TRANSPORT, b""))
            if header is None:
                # of a later IPv6 fragment the kernel shows the network header's first 20 bytes as transport
                header = read_header(event.get(_TRANSPORT, b"").ljust(40, b"\0"), b"")
            if header is None:
                return
            hook, _, place = chain.partition("_")
            if not place and table == OWN_TABLE:
                return
            owner = self._by_trace[trace] = self._owner(trace, header, hook, table)
            self._hooks[trace] = hook
            if table == OWN_TABLE:
                owner.sightings.append(
                    Sighting(
                        hook,
                        "head" if place == "head" else "tail",
                        self._interface(event.get(_IIF)),
                        self._interface(event.get(_OIF)),
                        int.from_bytes(event.get(_MARK, b"\0"), "big"),
                        header,
                    )
                )
        if table == OWN_TABLE or trace not in self._by_trace:
            return
        step = self._step(event, table, chain, self._hooks[trace])
        if step is not None and known:
            self._by_trace[trace].steps.append(step)
            if step.verdict == "DROP":
                self._by_trace[trace].dropped = None
        elif step is not None and step.verdict == "DROP":
            self._by_trace[trace].dropped = step

    def _step(self, event: netlink.Attributes, table: str, chain: str, hook: str) -> Step | None:
        kind = int.from_bytes(event[_TYPE], "big")
        if kind == _POLICY:
            policy = int.from_bytes(event[_DEFAULT], "big")
            return Step(hook, table, chain, None, _VERDICTS[policy], True)
        if kind == _RETURN:
            # a base chain's end has an event of its own before that of its policy
            return None if chain in HOOKS else Step(hook, table, chain, None, "RETURN")
        verdict = netlink.attributes(event[_VERDICT])
        (code,) = struct.unpack("!i", verdict[1])
        name = _VERDICTS[code & 0xFF if code >= 0 else code]
        if 2 in verdict:
            name += f":{netlink.text(verdict[2])}"
        handle = int.from_bytes(event[_HANDLE], "big") if _HANDLE in event else None
        if handle is None:
            return None if chain in HOOKS else Step(hook, table, chain, None, "RETURN")
        return Step(hook, table, chain, self.positions.get((table, chain, handle)), name)

    def _interface(self, index: bytes | None) -> str | None:
        return self.interfaces.get(int.from_bytes(index, "big")) if index else None

    def _log(self, packet: netlink.Attributes) -> None:
        """Take in a line of the legacy trace: `TRACE: table:chain:rule|return|policy:number`."""
        words = netlink.text(packet[_LOG_PREFIX]).strip().removeprefix("TRACE: ").split(":")
        header = read_header(packet[_LOG_PAYLOAD])
        if len(words) != 4 or header is None:
            return
        table, chain, number = words[0], words[1], int(words[3])
        hook = HOOKS[packet[_LOG_HEADER][2]]
        if header.cookie not in self._cookies:
            return
        cloned = (
            self._outputs.get(header.cookie) == _OUTSIDE
            and -header.cookie in self.packets
            and hook == "OUTPUT"
        )
        owner = self.packets.setdefault(-header.cookie if cloned else header.cookie, Tracked())
        if number <= len(self.chains.targets.get((table, chain), ())):
            verdict = self.chains.verdict(table, chain, number)
            owner.steps.append(Step(hook, table, chain, number, verdict, legacy=self.mark_legacy))
        elif chain in HOOKS:
            policy = self.chains.policies.get((table, chain), "ACCEPT")
            owner.steps.append(Step(hook, table, chain, None, policy, True, legacy=self.mark_legacy))
        else:
            owner.steps.append(Step(hook, table, chain, None, "RETURN", legacy=self.mark_legacy))
