"""The host that results from Docker's settings, if a text contains no rules."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from ipaddress import IPv4Address, ip_address, ip_network
from typing import Any

from iptsim.addresses import Family, address_text
from iptsim.docker.model.settings import DockerHost
from iptsim.docker.sources.compose import ON_DEFAULT_BRIDGE, SettingError, read_services
from iptsim.docker.sources.files import of_daemon
from iptsim.docker.sources.host import check_daemon
from iptsim.docker.sources.started import started
from iptsim.dump.reader import loads
from iptsim.dump.rule import Rule
from iptsim.dump.ruleset import Ruleset, Table
from iptsim.errors import CaptureError
from iptsim.extensions.hidden import Hidden
from iptsim.host import dockerd_options
from iptsim.host.capture import namespace_of
from iptsim.host.docker_defaults import DEFAULT_BRIDGE, DEFAULT_NETWORK, guessed_subnet
from iptsim.host.docker_engine import numbers_of
from iptsim.host.dockerd import DockerDaemon
from iptsim.host.files import Source
from iptsim.host.model import Host
from iptsim.host.namespace import InterfaceAddress, Namespace
from iptsim.languages import message, text_of
from iptsim.paste.containers import PROJECT
from iptsim.paste.docker_bridges import docker_bridges
from iptsim.paste.docker_nft import with_docker
from iptsim.paste.forms.settings import merged
from iptsim.paste.pieces import Listed, Settings
from iptsim.paste.unread_settings import forget_unread
from iptsim.protocols import protocol_name
from iptsim.yaml_file import read_document

#: Files of a capture with what a host has besides Docker's rules and containers.
OWN_FILES = frozenset(
    {
        *("ip-addr.json", "ip-link.json", "ip-neigh.json", "ip-route.json", "ip6-route.json"),
        *("ip-rule.json", "ip6-rule.json", "sysctl.txt", "ss.txt", "docker-version.txt"),
    }
)


def host_with(
    found: list[Settings],
    source: str,
    files: dict[str, bytes],
    own: Mapping[str, Sequence[InterfaceAddress]],
) -> Host | None:
    """Return the host after dockerd has started with the settings in a text.

    None if the text shows bridges of Docker that may be those of other networks than its settings describe.

    Args:
        found: the settings.
        source: the name of the text.
        files: those of `OWN_FILES` that the text shows.
        own: addresses that must be the host's, by the interface on which packets to them arrive.

    Raises:
        CaptureError: a setting is invalid; the text names it.
    """
    settings = merged(found)
    namespace = namespace_of(Source(source, files))
    if not _take_bridges(settings, namespace):
        return None
    unread = forget_unread(settings)
    refused = _without_refused(settings)
    guesses = _assumed_subnets(settings)
    try:
        docker = _docker(settings, source)
    except SettingError as error:
        composed = [one for one in found if one.is_file]
        if len(composed) != 1:
            raise
        [shown] = composed
        above = "\n" * (shown.line - 1)
        raise error.within(read_document(above + shown.text, source, repeats=True)) from None
    version = dockerd_options.engine_version(files.get("docker-version.txt", b"").decode())
    with suppress(ValueError):  # the rules of some versions are unknown
        docker = docker.with_engine(numbers_of(version or ""))
    host = started(docker, source, namespace, files, own)
    host.namespace.nftables = with_docker(host.namespace.nftables, docker)
    host.assumptions += unread
    host.assumptions += (
        message("The subnet of {network} is {subnet}: a guess from an address.", network=name, subnet=subnet)
        for name, subnet in guesses
    )
    host.assumptions += (
        message(
            "Docker refuses the address {address} of {name}, as containers on the default bridge cannot choose theirs;"
            " another one is assumed.",
            address=address,
            name=name,
        )
        if network == DEFAULT_NETWORK
        else message(
            "Docker refuses the address {address} of {name}, which is outside the subnets of {network};"
            " another one is assumed.",
            address=address,
            name=name,
            network=network,
        )
        for name, network, address in refused
    )
    _open_links(host, docker)
    return host


def _without_refused(settings: Settings) -> list[tuple[str, str, str]]:
    """Remove the IPv4 addresses that Docker refuses: of commands, outside the subnets of their networks.

    On the default bridge, containers cannot choose theirs at all.

    Returns:
        the container, the network and the address of each.
    """
    refused = []
    for name, network, place in _places(settings) if settings.in_order else ():
        declared = settings.networks.get(network) or {}
        given = place.get("ipv4_address")
        if given and network == ON_DEFAULT_BRIDGE:
            del place["ipv4_address"]
            refused.append((name, DEFAULT_NETWORK, str(given)))
            continue
        try:
            subnets = [ip_network(one["subnet"], strict=False) for one in declared["ipam"]["config"]]
            outside = subnets and not any(ip_address(str(given)) in subnet for subnet in subnets)
        except (KeyError, TypeError, ValueError):
            continue
        if outside and given:
            del place["ipv4_address"]
            refused.append((name, network, str(given)))
    return refused


def _take_bridges(settings: Settings, namespace: Namespace) -> bool:
    """Give networks the subnets of the bridges that a text shows, and remove those bridges: dockerd makes them.

    Returns:
        whether all bridges are those of the networks of the settings, or of a LAN of the host, to which its default
        route or a macvlan network leads: those of other networks, of guests and of pods have rules that the text does
        not show.
    """
    shown = {
        name: next((one for one in addresses if one.family == 4), None)
        for name, addresses in docker_bridges(namespace).items()
    }
    of_lan = (
        shown.keys() | _parents(settings) | {one.device for one in namespace.routes if not one.prefix_length}
    )
    if any(one.kind == "bridge" and one.name not in of_lan for one in namespace.interfaces.values()):
        return False
    default = shown.get(DEFAULT_BRIDGE)
    if default is not None:
        settings.daemon.setdefault("bip", f"{address_text(4, default.address)}/{default.prefix_length}")
    for name, address in ((name, address) for name, address in shown.items() if name != DEFAULT_BRIDGE):
        networks = _user_networks(settings)
        declared = settings.networks.get(networks[0]) or {} if networks else {}
        if len(networks) != 1 or address is None or declared.keys() & {"ipam", "driver_opts"}:
            return False
        if not all(address.covers(given) for given in _given_addresses(settings, networks[0])):
            return False
        subnet = f"{address_text(4, address.network)}/{address.prefix_length}"
        settings.networks[networks[0]] = {
            **declared,
            "driver_opts": {"com.docker.network.bridge.name": name},
            "ipam": {"config": [{"subnet": subnet, "gateway": address_text(4, address.address)}]},
        }
    namespace.interfaces = {
        name: one
        for name, one in namespace.interfaces.items()
        if name not in shown and one.master not in shown
    }
    # a bridge without containers had no carrier
    namespace.routes = [
        replace(route, flags=frozenset()) if route.device in shown else route for route in namespace.routes
    ]
    return True


def _parents(settings: Settings) -> set[str]:
    """Return the interfaces above which networks have theirs (macvlan, ipvlan), VLANs without their number."""
    options = (one.get("driver_opts") for one in settings.networks.values() if isinstance(one, dict))
    parents = (str(one["parent"]) for one in options if isinstance(one, dict) and one.get("parent"))
    return {name.partition(".")[0] for name in parents}


def _user_networks(settings: Settings) -> list[str]:
    """Return the names of the networks that services use, except the default bridge."""
    found = dict[str, None]()
    for service in (one if isinstance(one, dict) else {} for one in settings.services.values()):
        networks = service.get("networks") or ([] if service.get("network_mode") else ["default"])
        found |= dict.fromkeys(map(str, networks if isinstance(networks, (dict, list)) else ()))
    return [name for name in found if name != ON_DEFAULT_BRIDGE]


def _given_addresses(settings: Settings, network: str) -> Iterator[int]:
    """Yield the IPv4 addresses that services have on a network."""
    for _, name, place in _places(settings):
        if name == network:
            with suppress(ValueError):
                yield int(IPv4Address(str(place.get("ipv4_address"))))


def _places(settings: Settings) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield the names of services, and of the networks that each is on, with what it has there."""
    for name, service in settings.services.items():
        networks = service.get("networks") if isinstance(service, dict) else None
        for network, place in networks.items() if isinstance(networks, dict) else ():
            if isinstance(place, dict):
                yield name, network, place


def _open_links(host: Host, docker: DockerHost) -> None:
    """Add what links may open: the ports that images expose, which settings do not show.

    Links open ports only on the default bridge, and matter only if its containers may not talk to each other.
    """
    network = docker.default_network
    chains = host.rulesets[4].tables["filter"].chains if "filter" in host.rulesets[4].tables else {}
    if network is None or network.icc or "DOCKER" not in chains:
        return
    added = list[Rule]()
    for container in docker.containers:
        for link in container.links:
            server = docker.container(link.target)
            ends = [one.endpoint(network.name) for one in (container, server) if one is not None]
            addresses = [one.addresses[4] for one in ends if one is not None and 4 in one.addresses]
            if len(addresses) == 2:
                added += _image_ports(network.bridge, link.target, addresses)
    rules = chains["DOCKER"].rules
    rules += (replace(rule, position=at) for at, rule in enumerate(added, start=len(rules) + 1))


def _image_ports(bridge: str, name: str, ends: Sequence[int]) -> list[Rule]:
    """Return rules of a link for ports that are not known, one for each protocol."""
    sender, target = (address_text(4, address) for address in ends)
    unknown = Hidden(
        words="(a port that its image exposes)",
        reason=message(
            "the ports that the image of {name} exposes, which the source does not show", name=name
        ),
        settle=message(
            "the output of {command}", command=f"docker inspect -f '{{{{.Config.ExposedPorts}}}}' {name}"
        ),
        place=("exposed", name),
    )
    text = "\n".join(
        f"-A DOCKER -s {sender}/32 -d {target}/32 -i {bridge} -o {bridge} -p {proto} -j ACCEPT"
        for proto in ("tcp", "udp")
    )
    ruleset = loads(f"*filter\n:DOCKER - [0:0]\n{text}\nCOMMIT\n")
    return [
        replace(rule, matches=(unknown,), line=0) for rule in ruleset.tables["filter"].chains["DOCKER"].rules
    ]


def listed_with(found: list[Settings], source: str) -> list[Listed]:
    """Return the containers that settings describe, with their published ports, for a host that its rules describe.

    Raises:
        CaptureError: a setting is invalid; the text names it.
    """
    settings = merged(found)
    forget_unread(settings)  # what is unknown there is left out
    return [
        Listed(
            one.name,
            "",
            "",
            tuple(
                (port.address, port.host_port, port.container_port, protocol_name(port.proto))
                for port in one.published
                if port.host_port and port.requested != ""  # else Docker has chosen another one
            ),
            networks=(
                *(end.network for end in (*one.endpoints, *one.apart)),
                *filter(None, [one.network_mode]),
            ),
        )
        for one in _docker(settings, source).containers
    ]


def add_status(
    rulesets: dict[Family, Ruleset], more: dict[Family, Ruleset], policies: Container[tuple[Family, str, str]]
) -> None:
    """Add the rules that existed before Docker's: those of another firewall, or of commands.

    Docker's rules precede them in each chain.

    Args:
        rulesets: Docker's rules.
        more: the other rules.
        policies: the built-in chains whose policies the other rules set: family, table and name.
    """
    for family, ruleset in more.items():
        for name, table in ruleset.tables.items():
            known = rulesets[family].tables.setdefault(name, Table(name))
            for chain in table.chains.values():
                own = known.chains.setdefault(chain.name, chain)
                if own is not chain:
                    if (family, name, chain.name) in policies:
                        own.policy = chain.policy
                    last = max((rule.position for rule in own.rules), default=0)
                    own.rules += [_behind(rule, last) for rule in chain.rules]


def _behind(rule: Rule, last: int) -> Rule:
    return replace(rule, position=rule.position + last) if rule.position else rule


def _docker(settings: Settings, source: str) -> DockerHost:
    try:
        options = dockerd_options.file_options(settings.daemon)
    except ValueError as error:
        raise CaptureError(message("{path}: {error}", path=source, error=text_of(error))) from None
    daemon = dockerd_options.make_daemon([(source, options)], None, ()) if options else DockerDaemon()
    if not settings.services and not settings.networks:
        return of_daemon(daemon)
    check_daemon(daemon)
    _forget_unshown(settings)
    for name, subnet in _assumed_subnets(settings):
        settings.networks[name] = {
            **(settings.networks.get(name) or {}),
            "ipam": {"config": [{"subnet": subnet}]},
        }
    document = {"name": PROJECT, "services": settings.services, "networks": settings.networks}
    return read_services(document, source, daemon, in_order=settings.in_order)


def _assumed_subnets(settings: Settings) -> list[tuple[str, str]]:
    """Return the networks that a text uses, but whose subnet it does not show, with the likely one of an address."""
    found: dict[str, str] = {}
    for _, name, place in _places(settings):
        network = settings.networks.get(str(name)) or {}
        shown = not isinstance(network, dict) or "ipam" in network
        given = place.get("ipv4_address")
        if shown or name == ON_DEFAULT_BRIDGE or not isinstance(given, str):
            continue
        try:
            own = guessed_subnet(int(IPv4Address(given)))
        except ValueError:
            continue
        found.setdefault(str(name), str(own))
    return list(found.items())


def _forget_unshown(settings: Settings) -> None:
    """Forget links to services that the text leaves out, and assume the networks that it does not declare."""
    for service in (one for one in settings.services.values() if isinstance(one, dict)):
        for key in ("depends_on", "links"):
            names = service.get(key)
            if isinstance(names, list):
                service[key] = [name for name in names if str(name).partition(":")[0] in settings.services]
            elif isinstance(names, dict):
                service[key] = {name: names[name] for name in names if name in settings.services}
        networks = service.get("networks")
        for name in networks if isinstance(networks, (list, dict)) else ():
            if name != ON_DEFAULT_BRIDGE:
                settings.networks.setdefault(str(name), {})
