"""The host's own traffic, blocked by base chains of nftables: the findings of iptables on hosts without its tables."""

from __future__ import annotations

from collections.abc import Iterator

from iptsim.addresses import Family
from iptsim.dump.rule import Rule
from iptsim.explanation import Explanation
from iptsim.extensions.verdicts import BLOCKING
from iptsim.findings.examples import packet_for
from iptsim.findings.finding import Finding, of_rule
from iptsim.findings.native_chains import (
    blocked_by_chain,
    chains_of,
    has_only_nftables,
    inserting,
    name_of,
)
from iptsim.findings.replies import opens_port, reply_blocked
from iptsim.findings.scene import SOME_PORT, Scene
from iptsim.languages import Message, message, message_sentences
from iptsim.netfilter.steps import Step
from iptsim.passages import shell

#: Ports of services that most hosts use: HTTP, HTTPS, DNS.
_PORTS = (("tcp", 80), ("tcp", 443), ("udp", 53))
_WEB = (443, 80)


def blocked(scene: Scene) -> Iterator[Finding]:
    """Find base chains of nftables that block connections of the host, to itself or to others, or their replies."""
    seen: set[tuple[str, Message]] = set()
    for family in scene.families:
        if not has_only_nftables(scene, family):
            continue
        for found in (*_to_itself(scene, family), *_to_others(scene, family), *_replies(scene, family)):
            key = (found.code, found.title)
            if key not in seen:  # a chain of family inet blocks both address families
                seen.add(key)
                yield found


def _to_itself(scene: Scene, family: Family) -> Iterator[Finding]:
    shown = scene.ask("localhost", "localhost", family, proto="tcp", dport=SOME_PORT)
    if (step := blocked_by_chain(shown, "INPUT")) is not None:
        yield Finding(
            "input-drops-loopback",
            message(
                "The nftables chain {chain} drops the connections of the host to itself.", chain=name_of(step)
            ),
            (scene.of_step(family, step),),
            message(
                "Packets to 127.0.0.1 and to the host's own addresses arrive on lo and pass the hook input. No rule"
                " accepts them, so programs do not reach each other: a local name server, a database, ports of"
                " docker-proxy."
            ),
            shell(command := inserting(step, 'iifname "lo" accept')),
            shown,
            family,
            (command,),
        )
    elif (step := blocked_by_chain(shown, "OUTPUT")) is not None:
        yield Finding(
            "output-drops-loopback",
            message(
                "The nftables chain {chain} blocks the connections of the host to itself.",
                chain=name_of(step),
            ),
            (scene.of_step(family, step),),
            message(
                "Packets to 127.0.0.1 and the host's own addresses pass the hook output before they arrive on lo. If it"
                " blocks them, programs do not reach each other: a local name server, a database, ports of"
                " docker-proxy."
            ),
            shell(command := inserting(step, 'oifname "lo" accept')),
            shown,
            family,
            (command,),
        )


def _to_others(scene: Scene, family: Family) -> Iterator[Finding]:
    asked = {
        (proto, port): scene.ask("host", "internet", family, proto=proto, dport=port)
        for proto, port in _PORTS
    }
    steps = {key: blocked_by_chain(shown, "OUTPUT") for key, shown in asked.items()}
    first = steps[_PORTS[0]]
    if all(steps.values()) and first is not None:
        yield _drops_all(scene, family, first, asked[_PORTS[0]])
        return
    names, shown = steps["udp", 53], asked["udp", 53]
    web = [one for port in _WEB if (one := asked["tcp", port]) is not None]
    if (
        names is not None
        and any(one.verdict == "ACCEPT" for one in web)
        and not _names_servers(scene, family)
    ):
        yield Finding(
            "host-without-names",
            message("The host cannot resolve names: {hook} blocks its DNS queries.", hook=name_of(names)),
            (scene.of_step(family, names),),
            message(
                "DNS uses udp/53, and tcp/53 for long answers. The rules accept connections to web servers, but without"
                " an address for the name of the server, programs do not begin one."
            ),
            shell(command := inserting(names, "udp dport 53 accept")),
            shown,
            family,
            (command,),
        )


def _names_servers(scene: Scene, family: Family) -> bool:
    """Return whether a rule of the hook output accepts packets to some addresses, which may be name servers."""
    return any(
        rule.target_name == "ACCEPT" and rule.parameters.destination is not None
        for _, rules in chains_of(scene, family, "output")
        for rule in rules
    )


def _drops_all(scene: Scene, family: Family, step: Step, shown: Explanation | None) -> Finding:
    return Finding(
        "output-drop",
        message(
            "The nftables chain {chain} drops the new connections of the host itself.", chain=name_of(step)
        ),
        (scene.of_step(family, step),),
        message_sentences(
            message(
                "Connections that the host opens (to a name server, to the internet) are dropped before they leave."
            ),
            message(
                "Packets of containers are forwarded and do not pass the hook output, but docker-proxy's do."
            )
            if scene.concerns_containers
            else "",
        ),
        shell(command := inserting(step, "ct state new accept")),
        shown,
        family,
        (command,),
    )


def _replies(scene: Scene, family: Family) -> Iterator[Finding]:
    """Yield a chain of the hook output that drops the replies of a service that a rule allows."""
    for _, rules in chains_of(scene, family, "input"):
        for rule in filter(opens_port, rules):
            shown = packet_for(scene, family, rule, "INPUT")
            if shown is None or shown.verdict not in BLOCKING:
                continue
            if (step := reply_blocked(shown, "OUTPUT")) is not None:
                yield _drops_replies(scene, family, rule, step, shown)
                return


def _drops_replies(
    scene: Scene, family: Family, rule: Rule, step: Step, shown: Explanation | None
) -> Finding:
    return Finding(
        "output-drops-replies",
        message(
            "The nftables chain {chain} drops the replies of the host's own services.", chain=name_of(step)
        ),
        (of_rule(rule), scene.of_step(family, step)),
        message(
            "{chain} rule {position} accepts the connection, but no rule of {other} accepts the reply, so the client"
            " gets none.",
            chain=f"{rule.table} {rule.chain}",
            position=rule.position,
            other=name_of(step),
        ),
        shell(command := inserting(step, "ct state established,related accept")),
        shown,
        family,
        (command,),
    )
