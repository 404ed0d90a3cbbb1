"""Second uplinks on which strict reverse path filtering drops packets from the internet.

With rp_filter=1 the kernel drops a packet if its best route back to the sender leaves by another interface
(net/ipv4/fib_frontend.c; RFC 3704). That is what it is for on the interface of a LAN. On an uplink that is not the one
of the default route, it stops every connection from outside before any rule of INPUT or FORWARD sees it.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address

from iptsim.addresses import address_text
from iptsim.explanation import Explanation
from iptsim.findings.finding import Evidence, Finding, of_rule
from iptsim.findings.scene import SOME_PORT, Scene
from iptsim.host.namespace import interface_parameter
from iptsim.languages import Message, message
from iptsim.passages import shell

_STRICT = 1


def dropped(scene: Scene) -> Iterator[Finding]:
    """Find uplinks besides that of the default route whose packets from the internet rp_filter drops."""
    main = scene.outside_interface(4) if 4 in scene.families else None
    if main is None:
        return
    uplinks = _uplinks(scene)
    for name, interface in scene.host.namespace.interfaces.items():
        own = [one for one in interface.addresses if one.family == 4 and one.scope == "global"]
        evidence = uplinks.get(name) if own and name != main.name else None
        if evidence is None or scene.host.namespace.greater_sysctl(name, "rp_filter") != _STRICT:
            continue
        to = address_text(4, own[0].address)
        shown = scene.ask("internet", to, 4, proto="tcp", dport=SOME_PORT, **{"in": name})
        if shown is not None and shown.verdict == "DROP" and shown.reason.code == "rp-filter":
            yield _finding(scene, (name, to), main.name, evidence, shown)


def _uplinks(scene: Scene) -> dict[str, Evidence]:
    """Return what shows that packets from the internet arrive on an interface; links of LANs are not among them."""
    found: dict[str, Evidence] = {}
    for route in scene.host.namespace.routes:
        if route.family == 4 and route.device and not route.prefix_length and route.gateway:
            where = message("a default route of table {table} leaves by it", table=route.table)
            found.setdefault(route.device, Evidence(route.device, where))
    for name, interface in scene.host.namespace.interfaces.items():
        if any(one.family == 4 and IPv4Address(one.address).is_global for one in interface.addresses):
            found.setdefault(name, Evidence(name, message("it has a public address")))
    for rule in scene.rules(4, "nat", "PREROUTING"):
        parameters = rule.parameters
        named = parameters.in_interface and "in_interface" not in parameters.negated
        if named and rule.target_name == "DNAT" and not parameters.source:
            found.setdefault(parameters.in_interface or "", of_rule(rule))
    return found


def _finding(
    scene: Scene, arrival: tuple[str, str], main: str, evidence: Evidence, shown: Explanation
) -> Finding:
    name, address = arrival
    sysctls = scene.host.namespace.sysctls
    settings = [interface_parameter(4, place, "rp_filter") for place in ("all", name)]
    command = f"sysctl -w {settings[1]}=2"
    return Finding(
        "reverse-path-drops",
        message(
            "The kernel drops packets from the internet that arrive on {interface}: rp_filter is strict.",
            interface=name,
        ),
        (evidence, *(Evidence("sysctl", f"{one} = {sysctls[one]}") for one in settings if one in sysctls)),
        _why(name, main),
        message(
            "{command}. And send the replies back by {interface}, with a table of its own: {commands}",
            command=shell(command),
            interface=name,
            commands=shell(
                f"ip route add default via GATEWAY dev {name} table 100",
                f"ip rule add from {address} table 100",
            ),
        ),
        shown,
        4,
        (command,),
    )


def _why(name: str, main: str) -> Message:
    return message(
        "The best route back to the sender leaves by {main}, so strict reverse path filtering treats a packet on"
        " {interface} as spoofed. No rule of iptables sees it, and no counter shows it.",
        interface=name,
        main=main,
    )
