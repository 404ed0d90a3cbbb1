"""What the rules of a dump reveal about their host: bridges and their subnets, containers, ports.

Docker, Podman, libvirt and similar software write rules of well-known forms, quoted below where they are read.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from ipaddress import IPv4Network

from iptsim.addresses import BITS, is_loopback
from iptsim.dump.chain_graph import ChainGraph
from iptsim.dump.rule import Plan, Rule
from iptsim.dump.ruleset import Ruleset
from iptsim.extensions.matches.addrtype import Addrtype4, Addrtype6
from iptsim.extensions.targets.dnat import Snat
from iptsim.extensions.verdicts import TRANSLATING_SOURCE
from iptsim.host.containers import PublishedPort
from iptsim.host.docker_defaults import DEFAULT_BRIDGE, NFT_TABLE, OWN_BRIDGES
from iptsim.host.members import (
    Member,
    Members,
    Prefix,
    as_prefix,
    asked_prefix,
    destination_port,
    family_of,
    forwarded_to,
    prefix_of,
)
from iptsim.host.nft_chains import NftRuleset
from iptsim.host.nft_rulesets import ruleset_of
from iptsim.host.own_addresses import own_addresses, trusted_interfaces

_KUBERNETES = re.compile(r"KUBE-|cali-|CNI-")
#: Chains that dockerd creates.
_DOCKER_CHAIN = re.compile(r"DOCKER(?!-USER$).*")
#: Conventional names of bridges.
BRIDGE = re.compile(r"(docker|br|virbr|podman|cni|lxcbr|lxdbr|vmbr|cbr)[-_0-9a-z]*")
#: Conventional names of external interfaces.
_OUTSIDE = re.compile(
    r"(eth|en|wl|ww|bond|team|venet)[0-9a-z]+|em[0-9]+|p[0-9]+p[0-9]+|wan[0-9]?|pppoe-[0-9a-z]+"
)
#: Conventional names of VLANs, of cards that are rarely the external one, and of the bridge of a Proxmox host that has
#: the card as a port (Proxmox VE Administration Guide).
_PERHAPS_OUTSIDE = re.compile(r"(eth|en|bond|team)[0-9a-z]+\.[0-9]+|(vlan|net|ib|usb)[0-9]+|vmbr0")
#: Conventional names of tunnels.
_TUNNEL = re.compile(r"(tun|tap|ppp|wg)[-_0-9a-z]*")
_INTERFACES = frozenset({"in_interface", "out_interface"})
_TRANSLATING = ("DNAT", "SNAT", "MASQUERADE")


class Evidence:
    """What the rules reveal.

    Attributes:
        subnets: by bridge, in the order of the rules.
        links: the subnets behind every other interface.
        tunnels: likewise, but guessed: masqueraded subnets are assigned to the only tunnel.
        forwards_to_lan: the guess is the subnet of addresses to which ports are forwarded.
        guessed_bridge: a bridge whose subnet is guessed likewise.
        lan: the subnet to which ports are forwarded, if rules name no interface but the external one.
        host_addresses: addresses of the host itself.
        interfaces: names of all interfaces, in the order of the rules.
        internal / isolated / masqueraded: bridges without external access; bridges whose members may not
            talk to each other; bridges whose members are masqueraded.
        chains: names of all chains.
        ruled_by_docker: interfaces named in Docker's own chains, or in jumps to those.
        userland_proxy: whether Docker's rules leave loopback to docker-proxy; None if there are no such rules.
    """

    def __init__(self, rulesets: Iterable[Ruleset], nftables: NftRuleset | None = None) -> None:
        self.subnets: dict[str, list[Prefix]] = {}
        self.links: dict[str, list[Prefix]] = {}
        self.tunnels: dict[str, list[Prefix]] = {}
        self.forwards_to_lan = False
        self.guessed_bridge: str | None = None
        self._members = Members()
        self.host_addresses: list[Member] = []
        self.interfaces: dict[str, None] = {}
        self.internal: set[str] = set()
        self.isolated: set[str] = set()
        self.masqueraded: set[str] = set()
        self.chains: set[str] = set()
        #: the rules are those of listings, which may not show interfaces
        self.listed = False
        self.ruled_by_docker: set[str] = set()
        self.userland_proxy: bool | None = None
        self._translated: dict[str, None] = {}
        #: interfaces of which rules forward ports, so they lead outside, with these rules
        self._forwards_from: dict[str | None, list[Rule]] = {}
        #: addresses that rules expect behind the external interface
        self._leaves_outside: set[Member] = set()
        #: interfaces from which INPUT accepts everything, but not from others
        self._trusted: set[str] = set()
        self.lan: list[Prefix] = []
        #: interfaces that rules of FORWARD name
        self._forwarding: set[str] = set()
        #: bridges by which packets leave whose source rules translate, with the subnets that these name
        self._left_by: dict[str, list[Prefix]] = {}
        #: nat chains for packets that leave by an interface
        self._leaving: list[tuple[str, str]] = []
        self._weak: dict[str, list[Prefix]] = {}
        self._hidden: list[Prefix] = []
        telling: dict[Plan | None, bool] = {}
        for ruleset in rulesets:
            self.listed |= ruleset.listed
            self.chains |= {name for table in ruleset.tables.values() for name in table.chains}
            self._userland_proxy(ruleset)
            for rule in ruleset.rules():
                tells = telling.get(rule.plan)
                if tells is None:
                    tells = _may_tell(rule)
                    if rule.plan is not None:
                        telling[rule.plan] = tells
                if tells:
                    self._look(rule)
            self._translating_chains(ruleset)
            self._trusted |= set(trusted_interfaces(ruleset))
            for own in own_addresses(ruleset):
                # a rule of INPUT for the target of a port forward is a mistake
                if own.sure or own.member not in self.members:
                    self._host_address(own.member)
        for rule in _of_docker(nftables):
            if _may_tell(rule):
                self._look(rule)
                named = {one for one in (rule.parameters.in_interface, rule.parameters.out_interface) if one}
                self.ruled_by_docker |= named
                if rule.target_name == "DROP" and "in_interface" in rule.parameters.negated:
                    # iifname != "br-x" drop, in the network's own chain
                    self.internal |= {name for name in named if rule.chain.endswith(f"__{name}")}
        if nftables is not None:
            self.interfaces |= dict.fromkeys(nftables.interfaces)
            self._translated |= dict.fromkeys(name for name in nftables.uplinks if not BRIDGE.fullmatch(name))
        self._take_bridge_for_outside()
        for name, prefixes in self._weak.items():
            if not BRIDGE.fullmatch(name):
                self.links[name] = prefixes
            elif name not in self.subnets:
                self.subnets[name] = prefixes
        self._guess_tunnel()

    def _take_bridge_for_outside(self) -> None:
        """Take a bridge for the external interface if rules translate what leaves by it, and no other may be it.

        Proxmox: -A POSTROUTING -s 10.10.10.0/24 -o vmbr0 -j MASQUERADE.
        """
        if self.outside is not None:
            return
        named = [name for name in self.interfaces if _PERHAPS_OUTSIDE.fullmatch(name)]
        for name in sorted(self._left_by, key=lambda one: (one not in self._forwards_from, one not in named)):
            prefixes, inside = self._left_by[name], self._weak.get(name, [])
            is_inner = name in self.subnets or name in self._trusted or self.is_dockers(name)
            if is_inner or (named and name not in named) or (inside and not {*prefixes} - {*inside}):
                continue
            self._translated[name] = None
            self._hidden += prefixes
            return

    def _guess_tunnel(self) -> None:
        """Assign masqueraded subnets without a known interface to the only tunnel or other internal interface.

        Without any, the only subnet to which rules forward ports.
        """
        outside = {*self._translated, self.outside, "lo"}
        inner = [
            name
            for name in self.interfaces
            if name not in self.links
            and name not in self.subnets
            and name not in outside
            and not self._left_by.get(name)
            and (self._translated or not _OUTSIDE.fullmatch(name))
            and not self.is_dockers(name)
        ]
        lans = [name for name in inner if not _TUNNEL.fullmatch(name)]
        tunnels = [name for name in inner if name not in lans] or inner
        placed = {
            prefix for prefixes in (*self.subnets.values(), *self.links.values()) for prefix in prefixes
        }
        free = [prefix for prefix in dict.fromkeys(self._hidden) if prefix not in placed]
        if not tunnels and not self.docker and not any(map(_KUBERNETES.match, self.chains)):
            self.lan = self._unnamed_lan(free, placed)
        if not free:  # machines to which ports are forwarded are rarely behind a tunnel
            bridges = [name for name in lans if BRIDGE.fullmatch(name)]
            tunnels = next((few for few in (bridges, lans, tunnels) if few), [])
        if len(tunnels) != 1:
            return
        if not free and tunnels[0] not in self._forwards_from:
            free = self._lan_of_targets(placed)
            self.forwards_to_lan = bool(free)
        if not free:
            return
        if BRIDGE.fullmatch(tunnels[0]):
            self.subnets[tunnels[0]] = free
            self.guessed_bridge = tunnels[0]
        else:
            self.tunnels[tunnels[0]] = free

    def _unnamed_lan(self, free: list[Prefix], placed: Collection[Prefix]) -> list[Prefix]:
        """Return the subnet to which ports are forwarded, if no rule names the interface that leads there."""
        targets = self._unplaced()
        if any(one in self._leaves_outside for one in targets):
            return []
        known = [one for one in free if any(one.covers(*target) for target in targets)]
        return known[:1] or self._lan_of_targets(placed)

    def _lan_of_targets(self, placed: Collection[Prefix]) -> list[Prefix]:
        """Return the usual subnet of the private addresses to which ports are forwarded, if there is just one."""
        found = {Prefix(4, one.address & ~0xFF, 24) for one in self._unplaced()}
        known = (*placed, *(Prefix(4, one.address & ~0xFF, 24) for one in self.host_addresses))
        private = {
            one
            for one in found
            if IPv4Network((one.address, one.length)).is_private
            and not is_loopback(one.family, one.address)
            and not any(
                other.covers(4, one.address) or one.covers(other.family, other.address) for other in known
            )
        }
        return [*private] if len(found) == len(private) == 1 else []

    def _unplaced(self) -> list[Member]:
        """Return the IPv4 addresses to which ports are forwarded, without those on a bridge that a rule names."""
        return [one for one, bridge in self.members.items() if one.family == 4 and bridge is None]

    @property
    def members(self) -> dict[Member, str | None]:
        """Containers' addresses, and their bridge if a rule names it."""
        return self._members.all().bridges

    @property
    def published(self) -> dict[Member, list[PublishedPort]]:
        """The ports forwarded to each container."""
        return self._members.all().published

    @property
    def exposed(self) -> dict[Member, list[tuple[int, int]]]:
        """The (protocol, port) pairs that rules accept for each container."""
        return self._members.all().exposed

    @property
    def docker(self) -> bool:
        """Whether Docker wrote some of the rules."""
        return "DOCKER" in self.chains

    def forwarded_to_from(self, interface: str | None) -> set[Member]:
        """Return the addresses to which rules forward what arrives on an interface."""
        rules = self._forwards_from.get(interface, ())
        return {member for rule in rules if (member := forwarded_to(rule)) is not None}

    def is_dockers(self, bridge: str) -> bool:
        """Return whether a bridge is Docker's: by its name, or because Docker's own chains name it."""
        return bridge in self.ruled_by_docker or OWN_BRIDGES.fullmatch(bridge) is not None

    @property
    def bridges(self) -> list[str]:
        """Names of the bridges."""
        named = (name for name in self.interfaces if BRIDGE.fullmatch(name))
        members = self.members if self._members.placed else {}
        placed = (bridge for bridge in members.values() if bridge is not None)
        found = [
            one for one in dict.fromkeys([*self.subnets, *placed, *named]) if one not in self._translated
        ]
        # iptables -L shows no interfaces without -v; Docker always has docker0
        return found or ([DEFAULT_BRIDGE] if self.docker and self.listed and not self.interfaces else [])

    @property
    def outside(self) -> str | None:
        """Name of the external interface: rules translate packets leaving there, or it has a conventional name.

        Of several such names, those from which INPUT accepts everything are those of a LAN.
        """
        usual = [name for name in self.interfaces if _OUTSIDE.fullmatch(name)]
        fitting = [name for name in usual if name not in self._trusted] or usual
        named = "eth0" if "eth0" in fitting else next(iter(fitting), None)
        return next((name for name in self._translated if name not in self.subnets), named)

    @property
    def perhaps_outside(self) -> str | None:
        """Name of the only interface that is the external one if no other is, by its name; None for none or several.

        An interface that rules of FORWARD name may as well lead to a network behind a router.
        """
        inner = {*self.subnets, *self.links, *self.tunnels, *self._forwarding, *self._trusted}
        names = [name for name in self.interfaces if _PERHAPS_OUTSIDE.fullmatch(name) and name not in inner]
        return names[0] if len(names) == 1 else None

    def _look(self, rule: Rule) -> None:
        if rule.plan is None or rule.plan.fields & _INTERFACES:
            self._note_interfaces(rule)
        if rule.jump is not None:
            return
        if rule.target_name == "DNAT":
            self._forwards_by_interface(rule)
            self._members.add_forwarding(rule)
            self._asked_address(rule)
            return
        if isinstance(rule.target, Snat) and rule.target.to_source.addresses:
            family, address = family_of(rule.target.to_source.family), rule.target.to_source.addresses[0]
            if address:  # 0.0.0.0 is an address that was left out
                self._host_address(Member(family, address))
        self._masquerade(rule)
        self._drop(rule)
        self._subnet(rule)
        self._member(rule)

    def _forwards_by_interface(self, rule: Rule) -> None:
        if rule.plan is not None and "in_interface" not in rule.plan.fields:
            return
        name = rule.parameters.in_interface
        if name and "in_interface" not in rule.parameters.negated:
            self._forwards_from.setdefault(name, []).append(rule)

    def _note_interfaces(self, rule: Rule) -> None:
        parameters, target = rule.parameters, rule.jump.chain if rule.jump is not None else ""
        if parameters.out_interface and parameters.destination is not None and not parameters.negated:
            towards = parameters.destination
            self._leaves_outside.add(Member(family_of(towards.family), towards.address))
        for one in (parameters.in_interface, parameters.out_interface):
            if one and not one.endswith("+"):
                self.interfaces[one] = None
                if rule.chain == "FORWARD":
                    self._forwarding.add(one)
                if any(_DOCKER_CHAIN.fullmatch(chain) for chain in (rule.chain, target)):
                    self.ruled_by_docker.add(one)
        name = parameters.out_interface
        if target and rule.table == "nat" and name and not name.endswith("+") and not parameters.negated:
            self._leaving.append((name, target))

    def _userland_proxy(self, ruleset: Ruleset) -> None:
        """With docker-proxy: -A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER."""
        output = ruleset.chain("nat", "OUTPUT")
        for rule in output.rules if output is not None else ():
            if rule.jump is not None and rule.jump.chain == "DOCKER":
                self.userland_proxy = "destination" in rule.parameters.negated

    def _translating_chains(self, ruleset: Ruleset) -> None:
        """Shorewall: -A POSTROUTING -o eth1 -j eth1_masq, with MASQUERADE rules in that chain."""
        nat = ruleset.tables.get("nat")
        if nat is None or not self._leaving:
            return
        calls = ChainGraph([nat])
        for name, first in self._leaving:
            reached = calls.reached("nat", first)
            rules = (rule for one in reached if one in nat.chains for rule in nat.chains[one].rules)
            if not BRIDGE.fullmatch(name) and any(
                rule.target_name in TRANSLATING_SOURCE and not rule.parameters.out_interface for rule in rules
            ):
                self._translated.setdefault(name)
        self._leaving.clear()

    def _masquerade(self, rule: Rule) -> None:
        """Docker: -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE."""
        parameters = rule.parameters
        name = parameters.out_interface
        if rule.target_name not in TRANSLATING_SOURCE:
            return
        prefix = prefix_of(parameters, "source")
        if not name and prefix is not None and parameters.destination == parameters.source:
            if "destination" in parameters.negated:  # of a bridge for guests: LXD, lxc-net
                self._hidden.append(prefix)
            return
        if not name or name.endswith("+"):
            return
        if "out_interface" in parameters.negated:
            if prefix is not None:
                self._add_subnet(self.subnets, name, prefix)
                self.masqueraded.add(name)
        elif not _is_for_own_packets(rule):
            sources = [prefix] if prefix is not None and 0 < prefix.length < BITS[prefix.family] else []
            if not BRIDGE.fullmatch(name):
                self._translated[name] = None
                self._hidden += sources
            elif parameters.destination is None:
                self._left_by.setdefault(name, []).extend(sources)

    def _drop(self, rule: Rule) -> None:
        """Docker: ! -s 172.18.0.0/16 -o br-x -j DROP (internal); -i br-x -o br-x -j DROP (icc=false)."""
        if rule.target_name != "DROP":
            return
        parameters = rule.parameters
        for side, interface in (
            ("source", parameters.out_interface),
            ("destination", parameters.in_interface),
        ):
            network = getattr(parameters, side)
            if network is not None and interface and side in parameters.negated:
                prefix = as_prefix(network)
                if prefix is not None:
                    self._add_subnet(self.subnets, interface, prefix)
                    self.internal.add(interface)
        both = parameters.in_interface
        if both and both == parameters.out_interface and not parameters.negated:
            self.isolated.add(both)

    def _subnet(self, rule: Rule) -> None:
        """libvirt: -A LIBVIRT_FWO -s 192.168.122.0/24 -i virbr0 -j ACCEPT."""
        if rule.target_name != "ACCEPT":
            return
        parameters = rule.parameters
        for side, interface in (("source", "in_interface"), ("destination", "out_interface")):
            prefix, name = prefix_of(parameters, side), getattr(parameters, interface)
            if prefix and name and interface not in parameters.negated:
                self._add_subnet(self._weak, name, prefix)

    def _member(self, rule: Rule) -> None:
        """Docker: -A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp --dport 80 -j ACCEPT.

        Its raw table: -A PREROUTING -d 172.17.0.2/32 ! -i docker0 -j DROP.
        """
        if rule.target_name not in ("ACCEPT", "DROP", "MASQUERADE"):
            return
        parameters = rule.parameters
        for side, interface in (("destination", "out_interface"), ("source", "in_interface")):
            prefix = prefix_of(parameters, side)
            if (
                prefix is None
                or prefix.length != BITS[prefix.family]
                or is_loopback(prefix.family, prefix.address)
            ):
                continue
            bridge = getattr(parameters, interface) if interface not in parameters.negated else None
            if bridge is None and side == "destination" and "in_interface" in parameters.negated:
                bridge = parameters.in_interface
            opened = side == "destination" and rule.target_name == "ACCEPT"
            # iptables -L shows no interfaces without -v
            unshown = opened and self.listed and rule.chain == "DOCKER"
            if not (BRIDGE.fullmatch(bridge) or bridge in self.subnets if bridge else unshown):
                continue
            port = destination_port(rule) if opened else None
            exposed = None if port is None else (parameters.protocol or 0, port)
            self._members.add(Member(prefix.family, prefix.address), bridge, exposed)

    def _asked_address(self, rule: Rule) -> None:
        """Docker: -A DOCKER -d 192.0.2.10/32 -p tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80."""
        if rule.plan is not None and "destination" not in rule.plan.fields:
            return
        if rule.chain == "OUTPUT":
            return  # what the host itself sends may be for any machine
        asked, member = asked_prefix(rule), forwarded_to(rule)
        if asked is not None and member is not None and not is_loopback(asked.family, asked.address):
            self._host_address(Member(member.family, asked.address))

    def _host_address(self, address: Member) -> None:
        if address not in self.host_addresses:
            self.host_addresses.append(address)

    @staticmethod
    def _add_subnet(subnets: dict[str, list[Prefix]], bridge: str, prefix: Prefix) -> None:
        if 0 < prefix.length < BITS[prefix.family] and not bridge.endswith("+"):
            known = subnets.setdefault(bridge, [])
            if prefix not in known:
                known.append(prefix)


def _of_docker(nftables: NftRuleset | None) -> Iterator[Rule]:
    """Yield the rules that dockerd writes to nftables (moby, libnetwork/drivers/bridge/internal/nftabler)."""
    for chain in nftables.chains if nftables is not None else ():
        if chain.table == NFT_TABLE:
            for family, _ in chain.rules:
                ruleset = ruleset_of(chain, family)
                yield from ruleset.rules() if ruleset is not None else ()


def _may_tell(rule: Rule) -> bool:
    """Return whether a rule, or any other of its plan, may reveal something about the host."""
    plan, parameters = rule.plan, rule.parameters
    if plan is not None:
        return bool(plan.fields & _INTERFACES) or plan.target_name in _TRANSLATING
    named = parameters.in_interface is not None or parameters.out_interface is not None
    return named or rule.target_name in _TRANSLATING or rule.chain == "DOCKER"


def _is_for_own_packets(rule: Rule) -> bool:
    """Docker without docker-proxy: -A POSTROUTING -o NAME -m addrtype --src-type LOCAL -j MASQUERADE."""
    return any(
        isinstance(match, (Addrtype4, Addrtype6))
        and match.src_type == ("LOCAL",)
        and "src_type" not in match.negated
        for match in rule.matches
    )
