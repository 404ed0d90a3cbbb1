"""Addresses that sentences tell ("my host IP is 192.168.1.10"), also by which connections failed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from ipaddress import IPv4Address
from itertools import chain

from iptsim.addresses import Family, address_text, parse_address
from iptsim.dump.ruleset import Ruleset
from iptsim.host.containers import Network
from iptsim.host.docker_defaults import DOCKER0, default_subnet
from iptsim.host.inferred_interfaces import OUTSIDE
from iptsim.host.members import Prefix
from iptsim.host.model import Host
from iptsim.host.namespace import InterfaceAddress
from iptsim.languages import message
from iptsim.paste.addresses import is_address
from iptsim.paste.callers import callers
from iptsim.paste.containers import published_ports, service_of_container
from iptsim.paste.docker_interfaces import stand_in
from iptsim.paste.forms import sentences
from iptsim.paste.lines import Line
from iptsim.paste.logged_addresses import ADDRESS
from iptsim.paste.pieces import Ask, Listed, Segment, Settings
from iptsim.paste.unaddressed import with_subnet
from iptsim.paste.where_typed import ELSEWHERE

_HOST = r"(?:docker[ -]?)?(?:host|server|machine|nas)(?:'s)?"
_TOLD = re.compile(
    rf"(?:^|[\s(*`>-])(?:(?:the|my|our)\s+)?(?:(?:{_HOST}\s+(?:machine\s+)?(?:local\s+|lan\s+)?(?:ip\b|ipv4\b|address)(?:\s+address)?"
    rf"|(?:ip|address)(?:\s+address)?\s+of\s+(?:the|my|our)\s+{_HOST})\s*(?:is|=|:)"
    rf"|{_HOST}\s+with\s+(?:the\s+)?(?:ip|address)(?:\s+address)?)"
    r"\s*[`*]*(?P<address>\d{1,3}(?:\.\d{1,3}){3})(?![\d./]*\d)",
    re.IGNORECASE,
)
#: A name with its address, as people write it, and as psql and ping print it.
_NAMED = re.compile(
    r"(?<![\w./-])(?P<name>[A-Za-z0-9][\w.-]*)[\"'`*]* (?:(?:container|service) )?"
    r"\([`*]*(?P<address>\d{1,3}(?:\.\d{1,3}){3})[`*]*\)"
)
#: An address and a port to which programs connect.
_CONNECTED = re.compile(
    r"(?:\bhttps?://|\b(?:curl|wget|telnet|nc|ncat)\s(?:[^|#;]*?\s)?)"
    r"(?P<address>\d{1,3}(?:\.\d{1,3}){3})(?::|\s+)(?P<port>\d{2,5})\b(?!\.\d)"
)
#: Behind an address: it is on a machine that is not the host.
_ANOTHER = re.compile(
    r"(?<!from )\b(?:an)?other (?:host|server|machine|computer|pc|nas|device)\b", re.IGNORECASE
)
#: A published port of the host in a Compose file or behind -p: 8080:80, 127.0.0.1:8080:80/tcp.
_PUBLISHED = re.compile(r"(?:^|:)(\d{1,5}):\d")
#: An interface with its address: "eth1: 192.168.0.1", "the tun0 has ip 10.8.0.1", "eth0 (LAN, 10.1.1.1/24)".
_WORDS = r"(?:the|an?|my|our|is|has|with|static|local|private|public|internal|external|lan|wan|ip|ipv4|addr(?:ess)?)"
_OF_INTERFACE = re.compile(
    r"(?<![\w./:=-])(?P<name>(?:eth|en[opsx]|wl|tun|tap|wg|ppp|bond)[\w.]*\d\w*)[\"'`*]*"
    rf"(?=\s*[:(=]|\s+{_WORDS}\b)(?:[\s:(=,`*\"'-]|\b{_WORDS}\b){{1,40}}?"
    r"(?P<address>\d{1,3}(?:\.\d{1,3}){3})(?:/(?P<length>\d{1,2}))?(?![\w.:/])",
    re.IGNORECASE,
)


def told_interfaces(lines: Iterable[Line]) -> dict[str, list[InterfaceAddress]]:
    """Return the IPv4 addresses that sentences give interfaces, without those to which they give several.

    An address that dockerd may have chosen is that of a container's own interface. Without its length, a prefix is
    assumed to have that of most home networks, 24.
    """
    told: dict[str, set[tuple[str, int]]] = {}
    for line in lines:
        for found in _OF_INTERFACE.finditer(line.text[:300]):
            address, length = found["address"], int(found["length"] or OUTSIDE[4][1])
            if is_address(address) and 0 < length <= 32 and not _is_of_container(address):
                told.setdefault(found["name"], set()).add((address, length))
    named = {
        name: InterfaceAddress(family=4, address=parse_address(address)[1], prefix_length=length)
        for name, known in told.items()
        if len(known) == 1
        for address, length in known
    }
    return {
        name: [one] for name, one in named.items() if one.prefix_length > 30 or one.address != one.network
    }


def told_address(lines: Iterable[Line]) -> InterfaceAddress | None:
    """Return the IPv4 address that sentences give the host; None if they name none or several."""
    found = {told["address"] for line in lines if (told := _TOLD.search(line.text)) is not None}
    if len(found) != 1 or not is_address(*found):
        return None
    _, address = parse_address(found.pop())
    return InterfaceAddress(family=4, address=address, prefix_length=24)


def address_of_published(
    lines: Iterable[Line], settings: Iterable[Settings], listed: Iterable[Listed]
) -> InterfaceAddress | None:
    """Return the one private IPv4 address, outside dockerd's pools, at which programs look for published ports.

    So it is the host's. None if there are several, or a network of the settings has it.
    """
    services = [service for one in settings for service in one.services.values() if isinstance(service, dict)]
    published = [service.get("ports") for service in services]
    ports = {
        int(found[1])
        for given in published
        for one in (given if isinstance(given, list) else ())
        if (found := _PUBLISHED.search(str(one)))
    }
    ports |= {port.host_port for one in listed for port in published_ports(one)}
    texts = [line.text[:500] for line in lines] if ports else []
    ends = (
        end
        for text in texts
        for end in _CONNECTED.finditer(text)
        if int(end["port"]) in ports and not _ANOTHER.search(text, end.end())
    )
    known = {IPv4Address(end["address"]) for end in ends if is_address(end["address"])}
    own = {
        one
        for one in known
        if one.is_private and not (one.is_loopback or one.is_unspecified) and _docker_subnet(int(one)) is None
    }
    if len(own) != 1:
        return None
    address = int(own.pop())
    return InterfaceAddress(family=4, address=address, prefix_length=24)


def _docker_subnet(address: int) -> Prefix | None:
    """Return the subnet of an address if dockerd chooses it where no home network is."""
    subnet = default_subnet(address)
    return subnet if subnet is not None and subnet.length == DOCKER0.length else None


def with_told_addresses(listed: Sequence[Listed], lines: Iterable[Line]) -> list[Listed]:
    """Give containers in a list the addresses in brackets behind their names, or those of their services."""
    names = {one.name: one.name for one in listed if not (one.address or one.stopped)}
    services = {service: name for name in names if (service := service_of_container(name))}
    told = _told_once({**services, **names}, [one.address for one in listed], lines)
    return [replace(one, address=told[one.name]) if one.name in told else one for one in listed]


def give_services(settings: Iterable[Settings], lines: Iterable[Line]) -> None:
    """Give services of Compose files the addresses in brackets behind their names.

    Only those that are on one network, and have no address of their own there.
    """
    on = {
        name: (service, networks[0])
        for one in settings
        for name, service in one.services.items()
        if one.is_file and isinstance(service, dict) and "network_mode" not in service
        for networks in [service.get("networks") or ["default"]]
        if isinstance(networks, list) and len(networks) == 1
    }
    for name, address in _told_once({name: name for name in on}, (), lines).items():
        service, network = on[name]
        service["networks"] = {network: {"ipv4_address": address}}


def _told_once(names: Mapping[str, str], known: Iterable[str], lines: Iterable[Line]) -> dict[str, str]:
    """Return the addresses in brackets behind names.

    Only one that dockerd may have chosen for just this container: neither the gateway of its subnet, nor one told of
    several containers.

    Args:
        names: the containers, by what texts may call them.
        known: the addresses of others.
        lines: the texts.
    """
    told: dict[str, set[str]] = {name: set() for name in names.values()}
    for line in lines if told else ():
        for found in _NAMED.finditer(line.text):
            if found["name"] in names:
                told[names[found["name"]]].add(found["address"])
    times = Counter([*known, *chain.from_iterable(told.values())])
    return {
        name: address
        for name, found in told.items()
        for address in found
        if len(found) == 1 and times[address] == 1 and _is_of_container(address)
    }


def _is_of_container(text: str) -> bool:
    """Return whether an address is in a subnet that dockerd chooses where no home network is, but not its gateway.

    >>> _is_of_container("172.20.0.3"), _is_of_container("172.20.0.1"), _is_of_container("192.168.1.3")
    (True, False, False)
    """
    if not is_address(text):
        return False
    address = parse_address(text)[1]
    subnet = _docker_subnet(address)
    return subnet is not None and address > subnet.address + 1


def take_address(host: Host, told: InterfaceAddress) -> None:
    """Give the told address to the interface whose assumed address is in the same subnet."""
    namespace = host.namespace
    for name, interface in namespace.interfaces.items():
        for assumed in interface.addresses if interface.kind not in ("bridge", "loopback") else ():
            own = replace(assumed, address=told.address)
            if assumed.family != 4 or own.network != assumed.network or told.address == assumed.address:
                continue
            addresses = tuple(own if one == assumed else one for one in interface.addresses)
            namespace.interfaces[name] = replace(interface, addresses=addresses)
            namespace.routes = [
                replace(route, source=told.address) if route.source == assumed.address else route
                for route in namespace.routes
            ]
            namespace.cache.clear()
            host.assumptions.append(
                message(
                    "The source says that the host has the address {address}; it is assumed to be on {name}.",
                    address=address_text(4, told.address),
                    name=name,
                )
            )
            return


def asked_address(
    segments: Iterable[Segment], rulesets: Mapping[Family, Ruleset]
) -> Mapping[str, list[InterfaceAddress]]:
    """Return the address that somebody cannot reach as one of the host, without the name of its interface.

    Whoever shows rules for INPUT, and none for forwarded packets, asks about the machine with these rules.
    """
    asks = [piece for segment in segments if segment.form == sentences.FORM for piece in segment.pieces]
    for ask in asks:
        if not isinstance(ask, Ask):
            continue
        sender, to = ask.fields.get("from", ""), ask.fields["to"]
        if not ADDRESS.fullmatch(sender) or not ADDRESS.fullmatch(to):
            continue
        family, address = parse_address(to)
        if family in rulesets and _is_for_host_only(rulesets[family]):
            own = InterfaceAddress(family=family, address=address, prefix_length=OUTSIDE[family][1])
            return {"": [own]}
    return {}


def _is_for_host_only(ruleset: Ruleset) -> bool:
    """Return whether the built-in chains with rules are INPUT, and perhaps OUTPUT, of table filter."""
    chains = [(table.name, chain) for table in ruleset.tables.values() for chain in table.chains.values()]
    called = {(name, chain.name) for name, chain in chains if chain.policy is not None and chain.rules}
    called |= {
        (table.name, caller)
        for table in ruleset.tables.values()
        for _, found in callers(table)
        for caller in found
    }
    return ("filter", "INPUT") in called and called <= {("filter", "INPUT"), ("filter", "OUTPUT")}


def add_asked_networks(host: Host, asks: Iterable[Ask]) -> None:
    """Add the networks whose gateways containers ask for, if they are in dockerd's pools and no interface has them.

    If the text names one bridge without a subnet, it is that network's.

    Args:
        host: the host, whose interfaces were inferred.
        asks: the connections that failed.
    """
    for ask in asks:
        subnet = _subnet(ask)
        if subnet is None or any(own.covers(subnet.address + 1) for _, own in host.namespace.addresses(4)):
            continue
        others = [one for one in host.networks.values() if one.bridge and not one.is_default_bridge]
        free = [one for one in others if not one.subnets]
        if len(free) > 1:
            continue
        if not free:
            name = stand_in(subnet)
            free = [Network(name=name, bridge=name, daemon="docker")]
            host.assumptions.append(
                message("Names of bridges that are not shown are made up: {names}.", names=name)
            )
        with_subnet(host, free[0], subnet)


def _subnet(ask: Ask) -> Prefix | None:
    """Return the subnet of dockerd's pools whose gateway a container asks for; not that of the default bridge."""
    if ask.container in (None, ELSEWHERE) or not ADDRESS.fullmatch(to := ask.fields["to"]):
        return None
    family, address = parse_address(to)
    subnet = default_subnet(address) if family == 4 else None
    return None if subnet in (None, DOCKER0) or subnet.address + 1 != address else subnet
