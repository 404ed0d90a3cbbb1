"""The port of SSH, as far as the source shows it: the rules do not accept it, or a port forward takes it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from iptsim.addresses import Family
from iptsim.dump.rule import Rule
from iptsim.explanation import Explanation
from iptsim.explanation.places import place_of
from iptsim.extensions.hidden import Hidden
from iptsim.extensions.verdicts import BLOCKING, TRANSLATING_DESTINATION
from iptsim.findings.closed import opening
from iptsim.findings.finding import Finding, filtered_at, of_line, of_rule, takes_port, uses
from iptsim.findings.remedy import deletion
from iptsim.findings.scene import Scene
from iptsim.languages import message
from iptsim.netfilter.steps import Step
from iptsim.passages import shell
from iptsim.protocols import TCP

#: The port that sshd listens on, unless it is configured otherwise.
USUAL = 22
#: The names of programs that serve SSH.
_PROGRAMS = ("sshd", "dropbear")


def ssh_ports(scene: Scene) -> list[int]:
    """Return the ports on which a server of SSH listens; none if the source does not show it."""
    listeners = scene.host.namespace.listeners
    return sorted({one.port for one in listeners if one.proto == TCP and one.program in _PROGRAMS})


def name_port(rules: Iterable[Rule], port: int) -> bool:
    """Return whether some of the rules accept a port of TCP by its number, from whatever address."""
    return any(
        rule.target_name == "ACCEPT"
        and rule.parameters.protocol == TCP
        and bool(rule.conditions_on("dport"))
        and takes_port(rule, port)
        for rule in rules
    )


def moved(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted text, that INPUT blocks each port of sshd's settings, but accepts its usual port, 22."""
    ports = scene.pasted.sshd_ports
    for family in scene.families if ports else ():
        usual = scene.ask("internet", "host", family, proto="tcp", dport=USUAL)
        asked = [scene.ask("internet", "host", family, proto="tcp", dport=one.port) for one in ports]
        blocking = [step for one in asked if (step := _blocked(one)) is not None]
        if usual is None or usual.verdict != "ACCEPT" or len(blocking) < len(ports):
            continue
        accepting = usual.trace.legs[0].deciding
        rule = accepting.rule if accepting is not None else None
        yield Finding(
            "sshd-port-blocked",
            message(
                "sshd listens on port {port}, but INPUT blocks it and accepts port 22.", port=ports[0].port
            ),
            (
                of_line(ports[0].line, ports[0].text),
                *([of_rule(rule)] if rule is not None else []),
            ),
            message("New SSH connections to port {port} do not arrive.", port=ports[0].port),
            shell(opening(scene, family, blocking[0], "tcp", str(ports[0].port))),
            asked[0],
            family,
        )


def _blocked(shown: Explanation | None) -> Step | None:
    """Return where INPUT certainly blocks a packet; None if it may not."""
    return filtered_at(shown, "INPUT") if shown is not None and shown.verdict in BLOCKING else None


def forwarded(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted text, a rule of PREROUTING that sends tcp/22 of every address on to another port or machine."""
    if not scene.is_pasted:
        return
    for family in scene.families:
        hooks = scene.hooks(family, "nat")
        for rule in scene.table(family, "nat").rules():
            if "PREROUTING" in hooks.get(rule.chain, ()) and _takes_ssh(rule):
                yield _forwarded(scene, family, rule)
                break


def _takes_ssh(rule: Rule) -> bool:
    """Return whether a rule translates connections from outside to the port of SSH, whatever address they are for."""
    parameters = rule.parameters
    if (
        rule.target_name not in TRANSLATING_DESTINATION
        or parameters.protocol != TCP
        or parameters.source is not None
    ):
        return False
    if parameters.destination is not None or (
        parameters.in_interface is not None and "in_interface" not in parameters.negated
    ):
        return False
    ports = rule.conditions_on("dport")
    return len(ports) == 1 and not ports[0].negated and ports[0].allowed == ((USUAL, USUAL),)


def _forwarded(scene: Scene, family: Family, rule: Rule) -> Finding:
    shown = scene.ask("internet", "host", family, proto="tcp", dport=USUAL)
    hidden = any(isinstance(match, Hidden) for match in rule.matches)
    return Finding(
        "ssh-forwarded",
        message("A rule of nat forwards tcp/22: SSH of the host itself may not be reached there.")
        if hidden
        else message(
            "{place} forwards what arrives for tcp/22: SSH of the host itself is not reached there.",
            place=place_of(rule),
        ),
        (of_rule(rule),),
        message(
            "DNAT and REDIRECT come before INPUT, so a rule of INPUT for SSH sees no packet. If no machine or container"
            " has the new address any more, the rule is left over."
        ),
        message("Let SSH of the host listen on another port, forward another port, or delete the rule.")
        if hidden
        else message(
            "Let SSH of the host listen on another port, forward another port, or delete the rule: {command}",
            command=shell(deletion(scene, family, rule)),
        ),
        shown if shown is not None and uses(shown, rule) else None,
        family,
    )
