"""What INPUT accepts from the internet, in a pasted text about a problem: the missing port."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from iptsim.findings.finding import Finding, blocked_at, of_policy, of_rule, tool_of
from iptsim.findings.scene import SOME_PORT, Scene
from iptsim.languages import Message, Text, message, message_joined, message_sentences
from iptsim.packet import ICMP, ICMPV6, Family
from iptsim.ranges import united
from iptsim.reaching import ReachClass, reach
from iptsim.reaching.traffic import Traffic

#: The ICMP type of an echo request, by protocol.
_ECHO = {ICMP: 8, ICMPV6: 128}


def closed(scene: Scene) -> Iterator[Finding]:
    """Say, for a pasted text, what INPUT accepts from the internet, if it blocks all other new connections."""
    for family in scene.families if scene.host.pasted is not None else ():
        if not scene.shows(family, "filter", "INPUT"):
            continue
        asked = [
            scene.ask("internet", "host", family, proto=proto, dport=SOME_PORT) for proto in ("tcp", "udp")
        ]
        blocked = [
            (one, step)
            for one in asked
            if one is not None and (step := blocked_at(one, "INPUT")) is not None and not step.backend
        ]
        if len(blocked) < len(asked):
            continue
        opened = reach(scene.host, "internet", family=family).opened
        here = [one for one in opened.classes if one.receiver == "host"]
        every = _words([one for one in here if one.is_open], opened.asked, family)
        unsure = _words([one for one in here if one.verdict == "DEPENDS"], opened.asked, family)
        (shown, step), chain = blocked[0], scene.table(family, "filter").chains["INPUT"]
        yield Finding(
            "closed-by-default",
            message("INPUT blocks new connections from the internet, except: {ports}.", ports=every)
            if every
            else message("INPUT blocks new connections from the internet."),
            (of_rule(step.rule) if step.rule is not None else of_policy(chain),),
            message_sentences(
                message("Whether it accepts {ports} depends on what is not shown.", ports=unsure)
                if unsure
                else "",
                message(
                    "If a service of the host does not answer, no rule accepts its port. Packets to containers and"
                    " guests are forwarded, and do not pass INPUT."
                ),
            ),
            message(
                "To open a port: {command}",
                command=f"{tool_of(family)} -I INPUT -p PROTOCOL --dport PORT -j ACCEPT",
            ),
            shown,
            family,
        )


def _words(classes: Sequence[ReachClass], asked: Traffic, family: Family) -> Text:
    """Return the protocols and ports of packets; of ICMP, only the echo requests if there are no others."""
    every = Traffic()
    for one in classes:
        every = every | one.traffic
    icmp = ICMP if family == 4 else ICMPV6
    if not _only_echo(classes, icmp):
        return every.says(asked) if every else ""
    others = Traffic({proto: spans for proto, spans in every.ports.items() if proto != icmp})
    ping: Message = message("echo requests (ping)")
    return message_joined(", ", [others.says(asked), ping]) if others else ping


def _only_echo(classes: Sequence[ReachClass], icmp: int) -> bool:
    """Return whether the ICMP packets of classes are echo requests."""
    # type and code in one number
    kinds = united(
        span
        for one in classes
        if icmp in one.traffic.ports
        for span in one.packets.at("proto", icmp).ranges("icmp_type")
    )
    low = _ECHO[icmp] << 8
    return bool(kinds) and low <= kinds[0][0] and kinds[-1][1] <= low | 0xFF
