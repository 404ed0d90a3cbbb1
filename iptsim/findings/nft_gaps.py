"""What base chains of nftables leave open: IPv6 beside filtered IPv4, and chains that log but do not block."""

from __future__ import annotations

import re
from collections.abc import Iterator

from iptsim.addresses import Family
from iptsim.dump.rule import Rule
from iptsim.explanation import Explanation
from iptsim.findings.chains import BLOCKING_WORDS, logs_only_finding
from iptsim.findings.examples import packet_for
from iptsim.findings.finding import SHOWN, Evidence, Finding, of_rule, uses
from iptsim.findings.native_chains import blocked_by_chain, chains_of, has_only_nftables, name_of
from iptsim.findings.scene import SOME_PORT, Scene
from iptsim.host.nft_chains import NftChain, NftListed
from iptsim.languages import message

_HOOKS = {"input": "INPUT", "forward": "FORWARD", "output": "OUTPUT"}
_QUOTED = re.compile(r'"[^"]*"')
#: What a rule does, other than to log and count.
_DOES = re.compile(
    r"\b(?:accept|continue|dnat|drop|goto|jump|queue|redirect|reject|set|snat|masquerade|vmap)\b"
)
_LOGS = re.compile(r"\blog\b")


def open_over_ipv6(scene: Scene) -> Iterator[Finding]:
    """Find hosts whose chains protect them in IPv4 alone, although they have an address of IPv6 outside."""
    nftables = scene.host.namespace.nftables
    if nftables is None or scene.host.inferred or not {4, 6} <= set(scene.families):
        return
    if not all(has_only_nftables(scene, family) for family in scene.families):
        return
    if any(chain.hook == "input" and chain.family in ("inet", "ip6") for chain in nftables.chains):
        return
    outside = scene.outside_interface(4)
    if outside is None or not any((one.family, one.scope) == (6, "global") for one in outside.addresses):
        return
    by4 = scene.ask("internet", "host", 4, proto="tcp", dport=SOME_PORT)
    by6 = scene.ask("internet", "host", 6, proto="tcp", dport=SOME_PORT, **{"in": outside.name})
    step = blocked_by_chain(by4, "INPUT")
    if step is None or by6 is None or by6.verdict != "ACCEPT":
        return
    yield Finding(
        "ipv6-open",
        message(
            "The nftables chain {chain} protects the host in IPv4, but none does in IPv6.",
            chain=name_of(step),
        ),
        (scene.of_step(4, step),),
        message(
            "Tables of the family ip see no packet of IPv6. The packet that {chain} blocks over IPv4 is accepted over"
            " IPv6.",
            chain=name_of(step),
        ),
        message(
            "Make it a table of the family inet, which is for both, and accept ICMPv6 there: {rule}",
            rule="meta l4proto ipv6-icmp accept",
        ),
        by6,
        6,
    )


def logs_only(scene: Scene) -> Iterator[Finding]:
    """Find chains whose name or log prefix says that they block, although they only log and return."""
    seen: set[tuple[str, str, str]] = set()
    for family in scene.families:
        for hook in _HOOKS if has_only_nftables(scene, family) else ():
            for base, rules in chains_of(scene, family, hook):
                for chain, listed in _logging(base):
                    key = (base.family, base.table, chain)
                    found = _let_through(scene, family, base, chain, rules) if key not in seen else None
                    if found is not None:
                        seen.add(key)
                        caller, shown = found
                        place = f"{base.family} {base.table} {chain}"
                        evidence = (of_rule(caller), *(Evidence(place, one.text) for one in listed[:SHOWN]))
                        yield logs_only_finding(family, place, evidence, f"nft add rule {place} drop", shown)


def _logging(base: NftChain) -> Iterator[tuple[str, list[NftListed]]]:
    """Yield the chains of a table that only log, and should block by their name or the prefix."""
    chains: dict[str, list[NftListed]] = {}
    for (chain, _), listed in base.listing.rules.items():
        chains.setdefault(chain, []).append(listed)
    for chain, rules in chains.items():
        words = [_QUOTED.sub("", one.text) for one in rules]
        logs = all(_LOGS.search(one) for one in words) and not any(map(_DOES.search, words))
        if (
            logs
            and chain != base.name
            and any(map(BLOCKING_WORDS.search, (chain, *(one.text for one in rules))))
        ):
            yield chain, rules


def _let_through(
    scene: Scene, family: Family, base: NftChain, chain: str, rules: list[Rule]
) -> tuple[Rule, Explanation] | None:
    """Return a rule that sends packets into a chain, and a packet that passes it and is accepted all the same."""
    for caller in rules:
        if caller.jump is None or caller.jump.chain != chain:
            continue
        shown = packet_for(scene, family, caller, _HOOKS[base.hook or ""])
        if shown is None or shown.verdict != "ACCEPT":
            continue
        # a base chain that can only let packets continue is not walked
        if not base.effects or uses(shown, caller):
            return caller, shown
    return None
