"""Rules of Docker that are left over from removed containers."""

from __future__ import annotations

from collections.abc import Iterator

from iptsim.addresses import Family, address_text
from iptsim.dump.rule import Rule
from iptsim.dump.tool import tool_of
from iptsim.findings.examples import packet_for
from iptsim.findings.finding import Finding, of_rule
from iptsim.findings.scene import Scene
from iptsim.host.containers import Network
from iptsim.host.docker_defaults import GATEWAY_BRIDGE, MESH
from iptsim.languages import message, message_many
from iptsim.owners.docker import docker_role


def stale(scene: Scene) -> Iterator[Finding]:
    """Find Docker's rules for addresses that no running container has."""
    if not scene.knows_containers:
        return
    networks = [
        network for network in scene.docker_networks() if network.id and not _hides_mesh(scene, network)
    ]
    for family in scene.families:
        gone: dict[int, list[Rule]] = {}
        for table in ("raw", "nat", "filter"):
            for rule in scene.table(family, table).rules():
                for address in _container_addresses(rule):
                    inside = any(one.covers(family, address) for one in networks)
                    if inside and scene.host.owner_of(family, address) is None:
                        gone.setdefault(address, []).append(rule)
        for address, rules in gone.items():
            yield _stale(scene, family, address_text(family, address), rules)


def _hides_mesh(scene: Scene, network: Network) -> bool:
    """Return whether swarm's routing mesh may have an address there that the source does not show."""
    return network.bridge == GATEWAY_BRIDGE and MESH not in scene.host.containers


def _container_addresses(rule: Rule) -> Iterator[int]:
    """Yield the container addresses in a Docker rule for a single container."""
    role = docker_role(rule)
    if role is None or role.code not in (
        "port-forward", "published-port", "link", "link-answer", "direct-routing", "hairpin-masquerade",
    ):  # fmt: skip
        return
    found = {}
    if (to := getattr(rule.target, "to_destination", None)) is not None and to.addresses:
        found[to.addresses[0]] = True
    if role.code != "port-forward":
        for prefix in (rule.parameters.source, rule.parameters.destination):
            if prefix is not None and prefix.mask in (0xFFFFFFFF, (1 << 128) - 1):
                found[prefix.address] = True
    yield from found


def _stale(scene: Scene, family: Family, address: str, rules: list[Rule]) -> Finding:
    tool = tool_of(family)
    dnat = next((rule for rule in rules if rule.target_name == "DNAT"), None)
    shown = packet_for(scene, family, dnat, "INPUT") if dnat is not None else None
    return Finding(
        "stale-rule",
        message_many(
            "A Docker rule is for {address}, which no running container has.",
            "{count} Docker rules are for {address}, which no running container has.",
            len(rules),
            address=address,
        ),
        tuple(map(of_rule, rules)),
        message(
            "The packet is sent to an unused address; a later container that gets the address "
            "inherits the open port."
        )
        if dnat is not None
        else message("A later container that gets the address inherits the rule."),
        "; ".join(f"{tool} -t {rule.table} -D {rule.text.removeprefix('-A ')}" for rule in rules[:3])
        + ("; ..." if len(rules) > 3 else ""),
        shown,
        family,
    )
