"""The services of Kubernetes that rules of kube-proxy show, and their names in questions.

kube-proxy writes the service into a comment of each rule: "default/web:http cluster IP" (servicePortName and the
comments in pkg/proxy/iptables/proxier.go). In its nftables mode, chains are called after services
(servicePortChainNameBase and servicePortEndpointChainName in pkg/proxy/nftables/proxier.go).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from typing import NamedTuple

from iptsim.addresses import Family, address_text
from iptsim.dump.rule import Rule
from iptsim.errors import UsageError
from iptsim.host.model import Host
from iptsim.host.nft_chains import NftRule
from iptsim.languages import Message, message_if
from iptsim.protocols import PROTOCOLS

#: The comment of a rule for a service port: "NAMESPACE/NAME:PORT_NAME", and what the rule is for.
SERVICE = re.compile(r"(?P<service>[a-z0-9.-]+/[a-z0-9.-]+(?::[A-Za-z0-9.-]+)?):?(?: (?P<rest>.*))?")
_CHAINS = ("KUBE-SERVICES", "KUBE-NODEPORTS", "KUBE-EXTERNAL-SERVICES")
#: kube-proxy's table of nftables, and the names of its chains for a service or an endpoint.
NFT_TABLE = "kube-proxy"
_NFT_CHAIN = re.compile(
    r"(?:service|external|endpoint|firewall)-[A-Z0-9]+-(?P<name>[a-z0-9.-]+/[a-z0-9.-]+)/\w+/(?P<port>[A-Za-z0-9.-]*)"
    r"(?:__(?P<address>[0-9a-f.]+)/(?P<number>\d+))?"
)
#: The chain that leads to the services: its first rule to those with an address, its second to node ports.
_NFT_SERVICES, _NFT_NODE_PORTS = "services", 2
#: Names that an error lists.
_LISTED = 12


@dataclass(frozen=True, slots=True)
class ServicePort:
    """A port of a service, as one rule shows it.

    Attributes:
        service: "default/web:http", or "default/web" where the port has no name.
        family: of the address.
        address: the cluster IP, or that of a load balancer; None for a node port.
        port / proto: the port at that address, and the protocol's number.
        is_cluster_ip: whether the address is the cluster IP.
    """

    service: str
    family: Family
    address: int | None
    port: int
    proto: int
    is_cluster_ip: bool = False

    @property
    def name(self) -> str:
        """The service without the name of its port: "default/web"."""
        return self.service.partition(":")[0]

    @property
    def question(self) -> str:
        """Its name in a question: "svc/default/web:80", "nodeport/30080"."""
        if self.address is None:
            return f"nodeport/{self.port}"
        return f"svc/{self.name.removeprefix('default/')}:{self.port}"

    def is_called(self, name: str) -> bool:
        """Return whether a name refers to it: the service with or without its namespace and the port's name."""
        namespaced, _, port_name = name.partition(":")
        full, _, own = self.service.partition(":")
        return namespaced in (full, full.partition("/")[2]) and port_name in ("", own)


class NftService(NamedTuple):
    """What the name of a chain of kube-proxy's nftables mode tells.

    Attributes:
        service: "shop/web:http".
        endpoint: "10.244.0.4:8080"; "" for a chain of the whole service.
    """

    service: str
    endpoint: str


def nft_service(chain: str) -> NftService | None:
    """Return the service that a chain of nftables is for; None for another chain.

    >>> nft_service("endpoint-5OJB2KTY-shop/web/tcp/http__10.244.0.4/8080")
    NftService(service='shop/web:http', endpoint='10.244.0.4:8080')
    """
    found = _NFT_CHAIN.fullmatch(chain)
    if found is None:
        return None
    address = found["address"] or ""
    if address.count(".") != 3 and address:  # nft allows no colons in names
        address = f"[{address.replace('.', ':')}]"
    service = f"{found['name']}:{found['port']}" if found["port"] else found["name"]
    return NftService(service, f"{address}:{found['number']}" if address else "")


def service_ports(host: Host) -> list[ServicePort]:
    """Return the ports of services, each once, in the order of the rules."""
    return list(dict.fromkeys(_read(host)))


def _read(host: Host) -> Iterator[ServicePort]:
    for family, ruleset in host.rulesets.items():
        for table in ("nat", "filter"):
            for name in _CHAINS:
                chain = ruleset.chain(table, name)
                for rule in chain.rules if chain is not None else ():
                    if (found := _port(rule, family)) is not None:
                        yield found
    for base in host.namespace.nftables.chains if host.namespace.nftables is not None else ():
        if base.table == NFT_TABLE:
            for family, rules in base.rules:
                yield from _nft_ports(rules, family)


def _nft_ports(rules: Iterable[NftRule], family: Family) -> Iterator[ServicePort]:
    for rule in rules:
        called = nft_service(rule.called)
        port = re.search(r"--dports (\d+)(?: |$)", rule.words)
        proto = re.search(r"-p (\w+)", rule.words)
        to = re.search(r"-d (\S+)", rule.words)
        if rule.chain != _NFT_SERVICES or called is None or port is None or proto is None:
            continue
        is_node_port = rule.position >= _NFT_NODE_PORTS
        yield ServicePort(
            called.service,
            family,
            None if is_node_port or to is None else int(ip_address(to[1])),
            int(port[1]),
            PROTOCOLS.get(proto[1], 0),
            rule.called.startswith("service-") and not is_node_port,
        )


def _port(rule: Rule, family: Family) -> ServicePort | None:
    comments = (str(getattr(match, "comment", "")) for match in rule.matches if match.name == "comment")
    found = next((one for comment in comments if (one := SERVICE.fullmatch(comment))), None)
    port = re.search(r"--dport (\d+)(?: |$)", rule.text)
    if found is None or port is None or "health check" in (found["rest"] or ""):
        return None
    destination = rule.parameters.destination
    return ServicePort(
        found["service"],
        family,
        destination.address if destination is not None else None,
        int(port[1]),
        rule.parameters.protocol or PROTOCOLS["tcp"],
        found["rest"] == "cluster IP",
    )


def service_port(host: Host, name: str, port: int | None) -> ServicePort:
    """Return a port of a service.

    Args:
        host: the host whose rules show the services.
        name: the service: "web", "default/web:http".
        port: the number of the port, None for any.

    Raises:
        UsageError: the service, or its port, is unknown; the text lists the known ones.
    """
    known = [one for one in service_ports(host) if one.address is not None]
    found = [one for one in known if one.is_called(name) and port in (None, one.port)]
    if found:
        return max(found, key=lambda one: one.is_cluster_ip)
    raise UsageError(_unknown("service", name if port is None else f"{name}:{port}", known))


def node_port(host: Host, number: int) -> ServicePort:
    """Return a node port.

    Args:
        host: the host whose rules show the node ports.
        number: the port.

    Raises:
        UsageError: the node port is unknown; the text lists the known ones.
    """
    known = [one for one in service_ports(host) if one.address is None]
    found = [one for one in known if one.port == number]
    if found:
        return found[0]
    raise UsageError(_unknown("node port", str(number), known))


def _unknown(what: str, name: str, known: list[ServicePort]) -> Message:
    """Return the error for a service or node port that the rules do not show."""
    listed = list(dict.fromkeys(one.question for one in known))
    choices = ", ".join(listed[:_LISTED]) + (", ..." if len(listed) > _LISTED else "")
    shown = repr(name[:80])
    if what == "service":
        return message_if(
            listed,
            "unknown service {name}; choose from: {choices}",
            "unknown service {name}; the rules show none",
            name=shown,
            choices=choices,
        )
    return message_if(
        listed,
        "unknown node port {name}; choose from: {choices}",
        "unknown node port {name}; the rules show none",
        name=shown,
        choices=choices,
    )


def address_of(port: ServicePort) -> str:
    """Return the address of a service port as text, "" for a node port."""
    return address_text(port.family, port.address) if port.address is not None else ""
