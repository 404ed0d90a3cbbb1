"""What INPUT accepts from the internet and OUTPUT lets out, in a pasted text about a problem: the missing port."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from iptsim.addresses import Family
from iptsim.dump.rule import Rule
from iptsim.dump.tool import tool_of
from iptsim.explanation import Explanation
from iptsim.explanation.usual import FOR_LO, is_usually_for_lo
from iptsim.extensions.hidden import hides_interfaces, is_gap
from iptsim.extensions.verdicts import BLOCKING
from iptsim.findings.finding import Finding, blocked_at, filtered_at
from iptsim.findings.native_chains import (
    blocked_by_chain,
    has_only_nftables,
    inserting,
    name_of,
)
from iptsim.findings.rate_limits import accepts_established
from iptsim.findings.scene import MOST_WAYS, SOME_PORT, Scene
from iptsim.findings.variants import with_usual_interfaces
from iptsim.languages import Message, Text, message, message_joined, message_sentences
from iptsim.netfilter.steps import Step
from iptsim.owners.rule_owners import authorship
from iptsim.passages import shell
from iptsim.protocols import ICMP, ICMPV6, PORT_PROTOCOLS, TCP, UDP
from iptsim.question.internet import outside_address
from iptsim.ranges import united
from iptsim.reaching import ReachClass, reach
from iptsim.reaching.traffic import Traffic

#: A source port that clients use, and that no rule names.
_SOURCE = 40000
#: The ICMP type of an echo request, by protocol.
_ECHO = {ICMP: 8, ICMPV6: 128}
#: Services that the programs of most hosts use.
_OUTGOING = {
    (TCP, 80): "HTTP (tcp/80)",
    (TCP, 443): "HTTPS (tcp/443)",
    (UDP, 53): "DNS (udp/53)",
    (UDP, 123): "NTP (udp/123)",
}
#: Which address of a packet is that of the internet, by its sender.
_END = {"internet": "src", "host": "dst"}


def closed(scene: Scene) -> Iterator[Finding]:
    """Say, for a pasted text, what INPUT accepts from the internet, if it blocks all other new connections."""
    for family in scene.families if scene.is_pasted else ():
        if not scene.shows(family, "filter", "INPUT") and not any(
            map(accepts_established, scene.table(family, "filter").rules())
        ):
            continue  # rules may precede those that are shown
        usual = at_first_sight(scene, family)
        read = scene if usual is None else usual
        asked = _probes(read, family)
        blocked = [found for one in asked if one is not None and (found := _blocked(one)) is not None]
        if len(blocked) < len(asked):
            continue
        opened = _opened(read, family)
        shown, step = blocked[0]
        certain = all(
            one is first or first.verdict in BLOCKING
            for (one, _), first in zip(blocked, filter(None, asked), strict=True)
        )
        yield Finding(
            "closed-by-default",
            _title(opened.every, certain=certain),
            (scene.of_step(family, step),),
            message_sentences(
                _hiding(scene, family) if usual is not None else "",
                *opened.remarks(no_udp=blocked[1][0] is asked[1]),
                message("If a service of the host does not answer, no rule accepts its port."),
                message("Packets to containers and guests are forwarded, and do not pass INPUT.")
                if scene.concerns_containers
                else "",
            ),
            message("To open a port: {command}", command=shell(opening(scene, family, step))),
            shown,
            family,
        )


def at_first_sight(scene: Scene, family: Family) -> Scene | None:
    """Return a host as people read a listing that hides interfaces, if INPUT certainly blocks there; else None."""
    matches = (match for rule in scene.rules_below(family, "filter", "INPUT") for match in rule.matches)
    if not any(map(hides_interfaces, matches)) or len(_for_lo(scene, family)) > 1:
        return None  # several rules for lo are not usual
    rulesets = {**scene.host.rulesets, family: with_usual_interfaces(scene.host.rulesets[family])}
    usual = Scene(replace(scene.host, rulesets=rulesets))
    asked = _probes(usual, family)
    return usual if all(one is not None and one.verdict in BLOCKING for one in asked) else None


def _probes(
    scene: Scene, family: Family, sender: str = "internet", to: str = "host"
) -> list[Explanation | None]:
    """Walk packets of TCP and UDP to a port that hardly any rule names."""
    return [scene.ask(sender, to, family, proto=proto, dport=SOME_PORT) for proto in ("tcp", "udp")]


def _hiding(scene: Scene, family: Family) -> Message:
    """Return what is assumed about the interfaces that a listing hides."""
    wide = _for_lo(scene, family)
    if not wide:
        return message(
            "iptables -L hides interfaces without -v; the rules are assumed to be for all of them."
        )
    return message(
        "iptables -L hides interfaces without -v; assumed that {rule} is for lo only, and the others are for all.",
        rule=f"{wide[0].chain} {wide[0].position}",
    )


def _for_lo(scene: Scene, family: Family) -> list[Rule]:
    """Return the rules that seem to accept everything, of which one is usually for lo."""
    return [
        rule for name in FOR_LO for rule in scene.rules(family, "filter", name) if is_usually_for_lo(rule)
    ]


def closed_to_outside(scene: Scene) -> Iterator[Finding]:
    """Say, for a pasted text, what OUTPUT lets out to the internet, if it blocks all other new connections."""
    for family in scene.families if scene.is_pasted else ():
        asked = _probes(scene, family, "host", "internet")
        shown, steps = asked[0], [blocked_at(one, "OUTPUT") if one is not None else None for one in asked]
        step = steps[0]
        if (
            shown is None
            or step is None
            or not all(one is not None and one.table == "filter" for one in steps)
        ):
            continue
        opened = _opened(scene, family, "host", "internet")
        missing = [text for (proto, port), text in _OUTGOING.items() if not opened.has(proto, port)]
        if len(missing) == len(_OUTGOING) or not opened.every:
            continue  # a finding of its own
        yield Finding(
            "output-closed-by-default",
            message(
                "OUTPUT blocks new connections of the host to the internet, except: {ports}.",
                ports=opened.every,
            ),
            (scene.of_step(family, step),),
            message_sentences(
                message("Not among them: {services}.", services=", ".join(missing)) if missing else "",
                message(
                    "Programs of the host that use other ports cannot connect: a proxy that fetches web pages, a VPN, a"
                    " mail server, a game."
                ),
            ),
            message(
                "To allow a port: {command}",
                command=shell(
                    "ufw allow out PORT/PROTOCOL"
                    if any(name.startswith("ufw-") for name in scene.below(family, "filter", "OUTPUT"))
                    else f"{tool_of(family)} -I OUTPUT -p PROTOCOL --dport PORT -j ACCEPT"
                ),
            ),
            shown,
            family,
        )


def closed_by_chain(scene: Scene) -> Iterator[Finding]:
    """Say, for a pasted text, what a base chain of nftables accepts from the internet, if it blocks all the rest."""
    seen: set[str] = set()
    for family in scene.families if scene.is_pasted else ():
        if not has_only_nftables(scene, family):
            continue
        asked = _probes(scene, family)
        steps = [blocked_by_chain(one, "INPUT") for one in asked]
        step = steps[0]
        if step is None or not all(steps) or name_of(step) in seen:
            continue
        seen.add(name_of(step))
        opened = _opened(scene, family)
        yield Finding(
            "closed-by-default",
            message(
                "The nftables chain {chain} blocks new connections from the internet, except: {ports}.",
                chain=name_of(step),
                ports=opened.every,
            )
            if opened.every
            else message(
                "The nftables chain {chain} blocks new connections from the internet.", chain=name_of(step)
            ),
            (scene.of_step(family, step),),
            message_sentences(
                *opened.remarks(no_udp=True),
                message("If a service of the host does not answer, no rule accepts its port."),
                message("Packets to containers and guests are forwarded, and do not pass the hook input.")
                if scene.concerns_containers
                else "",
            ),
            message(
                "To open a port: {command}", command=shell(inserting(step, "PROTOCOL dport PORT accept"))
            ),
            asked[0],
            family,
        )


class _Opened(NamedTuple):
    """What the host accepts from the internet, or lets out to it.

    Attributes:
        here: from any sender, or to any receiver, and from any port.
        every: the protocols and ports of these, in words; "" for none.
        unsure: the protocols and ports that depend on what is not shown; "" for none.
        chosen: whether it accepts more from some senders.
    """

    here: list[ReachClass]
    every: Text
    unsure: Text
    chosen: bool

    def has(self, proto: int, port: int) -> bool:
        """Return whether a port may be open."""
        spans = (
            one.traffic.ports.get(proto, ()) for one in self.here if one.verdict in ("ACCEPT", "DEPENDS")
        )
        return any(low <= port <= high for span in spans for low, high in span)

    def remarks(self, *, no_udp: bool) -> Iterator[Text]:
        """Yield sentences about it; that no UDP port is open only if UDP is blocked for certain."""
        if self.unsure:
            yield message("Whether it accepts {ports} depends on what is not shown.", ports=self.unsure)
        if self.chosen:
            yield message("It accepts more from some senders or source ports.")
        if no_udp and not any(_takes_udp(one) for one in self.here):
            yield message("It accepts no UDP port: WireGuard, OpenVPN and DNS need one.")


def _opened(scene: Scene, family: Family, sender: str = "internet", receiver: str = "host") -> _Opened:
    opened = reach(scene.host, sender, family=family, most_ways=MOST_WAYS).opened
    every_class = [one for one in opened.classes if one.receiver == receiver]
    outside = (_END[sender], outside_address(scene.host, family))
    here = [part for one in every_class if (part := _of_any(one, *outside)) is not None]
    return _Opened(
        here,
        _words([one for one in here if one.verdict == "ACCEPT"], opened.asked, family),
        _words([one for one in here if one.verdict == "DEPENDS"], opened.asked, family),
        sum(one.verdict == "ACCEPT" for one in every_class) > sum(one.verdict == "ACCEPT" for one in here),
    )


def opening(scene: Scene, family: Family, step: Step, proto: str = "PROTOCOL", port: str = "PORT") -> str:
    """Return the commands that open a port, one a line, in the words of the firewall that closes it."""
    author, role = authorship(step.rule, scene.host) if step.rule is not None else ("", None)
    chains = scene.below(family, "filter", "INPUT")
    if author == "firewalld" or any(name.startswith("IN_") for name in chains):
        zone = role.about.get("zone", "") if role is not None else ""
        where = f" --zone={zone}" if zone else ""
        return f"firewall-cmd --permanent{where} --add-port={port}/{proto}\nfirewall-cmd --reload"
    if author == "ufw" or any(name.startswith("ufw-user-input") for name in chains):
        return f"ufw allow {port}/{proto}"
    return f"{tool_of(family)} -I INPUT -p {proto} --dport {port} -j ACCEPT"


def _blocked(shown: Explanation) -> tuple[Explanation, Step] | None:
    """Return how INPUT blocks a packet, if need be without the rules that the source does not show in full."""
    for one in (shown, *shown.branches):
        step = filtered_at(one, "INPUT")
        unread = all(
            not decision.value and decision.rule is not None and not is_gap(decision.rule.target)
            for decision in one.trace.decisions
        )
        if step is not None and unread:
            return one, step
    return None


def _title(every: Text, *, certain: bool) -> Message:
    if certain:
        return (
            message("INPUT blocks new connections from the internet, except: {ports}.", ports=every)
            if every
            else message("INPUT blocks new connections from the internet.")
        )
    return (
        message(
            "INPUT blocks new connections from the internet, except: {ports}, and what rules accept that are not shown"
            " in full.",
            ports=every,
        )
        if every
        else message(
            "INPUT blocks new connections from the internet, except what rules accept that are not shown in full."
        )
    )


def _of_any(one: ReachClass, end: str, outside: int) -> ReachClass | None:
    """Return the packets of a class with an address of the internet, and from any port; None without any.

    Args:
        one: the class.
        end: "src" or "dst": which address is that of the internet.
        outside: the address.
    """
    own = one.packets.where(end, ((outside, outside),))
    ported = own.where("proto", tuple((proto, proto) for proto in sorted(PORT_PROTOCOLS)))
    kept = ported.where("sport", ((_SOURCE, _SOURCE),)) | (own & ~ported)
    return one.narrowed(kept) if kept else None


def _takes_udp(one: ReachClass) -> bool:
    return UDP in one.traffic.ports and one.verdict in ("ACCEPT", "DEPENDS")


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
