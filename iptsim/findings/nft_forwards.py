"""Port forwards and redirects of nftables whose packets stop afterwards, or that take more than they are for."""

from __future__ import annotations

from collections.abc import Iterator

from iptsim.addresses import Family, address_text, is_loopback
from iptsim.dump.rule import Rule
from iptsim.explanation import Explanation
from iptsim.explanation.places import place_of
from iptsim.extensions.targets.dnat import Dnat
from iptsim.extensions.targets.redirect import Redirect
from iptsim.findings.examples import header
from iptsim.findings.finding import SHOWN, Finding, of_rule
from iptsim.findings.native_chains import (
    blocked_by_chain,
    chains_of,
    handle_of,
    has_only_nftables,
    inserting,
    name_of,
)
from iptsim.findings.redirects import is_for_every_host, taken_from_guest, takes_every_host
from iptsim.findings.scene import Scene
from iptsim.findings.translated import arrives, leads_to_loopback
from iptsim.host.nft_chains import NftChain
from iptsim.languages import message
from iptsim.netfilter.steps import Step
from iptsim.passages import shell


def to_loopback(scene: Scene) -> Iterator[Finding]:
    """Find rules that send packets from other machines to 127.0.0.0/8, which the kernel does not route."""
    for _, rule in _translating(scene, 4):
        address = _target(rule)
        if address is not None and is_loopback(4, address):
            yield from leads_to_loopback(scene, rule, address)


def blocked(scene: Scene) -> Iterator[Finding]:
    """Find port forwards whose packets a chain of the hook forward does not accept."""
    for family in scene.families:
        found: dict[str, list[tuple[Rule, Step, Explanation]]] = {}
        for _, rule in _translating(scene, family):
            address = _target(rule)
            if address is None or is_loopback(family, address) or "dport" not in header(rule):
                continue
            to = rule.parameters.destination
            at = address_text(family, to.address) if to is not None else "host"
            shown = arrives(scene, family, rule, at, header(rule))
            step = blocked_by_chain(shown, "FORWARD")
            if shown is not None and step is not None:
                found.setdefault(name_of(step), []).append((rule, step, shown))
        for forwards in found.values():
            yield _blocked(scene, family, forwards)


def _blocked(scene: Scene, family: Family, forwards: list[tuple[Rule, Step, Explanation]]) -> Finding:
    rule, step, shown = forwards[0]
    target, port = address_text(family, _target(rule) or 0), _port(rule, shown)
    protocol = "ip" if family == 4 else "ip6"
    command = inserting(step, f"{protocol} daddr {target} {shown.question.proto} dport {port} accept")
    return Finding(
        "nftables-drops-forwarded",
        message(
            "The nftables chain {chain} drops packets to the forwarded port {port}.",
            chain=name_of(step),
            port=f"{shown.question.proto}/{shown.question.dport}",
        ),
        (*(of_rule(one) for one, _, _ in forwards[:SHOWN]), scene.of_step(family, step)),
        message(
            "{rule} changes the destination to {target} before the hook forward, where no rule accepts it: a rule there"
            " must name the new address and port.",
            rule=place_of(rule),
            target=f"{target}:{port}" if family == 4 else f"[{target}]:{port}",
        ),
        shell(command),
        shown,
        family,
        (command,),
    )


def redirects(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted text, rules of the hook prerouting that take a port whatever host it is for."""
    if not scene.is_pasted or scene.has_docker:
        return
    for family in scene.families:
        # the rules that lead to another chain may have conditions of their own
        found = [
            (base, rule, shown)
            for base, rule in _translating(scene, family)
            if rule.chain == base.name
            and is_for_every_host(rule, with_exceptions=True)
            and (shown := taken_from_guest(scene, family, rule)) is not None
        ]
        if found:
            base, rule, _ = found[0]
            place = f"{rule.table} {rule.chain}"
            command = (
                f"nft replace rule {place} handle {handle_of(base, rule)} fib daddr type local {rule.shown}"
            )
            yield takes_every_host(family, place, [(one, shown) for _, one, shown in found], command)


def _translating(scene: Scene, family: Family) -> Iterator[tuple[NftChain, Rule]]:
    """Yield the rules of nftables that change the destination of packets that arrive, with their base chains."""
    if not has_only_nftables(scene, family):
        return
    for base, rules in chains_of(scene, family, "prerouting"):
        for rule in rules if base.type == "nat" else ():
            if isinstance(rule.target, Dnat | Redirect):
                yield base, rule


def _port(rule: Rule, shown: Explanation) -> int | None:
    """Return the port to which a rule sends a packet."""
    ports = rule.target.to_destination.ports if isinstance(rule.target, Dnat) else None
    return ports[0] if ports is not None else shown.question.dport


def _target(rule: Rule) -> int | None:
    """Return the first address to which a rule sends packets; None for a redirect, and for a port alone."""
    addresses = rule.target.to_destination.addresses if isinstance(rule.target, Dnat) else None
    return addresses[0] if addresses else None
