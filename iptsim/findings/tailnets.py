"""The range of Tailscale's addresses, where another network uses it, too.

Tailscale drops every packet from 100.64.0.0/10 that does not arrive on its interface (tailscale/util/linuxfw). RFC 6598
reserves these addresses for carrier-grade NAT: providers use them for gateways, clouds for name servers and mirrors.
"""

from __future__ import annotations

from collections.abc import Iterator

from iptsim.addresses import address_text
from iptsim.dump.rule import Rule
from iptsim.findings.finding import Evidence, Finding, filtered_at, of_rule
from iptsim.findings.overlaps import words_of
from iptsim.findings.scene import SOME_PORT, Scene
from iptsim.host.inferred_interfaces import TAILNETS, TAILSCALE
from iptsim.host.namespace import Route
from iptsim.languages import message, message_many
from iptsim.passages import shell

_RANGE = TAILNETS[0]
#: Some address of the range, and the name server that Tailscale itself provides.
_SOME = _RANGE.address + 0x20202
_MAGIC_DNS = _RANGE.address + 0x246464


def dropped(scene: Scene) -> Iterator[Finding]:
    """Find packets that Tailscale drops because another network has addresses of its range."""
    for rule in scene.rules(4, "filter", "ts-input"):
        if not _drops_range(rule):
            continue
        route = _elsewhere(scene)
        counted = rule.counters.packets if rule.counters is not None else 0
        outside = scene.outside_interface(4)
        device = (route.device if route is not None else outside.name if outside is not None else None) or ""
        if not device or (route is None and not counted):
            continue
        address = address_text(4, _SOME if route is None else _member(route))
        shown = scene.ask(address, "host", 4, proto="tcp", dport=SOME_PORT, **{"in": device})
        step = filtered_at(shown, "INPUT") if shown is not None else None
        if step is None or step.rule is not rule:
            continue
        sender = address if route is not None else "ADDRESS"
        yield Finding(
            "tailscale-drops-range",
            message(
                "Tailscale drops packets from {address}, to which a route leads by {name}.",
                address=address,
                name=device,
            )
            if route is not None
            else message_many(
                "Tailscale has dropped {count} packet from {range} that did not arrive on {tunnel}.",
                "Tailscale has dropped {count} packets from {range} that did not arrive on {tunnel}.",
                counted,
                range=str(_RANGE),
                tunnel=TAILSCALE,
            ),
            (of_rule(rule), *([Evidence("ip route", words_of(route))] if route is not None else [])),
            message(
                "{chain} drops all packets from {range} that do not arrive on {tunnel}, also the replies to connections"
                " of the host. The range is for carrier-grade NAT; some providers and clouds have their gateways, name"
                " servers and mirrors there.",
                chain="ts-input",
                range=str(_RANGE),
                tunnel=TAILSCALE,
            ),
            message(
                "{command}. Tailscale puts its jump first again when it restarts. With tailscale set"
                " --netfilter-mode=off it writes no rules, so those for exit nodes and subnet routes are missing, too.",
                command=shell(command := f"iptables -I INPUT -i {device} -s {sender} -j ACCEPT"),
            ),
            shown,
            4,
            (command,) if route is not None else (),
        )


def _drops_range(rule: Rule) -> bool:
    source = rule.parameters.source
    return rule.target_name == "DROP" and source is not None and source.short == str(_RANGE)


def _elsewhere(scene: Scene) -> Route | None:
    """Return a route into the range by another interface than Tailscale's."""
    return next((route for route in scene.host.namespace.routes if _is_elsewhere(route)), None)


def _is_elsewhere(route: Route) -> bool:
    inside = (
        route.family == 4 and _RANGE.covers(4, route.destination) and route.prefix_length >= _RANGE.length
    )
    other = route.device not in (None, "lo") and not str(route.device).startswith("tailscale")
    return (
        inside
        and other
        and (route.table, route.type) == ("main", "unicast")
        and route.destination != _MAGIC_DNS
    )


def _member(route: Route) -> int:
    return route.destination + (2 if route.prefix_length < 31 else 0)
