"""Passing a hook: its tables in order, connection tracking, nat, and what makes the kernel route again.

Sources: net/netfilter/nf_conntrack_core.c, net/netfilter/nf_nat_core.c, net/ipv4/netfilter.c, and
measurements.
"""

from __future__ import annotations

from itertools import pairwise

from iptsim.extensions.base import Translation
from iptsim.host import fib
from iptsim.host.namespace import NftChain
from iptsim.host.source import facing_address, select_source
from iptsim.languages import joined, later, say
from iptsim.netfilter import conntrack, hooks, nat, routing
from iptsim.netfilter.chains import Fate
from iptsim.netfilter.nftables import NftChains
from iptsim.netfilter.program import Program
from iptsim.netfilter.unseen import unseen_block
from iptsim.packet import Context, Packet, State, Unknown, address_text, find_quoted, is_icmp_error

#: Protocol number of the IPv6 fragment header, and its length in octets.
FRAGMENT, FRAGMENT_HEADER = 44, 8


class Passage(NftChains):
    """Takes packets through the hooks of a network namespace."""

    #: where the local packet that is under way leaves; OUTPUT may change it
    _way_out: fib.RouteResult
    #: the gateway to which the packet that is under way goes, None for a neighbour on the link
    _gateway: int | None = None
    #: whether nat has changed the destination of the packet that is under way, at its last hook
    _translated: bool = False
    #: the state that the question gave the packet that conntrack looked at last
    _stated: State | None = None

    def _hook(self, context: Context, hook: str) -> Fate | None:
        """Pass a hook. Returns None when the packet goes on, else its fate."""
        context.hook = hook
        programs = self.programs.get(context.packet.family, [])
        packet = context.packet
        nftables = self._nft_at(packet.family, hook)
        tracks = packet.family in self._nftables.tracked or any(program.tracks for program in programs)
        if packet.fragment is not None and self._defragments(hook, tracks, packet.family):
            packet.fragment = None
            self._note(
                hook,
                "CONTINUE",
                say("the kernel puts the fragments together first; rules see the whole packet"),
                "defragmented",
            )
        if tracks and packet.extension_headers and hook in (hooks.PREROUTING, hooks.OUTPUT):
            _join_atomic_fragment(packet)
        if hook == hooks.PREROUTING and (fate := self._unseen(context, programs)):
            return fate
        for chain in self._base_chains(hook, programs, nftables):
            before = (packet.src, packet.dst, packet.mark, packet.tos)
            table, fate = chain.table, None
            if table == hooks.CONNTRACK:
                if tracks:
                    self._track(context)
            elif chain.program is not None:
                fate = self._table(context, chain.program, table)
            elif chain.nftables is not None:
                fate = self._pass_chain(context, chain.nftables)
            else:
                fate = self._nat(context, programs, nftables)
                self._translated = packet.dst != before[1]
            if fate is not None:
                return fate
            if hook == hooks.OUTPUT and table in ("mangle", "nat"):
                fate = self._reroute(context, before, table == "nat")
                if fate is not None:
                    return fate
        return self._unseen(context, programs) if hook == hooks.FORWARD else None

    def _unseen(self, context: Context, programs: list[Program]) -> Fate | None:
        """Go both ways where a table that the source does not show may block the packet."""
        flow = context.packet.flow
        if self.namespace is not self.host.namespace or any(flow == one.reply for one in self.connections):
            return None
        found = unseen_block(self.host, [program.ruleset for program in programs], context)
        if found is None or not self._choose(found.unknown, "unseen", found.words):
            return None
        return self._kernel_drop("rules-not-shown", found.note, context.hook)

    def _base_chains(
        self, hook: str, programs: list[Program], nftables: list[NftChain]
    ) -> list[hooks.BaseChain]:
        """Return what a packet passes at a hook, in order.

        Of equal priority the kernel calls first what was registered last (nf_hook_entries_grow), and no file
        tells which of two backends that was: where it can matter, either order is a way of its own.
        """
        chains = hooks.base_chains(hook, programs, nftables)
        for place, (one, other) in enumerate(pairwise(chains)):
            if one.priority == other.priority and one.program is not None and other.program is not None:
                first, second = self._in_order(hook, one.table, [one.program, other.program])
                chains[place : place + 2] = [one._replace(program=first), other._replace(program=second)]
        return chains

    def _in_order(self, hook: str, table: str, programs: list[Program]) -> list[Program]:
        """Return the rules of several backends in the order in which the kernel passes them."""
        if len(programs) < 2 or any(program.is_idle(table, hook) for program in programs):
            return programs
        first = programs[0].backend
        stated = self.world.fact("first_backend")
        if stated is None:
            place = f"{table} {hook}"
            unknown = Unknown(
                say("whose rules come first in {place}, those of nf_tables or of legacy", place=place),
                later("--set first_backend=nf_tables, or legacy: those that were loaded last come first"),
                (table, hook),
            )
            words = say("the {backend} rules of {place} come first", backend=first, place=place)
            stated = first if self._choose(unknown, "backend", words) else ""
        return programs if stated == first else programs[::-1]

    def _defragments(self, hook: str, tracks: bool, family: int) -> bool:
        """Tell whether fragments are joined before a hook: by conntrack, in IPv4 also for local delivery."""
        if tracks:
            return hook in (hooks.PREROUTING, hooks.OUTPUT)
        return family == 4 and hook == hooks.INPUT

    def _track(self, context: Context) -> None:
        if context.state is not None:
            return
        packet = context.packet
        forced = self._stated = self.world.forced_state()
        if context.notrack:
            context.state = "UNTRACKED"
            return
        if forced is not None:
            found: State | None = forced
        elif is_icmp_error(packet):
            found = self._find_quoted(context)
        else:
            found = conntrack.find(packet, self.connections, context.zone)
        if found is None:
            loose = self.namespace.sysctl_number("net.netfilter.nf_conntrack_tcp_loose", 1) != 0
            found = conntrack.first_state(packet, zone=context.zone, tcp_loose=loose)
        context.state, context.connection, context.direction = found
        if found.connection is None:
            return
        if found.state == "ESTABLISHED" and found.direction == "reply":
            found.connection.status |= {"SEEN_REPLY"}
        if context.helper and found.state == "NEW":
            found.connection.helper = context.helper

    def _find_quoted(self, context: Context) -> State | None:
        """Return the state of an ICMP error by the packet that it quotes, None where that is none's."""
        packet = context.packet
        if packet.quoted is not None:
            return find_quoted(packet, packet.quoted, self.connections, context.zone)
        self.notes.append(
            say(
                "Nothing says which packet the ICMP error is about, so it belongs to no known connection and its "
                "state is INVALID; quote that packet: --set inner.dst=ADDRESS --set inner.dport=PORT."
            )
        )
        return None

    def _confirm(self, context: Context) -> None:
        connection = context.connection
        if context.direction == "reply":
            # an answer to a packet that was rejected does not make its connection known
            return
        if connection is not None and "CONFIRMED" not in connection.status:
            connection.status |= {"CONFIRMED"}
            self.connections.append(connection)

    def _nat(self, context: Context, programs: list[Program], nftables: list[NftChain]) -> Fate | None:
        connection = context.connection
        if connection is None or context.state in (None, "INVALID", "UNTRACKED"):
            return None
        if connection.status & {"SNAT", "DNAT"} and not self._translates(programs):
            return None
        side = hooks.NAT_SIDE[context.hook]
        asks = context.state in ("NEW", "RELATED") and not is_icmp_error(context.packet)
        if asks and side not in connection.nat_done:
            for chain in hooks.nat_chains(
                context.hook, self._in_order(context.hook, "nat", programs), nftables
            ):
                fate = None
                if chain.nftables is not None:
                    fate = self._pass_chain(context, chain.nftables)
                elif chain.program is not None:
                    fate = self._table(context, chain.program, "nat")
                if fate is not None:
                    return fate
                if side in connection.nat_done:
                    break
            connection.nat_done |= {side}
        if connection.status & {"SNAT", "DNAT"} and conntrack.is_icmp_redirect(context.packet):
            # nf_nat_icmp_reply_translation: the way that it tells of is not the sender's
            note = say("an ICMP redirect for a translated connection is not passed on")
            return self._kernel_drop("nat-failed", note, context.hook)
        wrong = context.packet.checksum_error and _has_nat(programs, nftables)
        if wrong and is_icmp_error(context.packet):
            return self._kernel_drop("nat-failed", say("its checksum is wrong"), context.hook)
        if not nat.translate(context.packet, connection, side, context.direction):
            return self._kernel_drop("nat-failed", say("its GRE header can't be translated"), context.hook)
        return None

    def _translates(self, programs: list[Program]) -> bool:
        """Tell whether the kernel translates packets of a translated connection: while any nat chain is there.

        A dump alone may have been saved without its table nat, and nftables may have nat chains of its own.
        """
        if self.host.inferred or any("nat" in program.ruleset.tables for program in programs):
            return True
        unknown = Unknown(
            say("whether the host has a nat chain that no file shows"), later("the table nat in the dump")
        )
        return self._choose(unknown, "nat", say("the host has a nat chain"))

    def _translate(self, context: Context, wanted: Translation) -> bool:
        """Carry out what a nat target asks for. Returns False when there is no address to use."""
        connection = context.connection
        if connection is None:
            return True
        addresses = wanted.addresses
        if addresses is None and wanted.target in ("MASQUERADE", "REDIRECT"):
            own = self._own_address(context, wanted.target)
            if own is None:
                return False
            addresses = (own, own)
        known = [*self.connections, *(entry.connection for entry in self.host.conntrack)]
        nat.set_up(connection, context.packet, wanted, addresses, known)
        connection.nat_done |= {wanted.side}
        nat.translate(context.packet, connection, wanted.side, context.direction)
        return True

    def _own_address(self, context: Context, target: str) -> int | None:
        packet = context.packet
        if target == "MASQUERADE":
            device = context.out_interface or ""
            next_hop = self._gateway if self._gateway is not None else packet.dst
            return select_source(self.namespace, packet.family, device, packet.dst, gateway=next_hop)
        if context.hook == hooks.OUTPUT:
            return 0x7F000001 if packet.family == 4 else 1
        interface = self.namespace.interfaces.get(context.in_interface or "")
        return facing_address(interface, packet.family, packet.dst) if interface else None

    def _lookup_output(self, packet: Packet, source: int | None) -> fib.RouteResult | None:
        found = fib.lookup(
            self.namespace, packet.family, packet.dst, source=source, mark=packet.mark, proto=packet.proto,
            sport=packet.sport, dport=packet.dport, tos=packet.tos, uid=packet.uid,
        )  # fmt: skip
        return self._next_hop(found, packet) if found.type else None

    def _lookup_again(self, packet: Packet) -> fib.RouteResult | None:
        """Look up the route of a packet that the rules have changed; IPv4 forgets its owner (ip_route_me_harder)."""
        own = packet.family == 6 or fib.address_type(self.namespace, 4, packet.src) in ("LOCAL", "UNICAST")
        found = fib.lookup(
            self.namespace, packet.family, packet.dst, source=packet.src if own else None, mark=packet.mark,
            proto=packet.proto, sport=packet.sport, dport=packet.dport,
            tos=packet.tos, uid=packet.uid if packet.family == 6 else None,
        )  # fmt: skip
        return self._next_hop(found, packet) if found.type else None

    def _next_hop(self, found: fib.RouteResult, packet: Packet) -> fib.RouteResult:
        """Return a routing decision with one next hop; of several the kernel picks one by a hash."""
        ways = found.ways
        wanted = self.world.fact("next_hop")
        if wanted is not None:
            ways = tuple(way for way in ways if wanted in (way.device, _gateway_text(way))) or ways
        for way in ways[:-1]:
            unknown = Unknown(
                say(
                    "which next hop the kernel picks by its hash of the addresses: {hops}",
                    hops=joined(" or ", map(_hop_text, found.ways)),
                ),
                f"--set next_hop={way.device}",
                (found.route, packet.src, packet.dst, way.device, way.gateway),
            )
            if self._choose(unknown, "next_hop", say("the next hop is {hop}", hop=_hop_text(way))):
                return way
        return ways[-1]

    def _bad_output(self, packet: Packet, device: str | None) -> Fate | None:
        if packet.family == 4 and packet.src in routing.LOOPBACK4 and device not in (None, "lo"):
            local = fib.address_type(self.namespace, 4, packet.dst) == "LOCAL"
            if not local and not routing.route_localnet(self.namespace, device or ""):
                return self._kernel_drop(
                    "martian",
                    say(
                        "a packet from 127.0.0.0/8 may not leave: route_localnet is 0 on {device}",
                        device=device,
                    ),
                )
        return None

    def _note_policy(self, words: str) -> None:
        """Say which policy rule chose the route, where it is no everyday one."""
        if words:
            self._note("ROUTING", "CONTINUE", words, "policy-routing")

    def _reroute(self, context: Context, before: tuple[int, int, int, int], dnat: bool) -> Fate | None:
        """Route a local packet again when OUTPUT changed what routing looks at."""
        packet = context.packet
        after = (packet.src, packet.dst, packet.mark, packet.tos)
        if before == after or (dnat and before[1] == packet.dst):
            return None
        found = self._lookup_again(packet)
        if found is None or found.type in ("unreachable", "prohibit", "blackhole"):
            return self._kernel_drop("no-route", say("the changed packet has no route"))
        if (bad := self._bad_output(packet, found.device)) is not None:
            return bad
        if found != self._way_out:
            self._note_policy(routing.policy_words(found))
        self._way_out = found
        return None


def _gateway_text(way: fib.RouteResult) -> str | None:
    return None if way.gateway is None else address_text(way.gateway_family or 4, way.gateway)


def _hop_text(way: fib.RouteResult) -> str:
    """Return a next hop in words."""
    gateway = _gateway_text(way)
    return (
        way.device or ""
        if gateway is None
        else say("{gateway} on {device}", gateway=gateway, device=way.device)
    )


def _has_nat(programs: list[Program], nftables: list[NftChain]) -> bool:
    """Tell whether there are nat chains."""
    tables = any("nat" in program.ruleset.tables for program in programs)
    return tables or any(chain.type == "nat" for chain in nftables)


def _join_atomic_fragment(packet: Packet) -> None:
    """Take away the fragment header of a packet in one piece, as conntrack does (nf_ct_frag6_gather)."""
    kept = tuple(header for header in packet.extension_headers if header[0] != FRAGMENT)
    packet.length -= FRAGMENT_HEADER * (len(packet.extension_headers) - len(kept))
    packet.extension_headers = kept
