"""The data about the host itself: settings, networks, containers, published ports."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from iptsim.addresses import FAMILIES
from iptsim.dump.tool import tool_of
from iptsim.errors import printable
from iptsim.host import Host
from iptsim.host.containers import Container, Network
from iptsim.host.dockerd import DockerDaemon
from iptsim.host.namespace import BRIDGE_NF
from iptsim.languages import say
from iptsim.render.endpoints import endpoints_json

#: Options of dockerd, with the fields and defaults.
_SETTINGS: tuple[tuple[str, str, str], ...] = (
    ("icc", "icc", "true"),
    ("iptables", "iptables", "true"),
    ("ip6tables", "ip6tables", ""),
    ("ip-forward", "ip_forward", "true"),
    ("ip-masq", "ip_masq", "true"),
    ("userland-proxy", "userland_proxy", "true"),
    ("ipv6", "ipv6", ""),
    ("firewall-backend", "firewall_backend", ""),
    ("allow-direct-routing", "allow_direct_routing", ""),
    ("ip-forward-no-drop", "ip_forward_no_drop", ""),
    ("ip", "host_binding", ""),
)
#: Kernel parameters that decide whether and where packets traverse the rules.
_SYSCTLS = (
    "net.ipv4.ip_forward",
    "net.ipv6.conf.all.forwarding",
    *BRIDGE_NF.values(),
    "net.ipv4.conf.all.rp_filter",
    "net.ipv4.conf.all.route_localnet",
)
#: Sources of a setting, besides a file.
DEFAULT, ASSUMED = "default", "assumed"


def about(host: Host) -> dict[str, Any]:
    """Return the host as plain, inert data."""
    endpoints = endpoints_json(host)["people"]
    containers = [endpoint for endpoint in endpoints if endpoint["kind"] == "container"]
    own = next(endpoint for endpoint in endpoints if endpoint["kind"] == "host")
    return {
        "engine": _engine(host.daemon),
        "settings": [*_settings(host), *_sysctls(host), *_policies(host)],
        "addresses": own["addresses"],
        "networks": [_network(network) for network in host.networks.values() if _has_packets(network)],
        "containers": [_container(host.containers[endpoint["name"]], endpoint) for endpoint in containers],
        "inferred": host.inferred,
        "assumptions": [printable(sentence) for sentence in host.assumptions],
    }


def _engine(daemon: DockerDaemon | None) -> str:
    if daemon is None:
        return ""
    version = printable(daemon.version or "")
    return (
        f"Docker {version}"
        if version
        else say("Docker, with rules as written by {version}", version=daemon.generation)
    )


def _settings(host: Host) -> Iterator[tuple[str, str, str]]:
    """Yield settings of dockerd with their value and its source."""
    daemon = host.daemon
    if daemon is None:
        return
    for option, field, default in _SETTINGS:
        value = getattr(daemon, field)
        if value is not None:
            text = str(value).lower() if isinstance(value, bool) else printable(str(value))
            yield f"--{option}", text, daemon.sources.get(field, "")
        elif default:
            yield f"--{option}", default, DEFAULT


def _sysctls(host: Host) -> Iterator[tuple[str, str, str]]:
    for name in _SYSCTLS:
        value = host.namespace.sysctls.get(name)
        if value is not None:
            yield name, printable(value), ASSUMED if host.inferred else "sysctl.txt"


def _policies(host: Host) -> Iterator[tuple[str, str, str]]:
    for family in FAMILIES:
        ruleset = host.rulesets.get(family)
        if ruleset is None:
            continue
        for name in ("INPUT", "FORWARD", "OUTPUT"):
            chain = ruleset.chain("filter", name)
            if chain is not None:
                yield (
                    f"{tool_of(family)} -P {name}",
                    chain.policy or "ACCEPT",
                    printable(ruleset.source.rpartition("/")[2]),
                )


def _has_packets(network: Network) -> bool:
    return network.driver not in ("host", "null")


def _network(network: Network) -> dict[str, Any]:
    marks = []
    if network.internal:
        marks.append("internal")
    if not network.icc:
        marks.append("icc=false")
    if not network.masquerade and not network.internal:
        marks.append("masquerade=false")
    marks += [
        f"gateway mode {mode}" for mode in dict.fromkeys(network.gateway_mode.values()) if mode != "nat"
    ]
    return {
        "name": printable(network.name),
        "driver": printable(network.driver),
        "bridge": printable(network.bridge or ""),
        "subnets": [str(subnet) for subnet in network.subnets],
        "marks": marks,
    }


def _container(container: Container, endpoint: dict[str, Any]) -> dict[str, Any]:
    networks = list(container.endpoints) or [container.network_mode]
    return {
        "name": printable(container.name),
        "running": container.running,
        "networks": [printable(name) for name in networks],
        "addresses": [printable(address) for address in endpoint["addresses"]],
        "published": [printable(port) for port in endpoint["published"]],
        "links": [printable(f"{link.target}:{link.alias}") for link in container.links],
    }
