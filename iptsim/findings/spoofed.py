"""Spoofed sources: interfaces that accept source addresses that are not behind them.

That alone is common on hosts without strict reverse path filters, and harmless if packets with their true source are
treated the same. A finding is a packet that gets through only with a spoofed source: a rule trusts the addresses of a
network behind the host, but does not name the interface.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import product
from typing import NamedTuple

from iptsim.address_sets import AddressSet, union
from iptsim.addresses import Family
from iptsim.errors import IptsimError
from iptsim.explanation import Explanation
from iptsim.explanation.classes import shortened
from iptsim.extensions.constraints import named
from iptsim.findings.finding import SHOWN, Evidence, Finding, of_rule
from iptsim.findings.scene import SOME_PORT, Scene
from iptsim.host.address_regions import sources_behind, unicast_addresses
from iptsim.host.namespace import interface_parameter
from iptsim.languages import Message, message
from iptsim.passages import shell
from iptsim.protocols import ICMP, ICMPV6, PORT_PROTOCOLS, TCP, UDP
from iptsim.reaching.ends import own_addresses
from iptsim.reaching.traffic import Traffic
from iptsim.sets.packets import PacketSet

#: Packets that are walked to confirm one interface.
_TRIES = 12
_DNS = 53
#: All protocols and ports.
_EVERY = Traffic({number: ((0, 0xFFFF),) if number in PORT_PROTOCOLS else ((0, 0),) for number in range(256)})


class _Spoofed(NamedTuple):
    """What an interface accepts from addresses that are not behind it.

    Attributes:
        interface: the interface.
        sources: the addresses.
        packets: the packets.
        shown: one of them, walked.
    """

    interface: str
    sources: AddressSet
    packets: PacketSet
    shown: Explanation


def gains(scene: Scene) -> Iterator[Finding]:
    """Find interfaces on which packets get through only with a spoofed source."""
    for family, found in _spoofed(scene, only_gains=True):
        yield _gain(scene, family, found)


def unchecked(scene: Scene) -> Iterator[Finding]:
    """List the interfaces that accept packets from addresses that are not behind them."""
    known: set[tuple[Family, str]] = set()
    for family, found in _spoofed(scene, only_gains=False):
        if (family, found.interface) not in known:
            known.add((family, found.interface))
            yield _unchecked(scene, family, found)


def _spoofed(scene: Scene, *, only_gains: bool) -> Iterator[tuple[Family, _Spoofed]]:
    """Yield what interfaces accept from addresses that are not behind them, confirmed by a packet.

    Args:
        only_gains: leave out what they would also accept from the addresses behind them.
    """
    if scene.host.inferred:
        return  # the routes are a guess
    for family in scene.families:
        behind = _behind(scene, family)
        traffic = scene.traffic(family, "filter") if len(behind) > 1 else None
        if traffic is not None:
            for hook in ("FORWARD", "INPUT"):
                base = traffic.bases.get(hook)
                if base is None:
                    continue
                accepted = (base.packets("ACCEPT") & traffic.at_hook(hook)).having({"ct.state": "NEW"})
                for interface in behind:
                    here = accepted & traffic.space.where("in_interface", named(interface))
                    if only_gains and not here.depends_on("src"):
                        continue
                    found = _of_interface(scene, hook, interface, behind, here, only_gains)
                    if found is not None:
                        yield family, found


def _behind(scene: Scene, family: Family) -> dict[str, AddressSet]:
    """Return the addresses behind each interface to other machines; ports of bridges are parts of their bridge."""
    interfaces = scene.host.namespace.interfaces
    return {
        name: addresses
        for name, addresses in sources_behind(scene.host.namespace, family).items()
        if name != "lo" and not (name in interfaces and interfaces[name].master)
    }


def _of_interface(
    scene: Scene,
    hook: str,
    interface: str,
    behind: Mapping[str, AddressSet],
    accepted: PacketSet,
    only_gains: bool,
) -> _Spoofed | None:
    own = behind[interface]
    family = own.family
    foreign = unicast_addresses(scene.host, ~own) - own_addresses(scene.host, family)
    if only_gains:
        foreign &= _inner(scene, family, behind)
    packets = accepted.where("src", foreign.spans).must
    if hook == "FORWARD":
        packets -= packets.where("out_interface", named(interface))
    if only_gains:
        packets -= accepted.where("src", own.spans).may.without("src")
    if not packets:
        return None
    shown = _confirmed(scene, hook, interface, behind, packets)
    if shown is None:
        return None
    found = packets.addresses("src")
    # the host's own addresses, which the kernel never accepts as sources, would only make gaps in the text
    gaps = [first for first, _ in own_addresses(scene.host, family).spans if first - 1 in found]
    whole = found | AddressSet.of(family, ((one, one) for one in gaps))
    return _Spoofed(interface, whole, packets, shown)


def _inner(scene: Scene, family: Family, behind: Mapping[str, AddressSet]) -> AddressSet:
    """Return the addresses behind interfaces other than that to the outside."""
    outside = scene.outside_interface(family)
    inner = (found for name, found in behind.items() if outside is None or name != outside.name)
    return union(family, inner)


def _confirmed(
    scene: Scene, hook: str, interface: str, behind: Mapping[str, AddressSet], packets: PacketSet
) -> Explanation | None:
    """Return the walk of a packet that the host accepts; None if the reverse path filter drops them all."""
    family = behind[interface].family
    targets: dict[str, AddressSet] = (
        {"": own_addresses(scene.host, family)} if hook == "INPUT" else dict(behind)
    )
    pairs = ((source, target) for source, target in product(behind, targets) if source != interface)
    tries = 0
    for source, target in pairs:
        here = packets.where("src", behind[source].spans).where("dst", targets[target].spans)
        if target:
            here = here.where("out_interface", named(target))
        if not here:
            continue
        tries += 1
        if tries > _TRIES:
            return None
        fields = {**_usual(here, ICMPV6 if family == 6 else ICMP).witness(), "in": interface}
        with suppress(IptsimError):
            shown = scene.ask_fields({**fields, "reply": False})
            if shown.verdict == "ACCEPT":
                return shown
    return None


def _usual(packets: PacketSet, icmp: int) -> PacketSet:
    """Return the packets that make the best example: UDP packets, since one is enough."""
    for key, values in (("proto", (UDP, TCP, icmp)), ("dport", (_DNS, SOME_PORT))):
        for value in values:
            found = packets.where(key, ((value, value),))
            if found:
                packets = found
                break
    return packets


# -- words -----------------------------------------------------------------------------------------


def _gain(scene: Scene, family: Family, found: _Spoofed) -> Finding:
    return Finding(
        "spoofing-gains-access",
        message(
            "Packets that arrive on {interface} with a source in {addresses} are accepted, although these addresses "
            "are not behind it.",
            interface=found.interface,
            addresses=shortened(found.sources, SHOWN),
        ),
        _evidence(scene, family, found),
        message(
            "Rules trust these addresses on every interface: with such a source, {ports} is accepted, which other "
            "packets on {interface} may not send. Replies go to the real owner of the address, but a single UDP "
            "packet needs none.",
            interface=found.interface,
            ports=Traffic.of(found.packets).says(_EVERY),
        ),
        _remedy(family, found.interface),
        found.shown,
        family,
        *([_commands(found.interface)] if family == 4 else []),
    )


def _unchecked(scene: Scene, family: Family, found: _Spoofed) -> Finding:
    return Finding(
        "source-not-checked",
        message(
            "{interface} accepts packets from addresses that are not behind it: {addresses}.",
            interface=found.interface,
            addresses=shortened(found.sources, SHOWN),
        ),
        _evidence(scene, family, found),
        message("A packet that arrives there may have a spoofed source address."),
        _remedy(family, found.interface),
        found.shown,
        family,
    )


def _evidence(scene: Scene, family: Family, found: _Spoofed) -> tuple[Evidence, ...]:
    steps = found.shown.trace.legs[0].steps
    rules = [of_rule(step.rule) for step in steps if step.rule is not None and step.verdict == "ACCEPT"]
    name = interface_parameter(4, found.interface, "rp_filter")
    value = scene.host.namespace.sysctls.get(name)
    settings = [Evidence("sysctl.txt", f"{name} = {value}")] if family == 4 and value is not None else []
    return (*rules, *settings) or (
        Evidence(scene.host.rulesets[family].source, message("no rule checks source addresses")),
    )


def _commands(interface: str) -> tuple[str, ...]:
    return (f"sysctl -w {interface_parameter(4, interface, 'rp_filter')}=1",)


def _remedy(family: Family, interface: str) -> Message:
    if family == 6:
        return message(
            "{command}. Do not do this if packets come and go by different interfaces.",
            command=shell(f"ip6tables -t raw -I PREROUTING -i {interface} -m rpfilter --invert -j DROP"),
        )
    return message(
        "{command}. If packets come and go by different interfaces, name the interface, with -i, in the rules that"
        " accept the addresses instead.",
        command=shell(_commands(interface)[0]),
    )
