"""Findings about bridges: icc=false without effect."""

from __future__ import annotations

from collections.abc import Iterator

from iptsim.findings.finding import Evidence, Finding
from iptsim.findings.scene import Scene, place
from iptsim.languages import message


def icc_not_enforced(scene: Scene) -> Iterator[Finding]:
    """Find networks with icc off on a host whose iptables does not see bridged packets."""
    for family in scene.families:
        name = "net.bridge.bridge-nf-call-iptables" if family == 4 else "net.bridge.bridge-nf-call-ip6tables"
        value = scene.host.namespace.sysctls.get(name)
        if value == "1" or not scene.docker_writes(family):
            continue
        for network in scene.docker_networks():
            if network.icc or network.internal or not any(one.family == family for one in network.subnets):
                continue
            members = scene.members(network, family)
            shown = None
            if len(members) > 1:
                one, other = members[0], members[1]
                shown = scene.ask(one.name, place(other, network), family, proto="tcp")
                if shown is None or shown.verdict != "ACCEPT":
                    continue
            reason = (
                f"{name} = {value}"
                if value is not None
                else message("{name} does not exist: br_netfilter is not loaded", name=name)
            )
            yield Finding(
                "icc-off-not-enforced",
                message(
                    "icc is off on {bridge}, but its containers can talk to each other.",
                    bridge=network.bridge or "",
                ),
                (Evidence("sysctl.txt", reason),),
                message(
                    "iptables never sees the packets that the bridge switches between its ports, so Docker's "
                    "DROP rule has no effect on them."
                ),
                message(
                    "modprobe br_netfilter; sysctl -w {name}=1. Or put the containers to isolate on separate "
                    "networks.",
                    name=name,
                ),
                shown,
                family,
                (f"sysctl -w {name}=1",),
            )
