"""Rules of Docker that are left over from removed containers, and may take what is meant for their successors."""

from __future__ import annotations

from collections.abc import Iterator

from iptsim.addresses import Family, address_text
from iptsim.dump.rule import Rule
from iptsim.dump.tool import tool_of
from iptsim.explanation import Explanation
from iptsim.extensions.targets.dnat import Dnat
from iptsim.findings.examples import header, packet_for
from iptsim.findings.finding import Finding, of_rule, uses
from iptsim.findings.remedy import deletion, outcome
from iptsim.findings.scene import Scene
from iptsim.host.containers import Network
from iptsim.host.docker_defaults import GATEWAY_BRIDGE, MESH, OWN_BRIDGES
from iptsim.languages import message, message_many
from iptsim.owners.docker import docker_role
from iptsim.passages import shell


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
        shell(
            *(f"{tool} -t {rule.table} -D {rule.text.removeprefix('-A ')}" for rule in rules[:3]),
            *(["..."] if len(rules) > 3 else []),
        ),
        shown,
        family,
    )


def forwarded_twice(scene: Scene) -> Iterator[Finding]:
    """Find ports that Docker's rules forward to two containers: the first rule takes all packets."""
    for family in scene.families:
        first: dict[tuple[object, ...], Rule] = {}
        for rule in scene.table(family, "nat").rules():
            key = _forwarded(rule)
            other = first.setdefault(key, rule) if key is not None else rule
            if other is not rule and other.target != rule.target:
                yield _twice(scene, family, other, rule)


def _forwarded(rule: Rule) -> tuple[object, ...] | None:
    """Return for what destination a rule of Docker forwards a port; None for other rules."""
    parameters = rule.parameters
    ports = tuple(one.allowed for one in rule.conditions_on("dport") if not one.negated)
    name, negated = parameters.in_interface, "in_interface" in parameters.negated
    own = rule.chain == "DOCKER" or (negated and OWN_BRIDGES.fullmatch(name or "") is not None)
    if not (isinstance(rule.target, Dnat) and ports and own) or parameters.source is not None:
        return None
    if name is not None and not negated:
        return None
    return rule.chain, parameters.protocol, str(parameters.destination), ports


def _twice(scene: Scene, family: Family, first: Rule, second: Rule) -> Finding:
    to = first.parameters.destination
    fields = header(first)
    asked = address_text(family, to.address) if to is not None else "host"
    shown = scene.ask("internet", asked, family, **fields)
    if shown is not None and (shown.trace.branches or not uses(shown, first)):
        shown = None
    return Finding(
        "forwarded-twice",
        message(
            "Port {port} is forwarded twice: {taken} gets all its packets, and {target} none.",
            port=f"{fields.get('dport', '')}/{fields['proto']}",
            taken=_target(first),
            target=_target(second),
        ),
        (of_rule(first), of_rule(second)),
        message(
            "dockerd forwards a port to one container only. One of the two is gone, and its rule was left behind:"
            " docker ps shows which."
        ),
        message(
            "If it is the first: {command}. Or restart Docker, which writes its rules again.",
            command=shell(deletion(scene, family, first)),
        )
        if shown is not None and _gets_it(scene, family, first, second, shown)
        else message(
            "If it is the first, delete its rule ({command} shows the numbers), or restart Docker, which writes its"
            " rules again.",
            command=f"{tool_of(family)} -t nat -L DOCKER -n --line-numbers",
        ),
        shown,
        family,
    )


def _gets_it(scene: Scene, family: Family, first: Rule, second: Rule, shown: Explanation) -> bool:
    """Return whether a packet goes where the second rule sends it if the first one is deleted."""
    after = outcome(scene, family, [deletion(scene, family, first)], shown)
    return after is not None and any(
        step.rule is not None and step.rule.target == second.target for step in after.trace.legs[0].all_steps
    )


def _target(rule: Rule) -> str:
    return str(getattr(rule.target, "to_destination", ""))
