"""Containers whose packets may be larger than the host's uplink carries, as on a cloud's or VPN's smaller link."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from iptsim.addresses import Family
from iptsim.dump.tool import tool_of
from iptsim.extensions.verdicts import BLOCKING
from iptsim.findings.finding import SHOWN, Evidence, Finding, of_line
from iptsim.findings.scene import Scene, called
from iptsim.host.containers import Network
from iptsim.host.namespace import Interface
from iptsim.languages import Message, Text, message, message_joined
from iptsim.passages import shell

_CLAMP = "-p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu"


def larger_than_uplink(scene: Scene) -> Iterator[Finding]:
    """Find Docker's bridges whose MTU exceeds that of the uplink, unless a rule lowers the MSS of what is forwarded.

    In a pasted text, sentences may tell them.
    """
    for family in scene.families:
        uplink = scene.outside_interface(family)
        if scene.host.inferred or uplink is None or _is_clamped(scene, family):
            continue
        large = [
            (network, size)
            for network in scene.docker_networks()
            if not network.internal and scene.members(network, family)
            for size in [_size(scene, network)]
            if size > uplink.mtu
        ]
        if large:
            yield _finding(scene, family, uplink, large)
    if (narrow := scene.pasted.narrow_link) is not None and scene.host.inferred:
        is_interface = any(map(str.isdigit, narrow.name))
        link = narrow.name if is_interface else message("the {name}", name=narrow.name)
        yield Finding(
            "larger-than-uplink",
            _title(message("Docker's networks"), narrow.docker, link, narrow.size),
            (of_line(narrow.line, narrow.text),),
            _explanation(narrow.docker),
            message(
                'Set "mtu": {mtu} in daemon.json (for networks that you create: --opt'
                " com.docker.network.driver.mtu={mtu}) and create the containers again.",
                mtu=narrow.size,
            ),
            None,
            scene.families[0],
        )


def _title(networks: Message, size: int, uplink: Text, mtu: int) -> Message:
    return message(
        "Packets on {names} may have {size} bytes, but {uplink} carries only {mtu}.",
        names=networks,
        size=size,
        uplink=uplink,
        mtu=mtu,
    )


def _explanation(size: int) -> Message:
    return message(
        "The containers announce a segment size for {size} bytes, so replies are sent in packets that are"
        " too large for the link to this host. If the network drops them, or filters the ICMP errors about"
        " them, connections of containers open and then hang, while those of the host work.",
        size=size,
    )


def _is_clamped(scene: Scene, family: Family) -> bool:
    """Return whether a rule changes the MSS of forwarded connections."""
    return any(
        rule.target_name == "TCPMSS"
        for table in ("mangle", "filter")
        for hook in ("FORWARD", "POSTROUTING", "PREROUTING")
        for rule in scene.rules_below(family, table, hook)
    )


def _size(scene: Scene, network: Network) -> int:
    """Return the largest packet that the containers of a network send: of the bridge, or of its ports if smaller."""
    interfaces = scene.host.namespace.interfaces
    bridge = interfaces.get(network.bridge or "")
    if bridge is None:
        return 0
    ports = [one.mtu for one in interfaces.values() if one.master == bridge.name]
    return min(bridge.mtu, max(ports, default=bridge.mtu))


def _finding(scene: Scene, family: Family, uplink: Interface, large: list[tuple[Network, int]]) -> Finding:
    network, size = large[0]
    sender = scene.members(network, family)[0].name
    flags: dict[str, Any] = {"ip_df": True} if family == 4 else {}
    shown = scene.ask(sender, "internet", family, proto="tcp", dport=443, length=size, **flags)
    names = message_joined(", ", [called(one) for one, _ in large[:SHOWN]])
    return Finding(
        "larger-than-uplink",
        _title(names, size, uplink.name, uplink.mtu),
        tuple(
            Evidence("ip-link.json", f"{one}: mtu {mtu}")
            for one, mtu in [(uplink.name, uplink.mtu), *((one.bridge or "", mtu) for one, mtu in large)]
        ),
        _explanation(size),
        message(
            'Set "mtu": {mtu} in daemon.json (for networks that you create: --opt com.docker.network.driver.mtu={mtu})'
            " and create the containers again; or lower the segment size of what is forwarded: {command}",
            mtu=uplink.mtu,
            command=shell(f"{tool_of(family)} -t mangle -A FORWARD -o {uplink.name} {_CLAMP}"),
        ),
        shown if shown is not None and shown.verdict in BLOCKING else None,
        family,
    )
