"""The host's own connections, dropped in OUTPUT; and those of containers, redirected on the host."""

from __future__ import annotations

from collections.abc import Iterator

from iptsim.dump.ruleset import Rule
from iptsim.explanation import Explanation
from iptsim.findings.finding import Finding, of_policy, of_rule, tool_of
from iptsim.findings.scene import Scene
from iptsim.languages import message
from iptsim.owners.docker import is_dockers
from iptsim.packet import Family

#: Ports of services that most hosts use: HTTP, HTTPS, DNS.
_PORTS = ((6, 80), (6, 443), (17, 53))


def output_drop(scene: Scene) -> Iterator[Finding]:
    """Find hosts whose rules of OUTPUT drop their new connections, to containers or to the internet."""
    for family in scene.families:
        chain = scene.table(family, "filter").chains.get("OUTPUT")
        if chain is None:
            continue
        asked = [
            scene.ask("host", "internet", family, proto="tcp" if proto == 6 else "udp", dport=port)
            for proto, port in _PORTS
        ]
        dropped = [shown for shown in asked if shown is not None and _dropped_in_output(shown)]
        if len(dropped) < len(_PORTS):
            continue
        shown = dropped[0]
        step = shown.trace.legs[0].deciding
        policy = step is None or step.rule is None
        # before a rule that drops everything
        where = "-A" if policy else "-I"
        command = f"{tool_of(family)} {where} OUTPUT -m conntrack --ctstate NEW -j ACCEPT"
        yield Finding(
            "output-drop",
            message("OUTPUT drops the new connections of the host itself, by its policy.")
            if policy
            else message("OUTPUT drops the new connections of the host itself."),
            (of_policy(chain),) if policy or step is None or step.rule is None else (of_rule(step.rule),),
            message(
                "Connections that the host opens (to containers, to DNS, to the internet) are dropped before they "
                "leave. Packets of containers are forwarded and do not pass OUTPUT, but docker-proxy's do."
            ),
            command,
            shown,
            family,
            (command,),
        )


def _dropped_in_output(shown: Explanation) -> bool:
    leg = shown.trace.legs[0]
    step = leg.deciding
    return (
        leg.verdict in ("DROP", "REJECT")
        and step is not None
        and (step.hook, step.table) == ("OUTPUT", "filter")
    )


def redirected(scene: Scene) -> Iterator[Finding]:
    """Find rules of PREROUTING that redirect connections to every destination, including those of containers."""
    for family in scene.families:
        if not scene.has_docker:
            continue
        for rule in scene.rules(family, "nat", "PREROUTING"):
            if _takes_everything(rule):
                yield _redirects(scene, family, rule)


def _takes_everything(rule: Rule) -> bool:
    """Return whether a rule translates the destination, whatever destination and interface a packet has."""
    parameters = rule.parameters
    if rule.target_name not in ("REDIRECT", "DNAT") or parameters.destination is not None or is_dockers(rule):
        return False
    if parameters.in_interface is not None or parameters.source is not None:
        return False
    return not any(
        match.name in ("addrtype", "set", "mark", "connmark", "iprange", "socket") for match in rule.matches
    )


def _redirects(scene: Scene, family: Family, rule: Rule) -> Finding:
    ports = next((match for match in rule.matches if match.name in ("tcp", "udp")), None)
    dport = getattr(ports, "dport", None)
    shown = None
    for network in scene.docker_networks():
        for container in scene.members(network, family)[:1]:
            port = dport[0] if isinstance(dport, tuple) else 80
            proto = "udp" if ports is not None and ports.name == "udp" else "tcp"
            shown = shown or scene.ask(container.name, "internet", family, proto=proto, dport=port)
    if shown is not None and not any(step.rule is rule for step in shown.trace.legs[0].all_steps):
        shown = None
    words = scene.shown_words(rule)
    tool = tool_of(family)
    return Finding(
        "redirect-takes-forwarded",
        message(
            "nat PREROUTING rule {position} also catches what containers send to other hosts: {words}",
            position=rule.position,
            words=words,
        ),
        (of_rule(rule),),
        message(
            "PREROUTING sees every packet that arrives, also those for other hosts, and the rule names no destination."
            " So connections of containers to any host end where this rule sends them."
        ),
        message(
            "To catch only packets for this host: {command}",
            command=f"{tool} -t nat -R PREROUTING {rule.position} -m addrtype --dst-type LOCAL {words}",
        ),
        shown,
        family,
    )
