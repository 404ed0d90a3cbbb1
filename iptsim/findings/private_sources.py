"""DOCKER-USER that lets every private address past its restrictions, in a pasted text about a problem."""

from __future__ import annotations

from collections.abc import Iterator

from iptsim.addresses import Family, address_text
from iptsim.dump.rule import Rule
from iptsim.explanation import Explanation
from iptsim.findings.docker_user import CHAIN
from iptsim.findings.finding import Finding, of_rule, uses
from iptsim.findings.scene import Scene
from iptsim.languages import message, message_joined

#: The private networks of RFC 1918, address and prefix length.
_PRIVATE = ((0x0A000000, 8), (0xAC100000, 12), (0xC0A80000, 16))


def let_past(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted text, rules of DOCKER-USER that end the chain for whole private networks."""
    if not scene.is_pasted or 4 not in scene.families:
        return
    rules = [rule for rule in scene.rules(4, "filter", CHAIN) if _is_for_private(rule)]
    if not rules:
        return
    networks = [str(rule.parameters.source) for rule in rules]
    yield Finding(
        "docker-user-private-sources",
        message(
            "DOCKER-USER lets every sender in {networks} past: a test from your own LAN or a VPN is not blocked.",
            networks=message_joined(", ", dict.fromkeys(networks)),
        ),
        tuple(map(of_rule, rules)),
        message(
            "The rules behind these are for other senders only, so containers answer each other, and every private"
            " address that reaches the host. A connection from the internet shows what they block."
        ),
        message("Name the networks of the containers instead of all private ones, or test from outside."),
        _passes(scene, 4, rules[-1]),
        4,
    )


def _is_for_private(rule: Rule) -> bool:
    """Return whether a rule lets packets past whose source is in a whole private network."""
    source = rule.parameters.source
    if source is None or rule.parameters.negated or rule.target_name not in ("RETURN", "ACCEPT"):
        return False
    length = source.mask.bit_count()
    parameters = rule.parameters
    alone = parameters.in_interface is None and parameters.destination is None and parameters.protocol is None
    whole = any(length <= size and (source.address & source.mask) == network for network, size in _PRIVATE)
    return whole and alone and not any(match.predicates() for match in rule.matches if match.name)


def _passes(scene: Scene, family: Family, rule: Rule) -> Explanation | None:
    """Return a packet from the private network to a published port that the rule lets past."""
    source = rule.parameters.source
    sender = address_text(family, source.address + 0x0101 + 20) if source is not None else ""
    uplink = scene.outside_interface(family)
    for publication in scene.publications(family):
        port = publication.port
        shown = scene.ask(
            sender,
            port.host_address or "host",
            family,
            dport=port.host_port,
            **({"in": uplink.name} if uplink else {}),
        )
        if shown is not None and uses(shown, rule):
            return shown
    return None
