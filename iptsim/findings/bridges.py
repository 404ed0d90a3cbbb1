"""Findings about bridges: icc=false without effect, and other bridges affected by Docker's policy."""

from __future__ import annotations

from collections.abc import Iterator

from iptsim.explanation import Explanation
from iptsim.findings.finding import Evidence, Finding, of_policy, tool_of
from iptsim.findings.remedy import first_that_mends
from iptsim.findings.scene import Scene, place
from iptsim.host.namespace import Interface
from iptsim.languages import message, message_sentences
from iptsim.packet import Family, address_text


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
            told = (
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
                (Evidence("sysctl.txt", told),),
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


def other_bridges(scene: Scene) -> Iterator[Finding]:
    """Find other programs' bridges and tunnels whose traffic is dropped only by the policy of FORWARD."""
    for family in scene.families:
        forward = scene.table(family, "filter").chains.get("FORWARD")
        if forward is None or forward.policy != "DROP" or not scene.has_docker:
            continue
        for interface in scene.host.namespace.interfaces.values():
            sender = _guest(scene, family, interface)
            shown = scene.ask(sender, "internet", family, proto="tcp", dport=443) if sender else None
            step = shown.reason.step if shown is not None else None
            if shown is None or shown.verdict != "DROP" or step is None:
                continue
            if not (step.policy and step.chain == "FORWARD" and step.table == "filter"):
                continue
            commands = _accepting(scene, family, interface, shown)
            yield Finding(
                "forward-drop-hits-others",
                message(
                    "The FORWARD policy DROP also cuts off the network behind {name}.", name=interface.name
                ),
                (of_policy(forward),),
                message(
                    "Docker sets this policy when it enables ip_forward. No rule accepts the traffic of {name}, so the "
                    "policy drops it.",
                    name=interface.name,
                ),
                message_sentences(
                    message("{commands}.", commands="; ".join(commands)) if commands else "",
                    message(
                        'Or set "ip-forward-no-drop": true in daemon.json (since 28), and the policy to ACCEPT: '
                        "{command}.",
                        command=f"{tool_of(family)} -P FORWARD ACCEPT",
                    ),
                ),
                shown,
                family,
                commands or (f"{tool_of(family)} -P FORWARD ACCEPT",),
            )


def _accepting(scene: Scene, family: Family, interface: Interface, shown: Explanation) -> tuple[str, ...]:
    """Return the rules needed to accept a bridge's traffic in both directions."""
    tool, name = tool_of(family), interface.name
    where = "DOCKER-USER" if scene.jumps(family, "filter", "DOCKER-USER") else "FORWARD"
    way_out = next((one.interfaces[1] for one in shown.trace.legs[0].steps if one.interfaces[1]), None)
    if way_out is None:
        return ()
    there = f"{tool} -I {where} -i {name} -o {way_out} -j ACCEPT"
    back = f"{tool} -I {where} -i {way_out} -o {name} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
    return first_that_mends(scene, family, [(there,), (back,), (there, back)], shown)


def _guest(scene: Scene, family: Family, interface: Interface) -> str | None:
    """Return an address behind a bridge or tunnel that is not Docker's; None for any other interface."""
    if interface.kind not in ("bridge", "wireguard", "tun") or not interface.up:
        return None
    if (
        scene.host.network_of_bridge(interface.name) is not None
        or scene.outside_interface(family) is interface
    ):
        return None
    for address in interface.addresses:
        if address.family != family or address.scope != "global" or address.peer is not None:
            continue
        for container in scene.host.containers.values():
            own = container.address(family)
            if container.running and own is not None and address.covers(own):
                return container.name
        candidate = address.network + 2 + (address.address == address.network + 2)
        if address.covers(candidate) and address.prefix_length <= (30 if family == 4 else 126):
            return address_text(family, candidate)
    return None
