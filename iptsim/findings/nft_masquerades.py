"""Networks behind a host with nftables alone whose packets leave with their own, private address."""

from __future__ import annotations

from collections.abc import Iterator

from iptsim.addresses import Family, address_text
from iptsim.dump.rule import Rule
from iptsim.extensions.verdicts import TRANSLATING_SOURCE
from iptsim.findings.behind import Behind, ask_outside, networks_behind, other_machine, subnet_of
from iptsim.findings.finding import SHOWN, Finding, of_rule
from iptsim.findings.native_chains import chains_of, has_only_nftables
from iptsim.findings.remedy import outcome
from iptsim.findings.replies import leaves_private, masquerading, private_source
from iptsim.findings.scene import Scene
from iptsim.host.nft_chains import NftChain


def not_masqueraded(scene: Scene) -> Iterator[Finding]:
    """Find networks for which rules forward packets to the internet, but translate the source of others only."""
    for family in scene.families:
        translating = list(_translating(scene, family))
        if not translating:
            continue  # a router inside a network that knows its LANs translates nothing
        seen: set[str] = set()
        for behind in (*networks_behind(scene, family), *_lans(scene, family)):
            network = scene.host.network_of_bridge(behind.interface)
            if network is not None and network.gateway_mode.get(family, "nat") != "nat":
                continue  # it is meant to keep its addresses
            shown = ask_outside(scene, family, behind) if behind.interface not in seen else None
            source = private_source(scene, family, shown) if shown is not None else None
            if shown is None or source is None:
                continue
            seen.add(behind.interface)
            subnet = subnet_of(scene, family, source)
            command = _command(scene, family, translating[0][0], subnet or source)
            after = outcome(scene, family, (command,), shown)
            if after is not None and after.verdict == "ACCEPT" and not private_source(scene, family, after):
                rules = [rule for _, rule in translating]
                outside = scene.outside_interface(family)
                way_out = outside.name if outside is not None else ""
                evidence = tuple(map(of_rule, rules[:SHOWN]))
                remedy = masquerading(command, subnet)
                yield leaves_private(family, behind.name, source, way_out, evidence, rules, remedy, shown)


def _command(scene: Scene, family: Family, base: NftChain, source: str) -> str:
    outside = scene.outside_interface(family)
    address = f"{'ip' if family == 4 else 'ip6'} saddr {source}"
    way_out = outside.name if outside is not None else ""
    return f'nft add rule {base.family} {base.table} {base.name} {address} oifname "{way_out}" masquerade'


def _translating(scene: Scene, family: Family) -> Iterator[tuple[NftChain, Rule]]:
    """Yield the rules that translate the source of packets that leave, with their base chains."""
    if not has_only_nftables(scene, family):
        return
    for base, rules in chains_of(scene, family, "postrouting"):
        for rule in rules:
            if rule.target_name in TRANSLATING_SOURCE:
                yield base, rule


def _lans(scene: Scene, family: Family) -> Iterator[Behind]:
    """Yield the subnets of interfaces that a rule of the hook forward names as that of packets which arrive."""
    uplink = scene.outside_interface(family)
    named = {
        rule.parameters.in_interface
        for _, rules in chains_of(scene, family, "forward")
        for rule in rules
        if rule.target_name == "ACCEPT" and "in_interface" not in rule.parameters.negated
    }
    for interface in scene.host.namespace.interfaces.values() if not scene.host.inferred else ():
        if interface.name not in named or interface is uplink:
            continue
        for address in interface.addresses:
            member = other_machine(address) if address.family == family else None
            if member is not None and address.scope == "global":
                yield Behind(interface.name, address_text(family, member))
                break
