"""Findings about kernel parameters: a host that does not route, a host that routes its loopback network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from iptsim.findings.finding import Evidence, Finding
from iptsim.findings.scene import SOME_PORT, Scene
from iptsim.languages import message


def forwarding_off(scene: Scene) -> Iterator[Finding]:
    """Find a host with routing disabled although its containers need it."""
    sysctls = scene.host.namespace.sysctls
    if sysctls.get("net.ipv4.ip_forward") != "0" or 4 not in scene.families:
        return
    networks = [one for one in scene.docker_networks() if not one.internal and scene.members(one)]
    if not networks:
        return
    published = [one for one in scene.publications(4) if not one.on_loopback]
    if published:
        shown = scene.ask_port(published[0])
    else:
        shown = scene.ask(scene.members(networks[0])[0].name, "internet", proto="tcp", dport=443)
    if shown is None or shown.reason.code != "ip-forward-off":
        return
    yield Finding(
        "ip-forward-off",
        message("ip_forward is 0, so the host does not route for its containers."),
        (Evidence("sysctl.txt", "net.ipv4.ip_forward = 0"),),
        message(
            "No packets pass between containers and the outside, or between two networks; no rule "
            "can change that."
        ),
        message(
            "sysctl -w net.ipv4.ip_forward=1 (to keep it: a file in /etc/sysctl.d). dockerd does this when it "
            "starts, unless it has ip-forward=false."
        ),
        shown,
        4,
        ("sysctl -w net.ipv4.ip_forward=1",),
    )


def localnet_routed(scene: Scene) -> Iterator[Finding]:
    """Find interfaces that accept packets to 127.0.0.0/8 from the network, with rules that accept them."""
    neighbour, outside = scene.neighbour(4), scene.outside_interface(4)
    if 4 not in scene.families or neighbour is None or outside is None:
        return
    names = [f"net.ipv4.conf.{name}.route_localnet" for name in ("all", outside.name)]
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
            one="; ".join(commands),
            other="iptables -t raw -I PREROUTING -d 127.0.0.0/8 ! -i lo -j DROP",
        ),
        shown,
        4,
        commands,
    )


def ipv6_without_rules(scene: Scene) -> Iterator[Finding]:
    """Find a daemon.json that gives containers IPv6 addresses but leaves open whether dockerd writes IPv6 rules."""
    pasted, daemon = scene.host.pasted, scene.host.daemon
    if pasted is None or daemon is None or daemon.version is not None:
        return
    if not any(one.form == "daemon.json" for one in pasted.segments):
        return
    subnets = [
        subnet
        for network in scene.host.networks.values()
        for subnet in network.subnets
        if subnet.family == 6 and network.is_default_bridge
    ]
    if not subnets or daemon.ip6tables is not None or daemon.iptables is False:
        return
    yield Finding(
        "ipv6-rules-not-enabled",
        message('Containers get addresses of {subnet}, but "ip6tables" is not set.', subnet=str(subnets[0])),
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
