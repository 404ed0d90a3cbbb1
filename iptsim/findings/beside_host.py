"""Containers on macvlan and ipvlan networks, which the host that carries them cannot reach."""

from __future__ import annotations

from collections.abc import Iterator

from iptsim.findings.finding import Evidence, Finding
from iptsim.findings.scene import SOME_PORT, Scene
from iptsim.host.containers import Network
from iptsim.languages import message
from iptsim.passages import shell

#: Drivers that give containers interfaces beside the host's own.
DRIVERS = frozenset({"macvlan", "ipvlan"})


def cut_off(scene: Scene) -> Iterator[Finding]:
    """Find a macvlan or ipvlan network with containers on a host that has no interface of that kind itself.

    In a pasted text that shows no containers, the network alone counts.

    Source: https://docs.docker.com/engine/network/drivers/macvlan/ (the kernel passes nothing between such an interface
    and its parent).
    """
    kinds = {interface.kind for interface in scene.host.namespace.interfaces.values()}
    for network in scene.host.networks.values():
        if network.driver not in DRIVERS or network.driver in kinds:
            continue
        members = scene.members(network)
        shown = scene.ask("host", members[0].name, proto="tcp", dport=SOME_PORT) if members else None
        if shown is None and (scene.host.containers or not scene.is_pasted):
            continue
        if shown is not None and shown.reason.code != "macvlan-host":
            continue
        yield Finding(
            "macvlan-host",
            message(
                "The host and the containers on {network} cannot reach each other: its driver is {driver}.",
                network=network.name,
                driver=network.driver,
            ),
            (_evidence(network),),
            message(
                "The kernel passes no packets between a {driver} interface and its parent interface, and no rule can"
                " change that. So these containers cannot use the host as their gateway or name server either.",
                driver=network.driver,
            ),
            message(
                "Give the host an interface of the same driver, with an address and a route to the containers:"
                " {command}. Or connect the containers to a bridge network, too.",
                command=shell(
                    f"ip link add NAME link {network.options.get('parent') or 'PARENT'} type {network.driver} mode "
                    f"{'bridge' if network.driver == 'macvlan' else 'l2'}"
                ),
            ),
            shown,
            4,
        )
        return


def without_parent(scene: Scene) -> Iterator[Finding]:
    """Find, in settings of Docker, a macvlan or ipvlan network without an interface of the host below it.

    Source: moby, drivers/macvlan/macvlan_network.go (createNetwork): without a parent, the driver makes a dummy link.
    """
    if not scene.is_pasted or any("inspect" in one.form for one in scene.pasted.segments):
        return  # what `docker network inspect` shows may lack the options, as if they came from another network
    for network in scene.host.networks.values():
        docker = network.daemon == "docker" and not network.internal
        if not docker or network.driver not in DRIVERS or "parent" in network.options:
            continue
        yield Finding(
            "without-parent",
            message(
                "The {driver} network {network} has no parent interface: its containers reach only each other.",
                driver=network.driver,
                network=network.name,
            ),
            (_evidence(network),),
            message(
                "Docker creates a dummy interface for it, which leads to no other network. No rule of the host has an"
                " effect on that."
            ),
            message(
                "Create it again with the interface of the LAN: {commands}",
                commands=shell(
                    f"docker network rm {network.name}",
                    f"docker network create -d {network.driver} -o parent=INTERFACE --subnet SUBNET --gateway GATEWAY "
                    f"{network.name}",
                ),
            ),
            None,
            4,
        )


def _evidence(network: Network) -> Evidence:
    parent = network.options.get("parent", "")
    text = f"driver: {network.driver}" + (f", parent: {parent}" if parent else "")
    return Evidence(network.name, text)
