"""Ports of services that use UDP alone, of which rules or Docker open only the TCP port of the same number."""

from __future__ import annotations

from collections.abc import Iterator

from iptsim.addresses import Family
from iptsim.dump.tool import tool_of
from iptsim.explanation.places import place_of
from iptsim.extensions.verdicts import BLOCKING
from iptsim.findings.examples import header
from iptsim.findings.finding import Finding, of_rule, uses
from iptsim.findings.remedy import first_that_mends
from iptsim.findings.scene import Publication, Scene
from iptsim.languages import message
from iptsim.passages import shell
from iptsim.protocols import TCP, UDP

#: Services without TCP, by their ports. Sources: the IANA registry of ports; wg(8) for WireGuard's usual one.
_SERVICES = {
    67: "DHCP",
    69: "TFTP",
    123: "NTP",
    500: "IPsec (IKE)",
    1701: "L2TP",
    4500: "IPsec (NAT-T)",
    41641: "Tailscale",
    51820: "WireGuard",
}


def opened_for_tcp(scene: Scene) -> Iterator[Finding]:
    """Find rules of INPUT that accept TCP to a port of such a service, while UDP to it is blocked."""
    for family in scene.families:
        for rule in scene.rules_below(family, "filter", "INPUT"):
            port = header(rule).get("dport") if rule.parameters.protocol == TCP else None
            if rule.target_name != "ACCEPT" or port not in _SERVICES or "protocol" in rule.parameters.negated:
                continue
            accepted = scene.ask("internet", "host", family, proto="tcp", dport=port)
            if accepted is None or accepted.verdict != "ACCEPT" or not uses(accepted, rule):
                continue
            shown = scene.ask("internet", "host", family, proto="udp", dport=port)
            if shown is not None and shown.verdict in BLOCKING:
                command = f"{tool_of(family)} -I {rule.chain} {rule.position} -p udp --dport {port} -j ACCEPT"
                yield Finding(
                    "udp-service-over-tcp",
                    message(
                        "{place} accepts tcp/{port}, but {service} uses UDP, which is blocked.",
                        place=place_of(rule),
                        port=port,
                        service=_SERVICES[port],
                    ),
                    (of_rule(rule),),
                    message(
                        "TCP and UDP have ports of their own: a rule with -p tcp does not match packets of {service}.",
                        service=_SERVICES[port],
                    ),
                    shell(command),
                    shown,
                    family,
                    first_that_mends(scene, family, [(command,)], shown),
                )


def published_for_tcp(scene: Scene) -> Iterator[Finding]:
    """Find containers that publish the port of such a service for TCP only."""
    for family in scene.families:
        found = list(scene.publications(family))
        udp = {(one.container.name, one.port.container_port) for one in found if one.port.proto == UDP}
        for one in found:
            port = one.port.container_port
            if one.port.proto == TCP and port in _SERVICES and (one.container.name, port) not in udp:
                yield _published(scene, family, one)


def _published(scene: Scene, family: Family, publication: Publication) -> Finding:
    port, name = publication.port, publication.container.name
    service = _SERVICES[port.container_port]
    return Finding(
        "udp-service-over-tcp",
        message(
            "{name} publishes {port}, but {service} uses UDP, and that is not published.",
            name=name,
            port=publication.outside,
            service=service,
        ),
        (scene.publishes(publication),),
        message("Docker publishes TCP unless the port ends with /udp."),
        message(
            "Publish it with -p {host_port}:{container_port}/udp.",
            host_port=port.host_port,
            container_port=port.container_port,
        ),
        None,
        family,
    )
