"""Rules of an administrator in Docker's chains: in the wrong ones, for too many senders, for IPv4 only."""

from __future__ import annotations

from collections.abc import Iterator

from iptsim.addresses import Family, address_text
from iptsim.docker.dockerd.recognition import DOCKER_CHAINS
from iptsim.dump.rule import Rule
from iptsim.dump.tool import tool_of
from iptsim.explanation import Explanation
from iptsim.extensions.hidden import Hidden
from iptsim.extensions.verdicts import BLOCKING
from iptsim.findings.docker_user import CHAIN
from iptsim.findings.finding import SHOWN, Evidence, Finding, of_rule, uses
from iptsim.findings.scene import Scene, as_shown
from iptsim.languages import message, message_joined, message_many
from iptsim.owners.docker import is_dockers
from iptsim.passages import shell

#: The private networks of RFC 1918, address and prefix length.
_PRIVATE = ((0x0A000000, 8), (0xAC100000, 12), (0xC0A80000, 16))


def edited(scene: Scene) -> Iterator[Finding]:
    """Find rules that block senders in chains of Docker: it removes them, and those at the end come too late.

    Source: moby, daemon/libnetwork/drivers/bridge: dockerd flushes its chains when it starts, and inserts the rules of
    containers at the top.
    """
    for family in scene.families:
        rules = [
            rule
            for name in sorted(DOCKER_CHAINS - {CHAIN})
            for rule in scene.rules(family, "filter", name)
            if rule.target_name in BLOCKING and _blocks_senders(rule) and not is_dockers(as_shown(rule))
        ]
        if rules:
            yield _finding(family, rules)


def _blocks_senders(rule: Rule) -> bool:
    """Return whether a rule is for certain senders, on whatever interface: no rule of Docker is."""
    parameters = rule.parameters
    if parameters.in_interface or parameters.out_interface or "source" in parameters.negated:
        return False
    if parameters.source is not None or any(match.name == "set" for match in rule.matches):
        return True
    return any(isinstance(match, Hidden) and match.words.startswith("-s ") for match in rule.matches)


def _finding(family: Family, rules: list[Rule]) -> Finding:
    first = rules[0]
    # what the source does not show of it has no option
    sender = next(
        (one.words for one in first.matches if isinstance(one, Hidden) and one.words.startswith("-s ")), ""
    )
    words = " ".join(filter(None, (sender, as_shown(first).specification)))
    return Finding(
        "docker-chain-edited",
        message_many(
            "A rule that blocks senders is in {chains}, a chain that Docker keeps for itself.",
            "Rules that block senders are in {chains}, chains that Docker keeps for itself.",
            len(dict.fromkeys(rule.chain for rule in rules)),
            chains=message_joined(", ", list(dict.fromkeys(rule.chain for rule in rules))),
        ),
        tuple(map(of_rule, rules[:SHOWN])),
        message(
            "A rule that was appended there (-A) comes after those that accept published ports, or behind a RETURN, so"
            " it does not see such packets. dockerd also flushes its chains when it starts, and the rule is gone."
        ),
        message(
            "Put it into DOCKER-USER, which is evaluated first: {command}",
            command=shell(f"{tool_of(family)} -I {CHAIN} {words}"),
        ),
        None,
        family,
    )


def none_for_ipv6(scene: Scene) -> Iterator[Finding]:
    """Find IPv6 rules of Docker without DOCKER-USER, unless the IPv4 rules show that it is not used.

    dockerd did not create the chain for IPv6 at first (https://github.com/docker/for-linux/issues/1248).
    """
    if 6 not in scene.families or not scene.shows(6, "filter", "FORWARD"):
        return
    if CHAIN in scene.table(6, "filter").chains:
        return
    of_docker = [
        rule
        for rule in scene.rules(6, "filter", "FORWARD")
        if rule.jump is not None and rule.jump.chain in DOCKER_CHAINS
    ]
    own = [rule for rule in scene.rules(4, "filter", CHAIN) if not is_dockers(rule)]
    # dockerd writes IPv6 rules since 20.10, without DOCKER-ISOLATION: such are docker-ipv6nat's
    if any(rule.jump is not None and rule.jump.chain == "DOCKER-ISOLATION" for rule in of_docker):
        return
    if not of_docker or (4 in scene.families and not own):
        return
    commands = (f"ip6tables -N {CHAIN}", f"ip6tables -I FORWARD -j {CHAIN}")
    yield Finding(
        "docker-user-not-ipv6",
        message("Docker's rules have no chain DOCKER-USER."),
        (
            Evidence("ip6tables filter FORWARD", message("no rule jumps to {chain}", chain=CHAIN)),
            of_rule(of_docker[0]),
            *map(of_rule, own[:SHOWN]),
        ),
        message(
            "Older versions of dockerd create the chain for IPv4 only: rules there do not apply to IPv6, and ip6tables"
            " refuses to add any."
        ),
        message(
            "{commands}. Then add the rules there, too. Newer versions of Docker create the chain.",
            commands=shell(*commands),
        ),
        None,
        6,
        commands,
    )


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
        _passes(scene, rules[-1]),
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


def _passes(scene: Scene, rule: Rule) -> Explanation | None:
    """Return a packet from the private network to a published port that the rule lets past."""
    source = rule.parameters.source
    sender = address_text(4, source.address + 0x0101 + 20) if source is not None else ""
    uplink = scene.outside_interface(4)
    for publication in scene.publications(4):
        port = publication.port
        shown = scene.ask(
            sender,
            port.host_address or "host",
            4,
            dport=port.host_port,
            **({"in": uplink.name} if uplink else {}),
        )
        if shown is not None and uses(shown, rule):
            return shown
    return None
