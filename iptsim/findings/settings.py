"""Findings about kernel parameters: a host that does not route, a host that routes its loopback network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from iptsim.dump.rule import Rule
from iptsim.explanation import Explanation
from iptsim.extensions.verdicts import TRANSLATING_SOURCE
from iptsim.findings.behind import SOME_CONTAINER, SOME_GUEST, Behind, ask_outside, networks_behind
from iptsim.findings.finding import Evidence, Finding, of_rule
from iptsim.findings.port_forwards import forwards
from iptsim.findings.scene import SOME_PORT, Scene
from iptsim.host.docker_defaults import DEFAULT_BRIDGE
from iptsim.host.docker_engine import generation_of_chains
from iptsim.host.namespace import interface_parameter
from iptsim.languages import message
from iptsim.passages import shell


def forwarding_off(scene: Scene) -> Iterator[Finding]:
    """Find a host with routing disabled although its containers, port forwards or networks need it."""
    sysctls = scene.host.namespace.sysctls
    if sysctls.get("net.ipv4.ip_forward") != "0" or 4 not in scene.families:
        return
    asked = _of_containers(scene)
    is_for_containers = asked is not None
    shown, rules = asked or next(_of_others(scene), (None, ()))
    if shown is None or shown.reason.code != "ip-forward-off":
        return
    yield Finding(
        "ip-forward-off",
        message("ip_forward is 0, so the host does not route for its containers.")
        if is_for_containers
        else message(
            "ip_forward is 0, so the host does not route: its rules for forwarded packets have no effect."
        ),
        (Evidence("sysctl.txt", "net.ipv4.ip_forward = 0"), *map(of_rule, rules)),
        message(
            "No packets pass between two networks, such as those of containers and the outside; no rule can change "
            "that."
        ),
        message(
            "{command}. To keep it, write it to a file in /etc/sysctl.d. dockerd sets it when it starts, unless it has"
            " ip-forward=false.",
            command=shell("sysctl -w net.ipv4.ip_forward=1"),
        )
        if is_for_containers
        else message(
            "{command}. To keep it, write it to a file in /etc/sysctl.d.",
            command=shell("sysctl -w net.ipv4.ip_forward=1"),
        ),
        shown,
        4,
        ("sysctl -w net.ipv4.ip_forward=1",),
    )


def _of_containers(scene: Scene) -> tuple[Explanation | None, tuple[Rule, ...]] | None:
    """Walk a packet that needs routing to or from a container; None if there are none."""
    networks = [one for one in scene.docker_networks() if not one.internal and scene.members(one)]
    if not networks:
        # docker run and docker info warn of it before there is a container
        told = "docker" in scene.pasted.engines and scene.host.inferred
        fields: dict[str, Any] = {"proto": "tcp", "dport": 443, "in": DEFAULT_BRIDGE}
        found = scene.ask(SOME_CONTAINER, "internet", **fields) if told else None
        return (found, ()) if found else None
    published = next((one for one in scene.publications(4) if not one.on_loopback), None)
    if published is not None:
        return scene.ask_port(published), ()
    return scene.ask(scene.members(networks[0])[0].name, "internet", proto="tcp", dport=443), ()


def _of_others(scene: Scene) -> Iterator[tuple[Explanation | None, tuple[Rule, ...]]]:
    """Walk packets for the port forwards of a person, and from the networks for which rules masquerade."""
    for forward in forwards(scene, 4):
        yield scene.ask("internet", forward.at, 4, **forward.fields), (forward.rule,)
    masquerading = [
        rule for rule in scene.rules(4, "nat", "POSTROUTING") if rule.target_name in TRANSLATING_SOURCE
    ]
    if masquerading:
        inner = Behind(_inner(scene) or "tun0", SOME_GUEST[4])
        yield ask_outside(scene, 4, next(networks_behind(scene, 4), inner)), tuple(masquerading[:1])


def _inner(scene: Scene) -> str | None:
    """Return an interface other than the uplink from which a rule of FORWARD takes packets."""
    outside = scene.outside_interface(4)
    parameters = (rule.parameters for rule in scene.rules(4, "filter", "FORWARD"))
    names = (one.in_interface for one in parameters if "in_interface" not in one.negated)
    return next((name for name in names if name and (outside is None or name != outside.name)), None)


def localnet_routed(scene: Scene) -> Iterator[Finding]:
    """Find interfaces that accept packets to 127.0.0.0/8 from the network, with rules that accept them."""
    neighbour, outside = scene.neighbour(4), scene.outside_interface(4)
    if 4 not in scene.families or neighbour is None or outside is None:
        return
    names = [interface_parameter(4, name, "route_localnet") for name in ("all", outside.name)]
    on = [name for name in names if scene.host.namespace.sysctls.get(name) == "1"]
    if not on:
        return
    arrives: dict[str, Any] = {"in": outside.name}
    shown = scene.ask(neighbour, "127.0.0.1", proto="tcp", dport=SOME_PORT, **arrives)
    if shown is None or shown.trace.legs[0].verdict != "ACCEPT":
        return
    commands = tuple(f"sysctl -w {name}=0" for name in on)
    yield Finding(
        "route-localnet",
        message(
            "Machines on the link of {interface} can reach services that listen on 127.0.0.1.",
            interface=outside.name,
        ),
        tuple(Evidence("sysctl.txt", f"{name} = 1") for name in on),
        message(
            "Services on the loopback address often trust all clients. With route_localnet the kernel "
            "no longer drops such packets, and no rule does."
        ),
        message(
            "{one}, or: {other}",
            one=shell(*commands),
            other=shell("iptables -t raw -I PREROUTING -d 127.0.0.0/8 ! -i lo -j DROP"),
        ),
        shown,
        4,
        commands,
    )


def ipv6_without_rules(scene: Scene) -> Iterator[Finding]:
    """Find a daemon.json that gives containers IPv6 addresses but leaves open whether dockerd writes IPv6 rules."""
    pasted, daemon = scene.pasted, scene.host.daemon
    if daemon is None or daemon.version is not None:
        return
    if not any(one.form == "daemon.json" for one in pasted.segments):
        return
    subnets = [
        subnet
        for network in scene.host.networks.values()
        for subnet in network.subnets
        if subnet.family == 6 and network.is_default_bridge
    ]
    subnet = str(subnets[0]) if subnets else daemon.fixed_cidr_v6 if daemon.ipv6 else None
    if subnet is None or daemon.ip6tables is not None or daemon.iptables is False:
        return
    if pasted.with_rules:
        is_new = generation_of_chains(scene.table(4, "filter").chains) in ("28", "29")
        if is_new or (6 in scene.host.rulesets and "DOCKER" in scene.table(6, "nat").chains):
            return
    yield Finding(
        "ipv6-rules-not-enabled",
        message('Containers get addresses of {subnet}, but "ip6tables" is not set.', subnet=subnet),
        (Evidence("daemon.json", '"ipv6": true'),),
        message(
            'Before Docker 27, dockerd writes no IPv6 rules unless "ip6tables" is true: packets of containers are not '
            "masqueraded, ports are published by docker-proxy alone, and nothing filters what is sent to containers."
        ),
        message(
            'Set "ip6tables": true in daemon.json (before 27 also "experimental": true), or use Docker 27 or later.'
        ),
        None,
        6,
    )
