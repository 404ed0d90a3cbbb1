"""What guests need from the host itself: DNS and DHCP, which a program on the host serves on their bridge."""

from __future__ import annotations

import re
from collections.abc import Iterator

from iptsim.addresses import Family
from iptsim.dump.tool import tool_of
from iptsim.explanation import Explanation
from iptsim.findings.behind import Behind, ask_from, networks_behind
from iptsim.findings.finding import Evidence, Finding, blocked_at, of_policy, of_rule
from iptsim.findings.scene import Scene
from iptsim.languages import Text, message, message_sentences
from iptsim.protocols import UDP

#: Bridges on which libvirt, LXD, Incus and LXC run dnsmasq, and Podman (not on its default network) aardvark-dns.
_SERVED = re.compile(r"(virbr|lxdbr|incusbr|lxcbr)[0-9]+|podman[1-9][0-9]*")
_DNS = 53


def unserved(scene: Scene) -> Iterator[Finding]:
    """Find bridges of guests whose queries to the host's name server are blocked in INPUT."""
    for family in scene.families:
        for behind in networks_behind(scene, family):
            if not _SERVED.fullmatch(behind.interface) or not _may_listen(scene):
                continue
            shown = _asks_for_name(scene, family, behind)
            if shown is not None and blocked_at(shown, "INPUT") is not None:
                yield _finding(scene, family, behind, shown)


def _may_listen(scene: Scene) -> bool:
    """Return whether a program of the host listens for DNS, as far as the source shows."""
    listeners = scene.host.namespace.listeners
    return listeners is None or any((one.proto, one.port) == (UDP, _DNS) for one in listeners)


def _asks_for_name(scene: Scene, family: Family, behind: Behind) -> Explanation | None:
    """Walk a DNS query of a guest to the bridge's own address."""
    to = scene.address_on(behind.interface, family)
    return ask_from(scene, family, behind, to, proto="udp", dport=_DNS)


def decider_in_input(scene: Scene, family: Family, shown: Explanation) -> tuple[Evidence, ...]:
    """Return the rule or the policy of INPUT that blocks a packet."""
    step = shown.trace.legs[0].deciding
    chain = scene.table(family, "filter").chains.get("INPUT")
    if step is not None and step.rule is not None:
        return (of_rule(step.rule),)
    return (of_policy(chain),) if step is not None and step.policy and chain is not None else ()


def opening(scene: Scene, family: Family, interface: str, command: str) -> Text:
    """Return the remedy that opens INPUT to an interface: a command, and that of ufw if ufw is in use."""
    return message_sentences(
        message("{commands}.", commands=command),
        message("With ufw: ufw allow in on {name}.", name=interface)
        if any(chain.startswith("ufw-") for chain in scene.table(family, "filter").chains)
        else "",
    )


def _finding(scene: Scene, family: Family, behind: Behind, shown: Explanation) -> Finding:
    name = behind.interface
    command = f"{tool_of(family)} -I INPUT -i {name} -p udp -m multiport --dports 53,67 -j ACCEPT"
    return Finding(
        "guests-without-names",
        message("INPUT blocks the DNS queries of the guests on {name} to the host.", name=name),
        decider_in_input(scene, family, shown),
        message(
            "A program of the host listens on {name} and gives the guests names and addresses (dnsmasq, aardvark-dns). "
            "Their queries are for the host itself, so the rules of INPUT apply, not those of FORWARD.",
            name=name,
        ),
        opening(scene, family, name, command),
        shown,
        family,
        (command,),
    )
