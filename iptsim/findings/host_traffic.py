"""The host's own connections, dropped in OUTPUT or, to itself, in INPUT."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from iptsim.addresses import Family, is_loopback, is_multicast
from iptsim.dump.rule import Rule
from iptsim.dump.ruleset import Ruleset
from iptsim.dump.tool import tool_of
from iptsim.explanation import Explanation
from iptsim.extensions.constraints import membership
from iptsim.extensions.hidden import HiddenAddress
from iptsim.extensions.verdicts import BLOCKING
from iptsim.findings.examples import header, packet_for
from iptsim.findings.finding import SHOWN, Evidence, Finding, blocked_at, filtered_at, of_policy, of_rule
from iptsim.findings.remedy import deletion, first_that_mends
from iptsim.findings.scene import SOME_PORT, Scene
from iptsim.languages import message, message_sentences
from iptsim.owners.chain_owners import chain_owners
from iptsim.passages import shell
from iptsim.paste.forms.ufw import UNSURE
from iptsim.protocols import TCP

#: Ports of services that most hosts use: HTTP, HTTPS, DNS.
_PORTS = ((6, 80), (6, 443), (17, 53))
_DNS = 53
#: Conventional names of the tunnels of VPNs.
TUNNEL = re.compile(r"(?:tun|tap|wg|ppp|utun|nordlynx|proton|mullvad|ipsec)[\w.+-]*")


def output_drop(scene: Scene) -> Iterator[Finding]:
    """Find hosts whose rules of OUTPUT drop their new connections, to containers or to the internet."""
    for family in scene.families:
        chain = scene.table(family, "filter").chains.get("OUTPUT")
        if chain is None:
            continue
        dropped: list[Explanation] = []
        for proto, port in _PORTS:
            asked = scene.ask("host", "internet", family, proto="tcp" if proto == TCP else "udp", dport=port)
            if asked is None or not _dropped_in_output(asked):
                break
            dropped.append(asked)
        if len(dropped) < len(_PORTS):
            continue
        shown = dropped[0]
        step = shown.trace.legs[0].deciding
        policy = step is None or step.rule is None
        evidence = scene.of_step(family, step) if step is not None else of_policy(chain)
        tunnel = _only_way_out(scene, family, step.rule if step is not None else None)
        if tunnel:
            yield _kill_switch(family, tunnel, evidence, shown)
            continue
        # before a rule that drops everything
        where = "-A" if policy else "-I"
        command = f"{tool_of(family)} {where} OUTPUT -m conntrack --ctstate NEW -j ACCEPT"
        yield Finding(
            "output-drop",
            message("OUTPUT drops the new connections of the host itself, by its policy.")
            if policy
            else message("OUTPUT drops the new connections of the host itself."),
            (evidence,),
            message_sentences(
                message(
                    "Connections that the host opens (to a name server, to the internet) are dropped before they leave."
                ),
                message("Packets of containers are forwarded and do not pass OUTPUT, but docker-proxy's do.")
                if scene.concerns_containers
                else "",
            ),
            message("With ufw: {command}.", command=shell("ufw allow out PORT/PROTOCOL"))
            if any(name.startswith("ufw-") for name in scene.below(family, "filter", "OUTPUT"))
            else shell(command),
            shown,
            family,
            (command,),
        )


def output_unsure(scene: Scene) -> Iterator[Finding]:
    """Find rules of ufw that allow some outgoing connections, where the default for the others is not shown."""
    for family in scene.families:
        rules = scene.rules(family, "filter", "OUTPUT")
        if not any(UNSURE in rule.matches for rule in rules):
            continue
        shown = scene.ask("host", "internet", family, proto="udp", dport=_DNS)
        if shown is None or shown.verdict != "DEPENDS":
            continue
        allowing = [
            rule for rule in scene.rules(family, "filter", "ufw-user-output") if rule.target_name == "ACCEPT"
        ]
        yield Finding(
            "output-allows-some",
            message("ufw allows some outgoing packets; its default for all others is not shown."),
            tuple(map(of_rule, allowing[:SHOWN])),
            message(
                "A rule with ALLOW OUT has an effect only if the default for outgoing packets is deny. Then the host"
                " connects to nothing else: it resolves no names unless a rule allows port 53, and a VPN connects only"
                " if a rule allows its server."
            ),
            message(
                "To see the default: {command}. To allow all outgoing packets: {other}",
                command=shell("ufw status verbose"),
                other=shell("ufw default allow outgoing"),
            ),
            shown,
            family,
        )


def _only_way_out(scene: Scene, family: Family, deciding: Rule | None) -> str:
    """Return the tunnel by which the rules let the host's packets leave, if they block all others; "" for none."""
    if deciding is not None and "out_interface" in deciding.parameters.negated:
        name = deciding.parameters.out_interface or ""
        others = (rule.parameters for rule in scene.rules(family, "filter", deciding.chain))
        excepted = {one.out_interface for one in others if "out_interface" in one.negated}
        return name if TUNNEL.fullmatch(name) and len(excepted) == 1 else ""
    for rule in scene.rules(family, "filter", "OUTPUT"):
        name = rule.parameters.out_interface or ""
        if rule.target_name == "ACCEPT" and not rule.parameters.negated and TUNNEL.fullmatch(name):
            return name
    return ""


def _kill_switch(family: Family, tunnel: str, evidence: Evidence, shown: Explanation) -> Finding:
    return Finding(
        "output-drop",
        message("OUTPUT blocks what the host itself sends, unless it leaves by {name}.", name=tunnel),
        (evidence,),
        message(
            "That is a kill switch of a VPN. While {name} is down, or no route leads through it, nothing leaves: no"
            " name is resolved, and the VPN itself connects only if a rule accepts its server. The LAN is blocked, too,"
            " unless a rule accepts it.",
            name=tunnel,
        ),
        message(
            "For the LAN: {command}; for the server of the VPN, insert a rule for its address and port, too.",
            command=shell(f"{tool_of(family)} -I OUTPUT -d LAN -j ACCEPT"),
        ),
        shown,
        family,
    )


def _dropped_in_output(shown: Explanation) -> bool:
    step = blocked_at(shown, "OUTPUT")
    return step is not None and step.table == "filter"


def names_unresolved(scene: Scene) -> Iterator[Finding]:
    """Find hosts whose rules let them connect to web servers, but block their DNS queries or the replies."""
    for family in scene.families:
        server = _name_server(scene, family)
        shown = scene.ask("host", server, family, proto="udp", dport=_DNS)
        if shown is None or shown.verdict not in BLOCKING:
            continue
        if not any(_reaches_web(scene, family, port) for port in (443, 80)):
            continue
        step = shown.trace.deciding_leg.deciding
        chain = scene.table(family, "filter").chains.get(step.chain or "") if step is not None else None
        if step is None or step.table != "filter" or (step.rule is None and chain is None):
            continue
        to_others = step.rule is not None and _names_destination(step.rule)
        lets_some_out = step.hook == "OUTPUT" and (to_others or _lets_some_queries_out(scene, family))
        if server == "internet" and lets_some_out:
            continue  # to name servers that the source does not show
        tool = tool_of(family)
        out = f"{tool} -I OUTPUT -p udp --dport {_DNS} -j ACCEPT"
        back = f"{tool} -I INPUT -p udp --sport {_DNS} -m conntrack --ctstate ESTABLISHED -j ACCEPT"
        commands = first_that_mends(scene, family, [(out,), (back,), (out, back)], shown)
        yield Finding(
            "host-without-names",
            message("The host cannot resolve names: {hook} blocks its DNS queries.", hook="OUTPUT")
            if step.hook == "OUTPUT"
            else message("The host cannot resolve names: {hook} blocks the replies of DNS.", hook=step.hook),
            (scene.of_step(family, step),),
            message(
                "DNS uses udp/53, and tcp/53 for long answers. The rules accept connections to web servers, but without"
                " an address for the name of the server, programs do not begin one."
            ),
            shell(*commands),
            shown,
            family,
            commands,
        )


def _reaches_web(scene: Scene, family: Family, port: int) -> bool:
    """Return whether the host may connect to web servers, be it only to those whose names a rule of OUTPUT accepts."""
    web = scene.ask("host", "internet", family, proto="tcp", dport=port)
    if web is None or web.verdict != "DEPENDS":
        return web is not None and web.verdict == "ACCEPT"
    rules = [one.rule for one in web.trace.hinges]
    return bool(rules) and all(
        rule is not None and rule.chain == "OUTPUT" and rule.target_name == "ACCEPT" for rule in rules
    )


def _name_server(scene: Scene, family: Family) -> str:
    """Return the first name server of the host that is not the host itself, else "internet"."""
    for server, address in scene.host.namespace.nameservers_of(family):
        if not is_loopback(family, address) and scene.host.owner_of(family, address) != "host":
            return server
    return "internet"


def _lets_some_queries_out(scene: Scene, family: Family) -> bool:
    """Return whether a rule of OUTPUT accepts packets to port 53, but not only of TCP, or to some addresses."""
    return any(
        rule.target_name == "ACCEPT" and (rule.parameters.destination is not None or _names_dns(rule))
        for rule in scene.rules_below(family, "filter", "OUTPUT")
    )


def _names_destination(rule: Rule) -> bool:
    """Return whether a rule is for some destinations only, be they redacted."""
    redacted = any(isinstance(match, HiddenAddress) and match.side == "dst" for match in rule.matches)
    return redacted or rule.parameters.destination is not None


def _names_dns(rule: Rule) -> bool:
    if rule.parameters.protocol == TCP and "protocol" not in rule.parameters.negated:
        return False
    ports = (one.allowed for one in rule.conditions_on("dport") if not one.negated)
    return any(membership(allowed)(_DNS) for allowed in ports if allowed)


def loopback_dropped(scene: Scene) -> Iterator[Finding]:
    """Find hosts whose INPUT drops what their programs send to each other by the loopback interface."""
    for family in scene.families:
        chain = scene.table(family, "filter").chains.get("INPUT")
        shown = scene.ask_past_output("localhost", "localhost", family, proto="tcp", dport=SOME_PORT)
        step = filtered_at(shown, "INPUT") if shown is not None else None
        if chain is None or step is None:
            continue
        command = f"{tool_of(family)} -I INPUT -i lo -j ACCEPT"
        yield Finding(
            "input-drops-loopback",
            message("INPUT drops the connections of the host to itself."),
            (scene.of_step(family, step),),
            message(
                "Packets to 127.0.0.1 and to the host's own addresses arrive on lo and pass INPUT. No rule accepts "
                "them, so programs do not reach each other: a local name server, a database, ports of docker-proxy."
            ),
            shell(command),
            shown if scene.shows(family, "filter", "OUTPUT") else None,
            family,
            (command,),
        )


def loopback_blocked_in_output(scene: Scene) -> Iterator[Finding]:
    """Find hosts whose OUTPUT blocks what their programs send to each other by the loopback interface."""
    for family in scene.families:
        chain = scene.table(family, "filter").chains.get("OUTPUT")
        shown = scene.ask("localhost", "localhost", family, proto="tcp", dport=SOME_PORT)
        # other tables may be cut off
        world = scene.suppose("filter alone", _with_filter_alone)
        alone = scene.ask("localhost", "localhost", family, world=world, proto="tcp", dport=SOME_PORT)
        step = filtered_at(alone, "OUTPUT") if alone is not None else None
        if chain is None or step is None or shown is None or shown.verdict == "ACCEPT":
            continue
        command = f"{tool_of(family)} -I OUTPUT -o lo -j ACCEPT"
        yield Finding(
            "output-drops-loopback",
            message("OUTPUT blocks the connections of the host to itself."),
            (scene.of_step(family, step),),
            message(
                "Packets to 127.0.0.1 and the host's own addresses pass OUTPUT before they arrive on lo. If it blocks"
                " them, programs do not reach each other: a local name server, a database, ports of docker-proxy."
            ),
            shell(command),
            shown,
            family,
            (command,),
        )


def _with_filter_alone(ruleset: Ruleset) -> Ruleset:
    return replace(
        ruleset, tables={name: table for name, table in ruleset.tables.items() if name == "filter"}
    )


def drops_some(scene: Scene) -> Iterator[Finding]:
    """Find the destinations to which the rules of OUTPUT drop what the host sends, if the text is about a problem."""
    if not scene.is_pasted:
        return
    for family in scene.families:
        hooks = scene.hooks(family, "filter")
        owners = chain_owners(scene.host.rulesets[family])
        found: list[tuple[Rule, Explanation]] = []
        for rule in scene.table(family, "filter").rules():
            if len(found) == SHOWN or hooks.get(rule.chain) != ("OUTPUT",) or not _is_for_destination(rule):
                continue
            if owners.rule(rule) == "kubernetes":  # its services are findings of their own
                continue
            shown = packet_for(scene, family, rule, "OUTPUT")
            step = shown.trace.legs[0].deciding if shown is not None else None
            if shown is None:
                continue
            if (step is not None and step.rule is rule) or _blocks_by_lo(rule, shown):
                found.append((rule, shown))
        if found:
            yield _drops_some(scene, family, found)


def _is_for_destination(rule: Rule) -> bool:
    """Return whether a rule blocks packets to some hosts of other networks, or to a port of the host itself."""
    to = rule.parameters.destination
    if rule.target_name not in BLOCKING or to is None or "destination" in rule.parameters.negated:
        return False
    address, family = to.address & to.mask, to.family
    is_own = is_loopback(family, address) and not any(rule.conditions_on("dport"))
    return bool(to.mask) and not (is_multicast(family, address) or is_own)


def _blocks_by_lo(rule: Rule, shown: Explanation) -> bool:
    """Return whether a rule blocks a packet to the host itself if it is for lo, as any rule for such packets is."""
    to = rule.parameters.destination
    return (
        shown.verdict == "DEPENDS"
        and to is not None
        and is_loopback(to.family, to.address)
        and all(one.rule is rule for one in shown.trace.hinges)
    )


def _drops_some(scene: Scene, family: Family, found: list[tuple[Rule, Explanation]]) -> Finding:
    rule, shown = found[0]
    networks = dict.fromkeys(_destination(one) for one, _ in found)
    command = deletion(scene, family, rule)
    return Finding(
        "output-drops-some",
        message("OUTPUT blocks packets of the host itself to {networks}.", networks=", ".join(networks)),
        tuple(of_rule(one) for one, _ in found),
        message("The host's own programs cannot connect there. Packets of containers do not pass OUTPUT."),
        message("If that is not intended: {command}", command=shell(command)),
        shown,
        family,
        (command,),
    )


def _destination(rule: Rule) -> str:
    """Return to which network, and to which port there, a rule blocks packets."""
    network, fields = rule.parameters.destination, header(rule)
    to = network.short if network is not None else ""
    if rule.parameters.protocol is None:
        return to
    return f"{to} ({fields['proto']}/{fields['dport']})" if "dport" in fields else f"{to} ({fields['proto']})"
