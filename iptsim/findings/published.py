"""Published ports that do not work, or that are open where they should not be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from iptsim.addresses import Family, address_text
from iptsim.dump.rule import Rule
from iptsim.explanation import Explanation
from iptsim.extensions.hidden import is_gap
from iptsim.extensions.nat import NatRange
from iptsim.findings.finding import Evidence, Finding, of_rule, takes_port
from iptsim.findings.scene import SOME_PORT, Publication, Scene, called, place
from iptsim.host.containers import Container, Network
from iptsim.languages import Text, message, message_sentences
from iptsim.owners.docker import docker_role, is_dockers
from iptsim.passages import RESTART_DOCKER, shell
from iptsim.protocols import TCP, protocol_name


def unreachable_ports(scene: Scene) -> Iterator[Finding]:
    """Find published ports that do not work: no DNAT, no ACCEPT, or another program's nat rule before Docker's."""
    for family in scene.families:
        if not scene.rules(family, "nat", "DOCKER") and not scene.docker_writes(family):
            continue
        forwarding = _forwarding_rules(scene, family)
        for publication in scene.publications(family):
            shown = scene.ask_port(publication)
            if shown is None:
                continue
            rules = _publishing_rules(forwarding, family, publication)
            finding = (
                _without_accept(scene, family, publication, shown)
                if any(step.verdict == "DNAT" for step in shown.trace.legs[0].steps)
                else _accepted_before(scene, family, publication, shown, rules)
                or _without_dnat(scene, family, publication, shown, rules)
            )
            if finding is not None:
                yield finding


class _Forwarding(NamedTuple):
    """A rule with DNAT: its place among the rules of table nat, and the ports to which it forwards, if it names any."""

    number: int
    rule: Rule
    ports: tuple[int, int] | None


def _forwarding_rules(scene: Scene, family: Family) -> Mapping[int | None, list[_Forwarding]]:
    """Return the rules with DNAT by the first address to which they forward."""
    found: dict[int | None, list[_Forwarding]] = {}
    for number, rule in enumerate(scene.table(family, "nat").rules()):
        to: NatRange | None = getattr(rule.target, "to_destination", None)
        if to is not None and to.addresses:
            found.setdefault(to.addresses[0], []).append(_Forwarding(number, rule, to.ports))
    return found


def _publishing_rules(
    forwarding: Mapping[int | None, list[_Forwarding]], family: Family, publication: Publication
) -> list[Rule]:
    """Return the rules that forward a published port to its container."""
    port = publication.port
    addresses = {endpoint.address(family) for endpoint in publication.container.endpoints.values()}
    found = sorted(one for address in addresses for one in forwarding.get(address, ()))
    return [
        one.rule
        for one in found
        if (one.ports is None or one.ports[0] <= port.container_port <= one.ports[1])
        and one.rule.parameters.protocol in (None, port.proto)
    ]


def _accepting_rules(scene: Scene, family: Family, publication: Publication) -> list[Rule]:
    """Return Docker's rules that accept packets for a published port after DNAT."""
    port, address = publication.port.container_port, publication.container.address(family)
    return [
        rule
        for rule in scene.table(family, "filter").rules()
        if rule.target_name == "ACCEPT"
        and is_dockers(rule)
        and rule.parameters.destination is not None
        and rule.parameters.destination.address == address
        and rule.parameters.protocol == publication.port.proto
        and takes_port(rule, port)
    ]


def _accepted_before(
    scene: Scene, family: Family, publication: Publication, shown: Explanation, rules: list[Rule]
) -> Finding | None:
    """Report that another program's nat rule accepts the packet before Docker's rules see it."""
    taken = next(
        (
            step.rule
            for step in shown.trace.legs[0].steps
            if step.table == "nat"
            and step.hook == "PREROUTING"
            and step.verdict == "ACCEPT"
            and step.rule
            and not is_gap(step.rule.target)
        ),
        None,
    )
    if taken is None or not rules or is_dockers(taken):
        return None
    jump = scene.jumps(family, "nat", "DOCKER")
    return Finding(
        "nat-accept-before-docker",
        message(
            "{outside} of {name} is published, but a nat rule accepts the packet before Docker can "
            "forward it.",
            outside=publication.outside,
            name=publication.container.name,
        ),
        (of_rule(taken), *map(of_rule, jump[:1]), of_rule(rules[0])),
        message(
            "An ACCEPT in nat PREROUTING ends the table: Docker's DNAT rule after it is never "
            "evaluated, and the packet goes to the host itself."
        ),
        message(
            "To move Docker's jump to the front: {command}. Or narrow {table} {chain} rule {position} so that it does "
            "not match {outside}.",
            command=RESTART_DOCKER,
            table=taken.table,
            chain=taken.chain,
            position=taken.position,
            outside=publication.outside,
        ),
        shown,
        family,
    )


def _without_dnat(
    scene: Scene, family: Family, publication: Publication, shown: Explanation, rules: list[Rule]
) -> Finding | None:
    """Report that none of Docker's rules forwards a published port, although Docker should have written one."""
    name = publication.container.name
    modes = {
        network.gateway_mode.get(family, "nat")
        for network in scene.docker_networks()
        if network.name in publication.container.endpoints
    }
    if rules or not scene.knows_containers or not modes & {"nat", "nat-unprotected"}:
        return None
    if not scene.docker_writes(family) or not scene.jumps(family, "nat", "DOCKER"):
        return None
    proxied = any(one.proxy for one in shown.trace.legs)
    tail = (
        message(
            "docker-proxy on the host accepts the connection instead, if INPUT allows it, and the "
            "container sees the bridge's address as its client."
        )
        if proxied
        else message("It ends on the host, where nothing listens.")
    )
    return Finding(
        "published-without-dnat",
        message(
            "{outside} of {name} is published, but no nat rule forwards it to {inside}.",
            outside=publication.outside,
            name=name,
            inside=publication.inside,
        ),
        (scene.publishes(publication),),
        message_sentences(message("The packet keeps the host's address."), tail),
        message("To write the rule again: {command}", command=shell(f"docker restart {name}")),
        shown,
        family,
    )


def _without_accept(
    scene: Scene, family: Family, publication: Publication, shown: Explanation
) -> Finding | None:
    """Find a DNATed packet that is dropped only by the policy of FORWARD or by Docker's own last rule."""
    leg = shown.trace.legs[0]
    step = leg.deciding
    if shown.verdict != "DROP" or leg.verdict != "DROP" or step is None or step.hook != "FORWARD":
        return None
    role = docker_role(step.rule) if step.rule is not None else None
    if not (step.policy or (role is not None and role.code == "unpublished")) or step.backend:
        return None
    if step.table != "filter":
        return None  # of nftables
    if not scene.rules(family, "filter", "DOCKER") and not scene.jumps(family, "filter", "DOCKER"):
        return None  # docker-rules-flushed reports it
    dnat = [one.rule for one in leg.steps if one.verdict == "DNAT" and one.rule is not None]
    if not scene.knows_containers and any(rule.chain == "PREROUTING" for rule in dnat):
        return None  # a person wrote it: dnat-without-accept
    accepting = _accepting_rules(scene, family, publication)[:1]
    if (bridge := _bridge_that_is_down(scene, publication)) is not None:
        explanation = message(
            "{bridge} is down, so no route leads to {name}: the kernel sends its packets elsewhere.",
            bridge=bridge,
            name=publication.container.name,
        )
        remedy = message("To set it up: {command}", command=shell(f"ip link set {bridge} up"))
    elif accepting:
        explanation = message(
            "Another program has removed Docker's jump to {chain} from FORWARD, or packets leave FORWARD before it.",
            chain=accepting[0].chain,
        )
        remedy = message("To write Docker's jumps again: {command}", command=RESTART_DOCKER)
    else:
        explanation = message(
            "The DNAT rule exists, but the matching ACCEPT rule in filter DOCKER does not, so the "
            "packet is dropped."
        )
        remedy = message(
            "To write the rule again: {command}",
            command=shell(f"docker restart {publication.container.name}")
            if scene.knows_containers
            else RESTART_DOCKER,
        )
    who = {
        "outside": publication.outside,
        "name": publication.container.name,
        "inside": publication.inside,
    }
    return Finding(
        "published-without-accept",
        message(
            "{outside} of {name} is published and forwarded, but no packet reaches the rule that accepts {inside}.",
            **who,
        )
        if accepting
        else message(
            "{outside} of {name} is published and forwarded, but no rule accepts {inside}.",
            **who,
        ),
        (*map(of_rule, (*dnat, *accepting)), scene.of_step(family, step)),
        explanation,
        remedy,
        shown,
        family,
    )


def _bridge_that_is_down(scene: Scene, publication: Publication) -> str | None:
    """Return the bridge of the container that publishes a port if it is down: the kernel has no route to it then."""
    networks = map(scene.host.networks.get, publication.container.endpoints)
    bridges = [network.bridge for network in networks if network is not None and network.bridge]
    interfaces = scene.host.namespace.interfaces
    return next((name for name in bridges if name in interfaces and not interfaces[name].up), None)


def loopback_ports(scene: Scene) -> Iterator[Finding]:
    """Find ports that are published on 127.0.0.1 but still reachable from the link (before Docker 28)."""
    neighbour, outside, daemon = scene.neighbour(4), scene.outside_interface(4), scene.host.daemon
    engine = daemon.engine if daemon is not None else None
    if 4 not in scene.families or neighbour is None or outside is None or not scene.shows(4, "filter"):
        return
    everywhere = {
        (one.container.name, one.port.proto, one.port.container_port + number)
        for one in scene.publications(4)
        if not one.on_loopback
        for number in range(one.size)
    }
    for publication in scene.publications(4):
        container, port = publication.container, publication.port
        if not publication.on_loopback or (container.name, port.proto, port.container_port) in everywhere:
            continue
        proto = protocol_name(port.proto)
        ways: list[tuple[Text, str, int]] = [
            (port.host_address or "", port.host_address or "", port.host_port)
        ]
        if engine is None or not engine.closes_containers_addresses:
            ways.insert(
                0, (message("{name}'s own address", name=container.name), container.name, port.container_port)
            )
        for what, to, dport in ways:
            fields: dict[str, Any] = {} if to == container.name else {"in": outside.name}
            shown = scene.ask(neighbour, to, proto=proto, dport=dport, **fields)
            delivered = shown.trace.legs[0].delivered if shown else None
            if shown is None or shown.verdict != "ACCEPT" or delivered is None:
                continue
            if delivered.kind == "host" and not any(leg.proxy for leg in shown.trace.legs):
                continue
            rules = [
                step.rule
                for step in shown.trace.legs[0].steps
                if step.rule and step.verdict in ("DNAT", "ACCEPT")
            ]
            sent_to = address_text(4, shown.trace.legs[0].packet.dst)
            command = f"iptables -t raw -I PREROUTING -i {outside.name} -d {sent_to} -j DROP"
            yield Finding(
                "loopback-port-reachable",
                message(
                    "{outside} of {name} is published on {address} only, but machines on {interface} can "
                    "reach it at {what}.",
                    outside=publication.outside,
                    name=container.name,
                    address=port.host_address or "",
                    interface=outside.name,
                    what=what,
                ),
                (scene.publishes(publication), *map(of_rule, rules)),
                message(
                    "A machine on the link of {interface} only needs a route to {to} through this host.",
                    interface=outside.name,
                    to=to,
                ),
                message(
                    "Docker 28 and later drop such packets in the raw table; before that, add the rule yourself: "
                    "{command}; or put both containers on one network and do not publish the port.",
                    command=shell(command),
                ),
                shown,
                4,
                (command,),
            )
            break


def container_ports(scene: Scene) -> Iterator[Finding]:
    """Find networks whose containers' unpublished ports are open to the external link."""
    neighbour = scene.neighbour(4)
    if 4 not in scene.families or neighbour is None or scene.adds_to_docker:
        return
    if scene.is_pasted and not scene.shows(4, "filter", "FORWARD") and not _off(scene):
        return
    for network in scene.docker_networks():
        if network.gateway_mode.get(4, "nat") not in ("nat", "isolated"):
            continue
        for container in scene.members(network)[:1]:
            shown = ask_unpublished(scene, 4, neighbour, container, network)
            delivered = shown.trace.legs[0].delivered if shown else None
            if (
                shown is None
                or shown.verdict != "ACCEPT"
                or delivered is None
                or delivered.kind != "container"
            ):
                continue
            step = shown.reason.step
            if step is not None and step.rule is not None:
                continue  # it is intended
            daemon = scene.host.daemon
            if daemon is not None and daemon.iptables is False:
                cause = Evidence(daemon.sources.get("iptables", "dockerd"), "iptables=false")
            elif step is None or step.table is None:
                cause = Evidence(scene.host.rulesets[4].source, message("no rules, so nothing is blocked"))
            else:
                cause = scene.of_step(4, step)
            yield Finding(
                "container-port-open",
                message(
                    "Unpublished ports of containers on {network} can be reached from outside.",
                    network=called(network),
                ),
                (cause,),
                message(
                    "Any machine that can send packets for the containers' addresses to this host, such as one "
                    "on the same LAN, can reach all their ports."
                ),
                message(
                    "With Docker's rules in place (iptables=true), let the policy drop them: {command}. Docker 28 and "
                    "later drop such packets themselves.",
                    command=shell("iptables -P FORWARD DROP"),
                ),
                shown,
                4,
                ("iptables -P FORWARD DROP",),
            )


def _off(scene: Scene) -> bool:
    """Return whether dockerd is known to write no rules."""
    daemon = scene.host.daemon
    return daemon is not None and daemon.iptables is False


def ask_unpublished(
    scene: Scene, family: Family, sender: str, container: Container, network: Network
) -> Explanation | None:
    """Walk a packet to a port of a container that is not published."""
    published = {port.container_port for port in container.published if port.proto == TCP}
    exposed = [one.port for one in container.exposed if one.proto == TCP]
    dport = next((port for port in (*exposed, SOME_PORT) if port not in published), SOME_PORT + 1)
    return scene.ask(sender, place(container, network), family, proto="tcp", dport=dport)
