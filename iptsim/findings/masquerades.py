"""What a host masquerades: for which subnets, by which interfaces, and incoming connections, whose clients it hides."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from iptsim.addresses import Family, address_text
from iptsim.dump.rule import Rule
from iptsim.dump.tool import tool_of
from iptsim.errors import IptsimError
from iptsim.explanation import Explanation
from iptsim.extensions.verdicts import TRANSLATING_SOURCE
from iptsim.findings.behind import SOMEBODY, ask_outside, networks_behind
from iptsim.findings.finding import SHOWN, Finding, of_rule, uses
from iptsim.findings.host_traffic import TUNNEL
from iptsim.findings.interfaces import CARD
from iptsim.findings.port_forwards import Forward, forwards
from iptsim.findings.remedy import deletion
from iptsim.findings.replies import not_masqueraded
from iptsim.findings.scene import Scene
from iptsim.findings.shadow import is_chosen
from iptsim.languages import Message, Text, message, message_joined, message_list, message_sentences
from iptsim.owners.docker import is_dockers
from iptsim.passages import shell


def some(scene: Scene) -> Iterator[Finding]:
    """Say, for a pasted text, which packets the rules masquerade, if they are for some subnets or interfaces only.

    If it shows the interfaces, a packet that is masqueraded, or one that is not, there is nothing to compare.
    """
    if not scene.is_pasted or not scene.host.inferred or _masquerades_asked(scene):
        return
    for family in scene.families:
        rules = _translating(scene, family)
        own = [rule for rule in rules if is_chosen(rule, scene)]
        chosen = [rule for rule in own if _is_for_some(rule)]
        if chosen != own:
            continue  # others translate packets by their port, their mark or the like
        if not chosen or any(map(_is_for_all, rules)) or _elsewhere(scene, family):
            continue
        if not any(one.family == family for one in not_masqueraded(scene)):
            yield _finding(scene, family, chosen)


def elsewhere(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted text, rules that masquerade only what leaves by a network card that is not the uplink."""
    for family in scene.families if scene.is_pasted else ():
        rules, uplink = _elsewhere(scene, family), scene.outside_interface(family)
        if rules and uplink is not None and not any(one.family == family for one in not_masqueraded(scene)):
            yield _by_other_card(scene, family, rules, uplink.name)


def _translating(scene: Scene, family: Family) -> list[Rule]:
    """Return the rules that change the source of packets on their way out, without those that the kernel rejects."""
    return [
        rule
        for rule in scene.table(family, "nat").rules()
        if rule.target_name in TRANSLATING_SOURCE
        and "POSTROUTING" in scene.hooks(family, "nat").get(rule.chain, ())
        and not rule.refused
    ]


def _elsewhere(scene: Scene, family: Family) -> list[Rule]:
    """Return the rules that masquerade, if all of them are for packets that leave by another card than the uplink."""
    uplink, pasted = scene.outside_interface(family), scene.pasted
    if uplink is None or not pasted.shows_routes(family):
        return []
    rules = [rule for rule in _translating(scene, family) if not is_dockers(rule)]
    names = {rule.parameters.out_interface for rule in rules if not rule.parameters.negated}
    whole = len(names) == 1 and not any(rule.parameters.negated for rule in rules)
    name = next(iter(names), None) if whole else None
    if name is None or not CARD.fullmatch(name) or name.endswith("+") or name == uplink.name:
        return []
    is_default = any(
        route.device == name and not route.prefix_length for route in scene.host.namespace.routes
    )
    return [] if is_default or not all(is_chosen(rule, scene) for rule in rules) else rules


def _by_other_card(scene: Scene, family: Family, rules: list[Rule], uplink: str) -> Finding:
    behind = next(networks_behind(scene, family), None) or SOMEBODY[family]
    shown = ask_outside(scene, family, behind)
    kept = shown is not None and shown.trace.legs[0].verdict == "ACCEPT" and not _is_translated(shown)
    name = rules[0].parameters.out_interface or ""
    tool = tool_of(family)
    return Finding(
        "masquerades-elsewhere",
        message(
            "The rules masquerade only what leaves by {name}, but the default route leaves by {uplink}.",
            name=name,
            uplink=uplink,
        ),
        tuple(map(of_rule, rules[:SHOWN])),
        message(
            "What containers, guests or VPN clients send to the internet leaves by {uplink} with a private"
            " address, so no reply comes back.",
            uplink=uplink,
        ),
        message(
            "Name the uplink: {command}",
            command=shell(f"{tool} -t nat -A POSTROUTING -o {uplink} -j MASQUERADE"),
        ),
        shown if kept else None,
        family,
    )


def _masquerades_asked(scene: Scene) -> bool:
    """Return whether the first packet that the text asks about leaves the host with a translated source."""
    for fields in scene.pasted.asked[:1]:
        try:
            shown = scene.ask_fields(fields)
        except IptsimError:
            return False
        return _is_translated(shown)
    return False


def _is_translated(shown: Explanation) -> bool:
    return any(
        step.rule is not None and step.rule.target_name in TRANSLATING_SOURCE
        for step in shown.trace.legs[0].all_steps
    )


def _is_for_some(rule: Rule) -> bool:
    """Return whether a rule names the subnet or the interface of the packets that it translates."""
    parameters = rule.parameters
    named = parameters.source is not None or parameters.out_interface is not None
    return named and not parameters.negated & {"source", "out_interface"}


def _is_for_all(rule: Rule) -> bool:
    """Return whether a rule translates what others that name a subnet or an interface leave out."""
    return not _is_for_some(rule) and rule.parameters.destination is None and not rule.matches


def _finding(scene: Scene, family: Family, rules: list[Rule]) -> Finding:
    shown = ask_outside(scene, family, SOMEBODY[family])
    kept = (
        shown is not None
        and shown.trace.legs[0].verdict == "ACCEPT"
        and not shown.trace.branches
        and not _is_translated(shown)
    )
    return Finding(
        "masquerades-some",
        message(
            "The rules that are shown masquerade only {packets}.",
            packets=message_joined("; ", list(dict.fromkeys(map(_packets, rules)))[:SHOWN]),
        ),
        tuple(map(of_rule, rules[:SHOWN])),
        message_sentences(
            _others(rules),
            *(_within(rule) for rule in rules if _is_everywhere(rule)),
        ),
        message(
            "Compare the subnet with the clients' addresses, and the interface with that in `ip route get 192.0.2.1`."
            " For every interface: {command}",
            command=shell(f"{tool_of(family)} -t nat -A POSTROUTING -s SUBNET ! -d SUBNET -j MASQUERADE"),
        ),
        shown if kept else None,
        family,
    )


def _others(rules: list[Rule]) -> Message:
    """Return which packets the rules leave out."""
    if all(rule.parameters.source is None for rule in rules):
        return message(
            "What leaves by another interface keeps its private address, so no reply comes back. An uplink with another"
            " name needs another rule."
        )
    if all(rule.parameters.out_interface is None for rule in rules):
        return message(
            "What comes from another subnet keeps its private address, so no reply comes back. A VPN whose subnet was"
            " changed needs another rule."
        )
    return message(
        "What comes from another subnet, or leaves by another interface, keeps its private address, so no reply comes"
        " back. A VPN whose subnet was changed, or an uplink with another name, needs another rule."
    )


def _is_everywhere(rule: Rule) -> bool:
    """Return whether a rule gives what a subnet sends one other address, wherever it goes, also to its own members."""
    parameters = rule.parameters
    return rule.target_name == "SNAT" and parameters.out_interface is None and parameters.destination is None


def _within(rule: Rule) -> Message:
    source = rule.parameters.source
    return message(
        "Rule {number} names neither an outgoing interface (-o) nor a destination (! -d {subnet}), so it also"
        " translates what members of {subnet}, this host among them, send to each other.",
        number=rule.position,
        subnet=source.short if source is not None else "",
    )


def _packets(rule: Rule) -> Text:
    """Return the packets that a rule is for: "what 10.8.0.0/24 sends by eth0"."""
    source, name = rule.parameters.source, rule.parameters.out_interface
    if source is not None and name is not None:
        return message("what {subnet} sends by {interface}", subnet=source.short, interface=name)
    if source is not None:
        return message("what {subnet} sends", subnet=source.short)
    return message("what leaves by {interface}", interface=name or "")


def masked(scene: Scene) -> Iterator[Finding]:
    """Find rules that masquerade all packets, on hosts with containers or port forwards."""
    for family in scene.families:
        rules = [rule for rule in scene.rules(family, "nat", "POSTROUTING") if _takes_all(rule)]
        if rules and (scene.host.networks or any(forwards(scene, family))):
            yield _masked(scene, family, rules[0])
        elif not rules:
            yield from _of_ports(scene, family)
            yield from _of_interfaces(scene, family)


def _of_interfaces(scene: Scene, family: Family) -> Iterator[Finding]:
    """Find rules that masquerade what leaves by each interface, also by the one to the target of a port forward."""
    plain = {
        rule.parameters.out_interface or "": rule
        for rule in scene.rules(family, "nat", "POSTROUTING")
        if _takes(rule, frozenset(), out=True) and not rule.parameters.protocol
    }
    for one in forwards(scene, family):
        uplink = one.rule.parameters.in_interface or ""
        inner = {name: rule for name, rule in plain.items() if name != uplink}
        shown = scene.ask("internet", one.at, family, **one.fields, **({"in": uplink} if uplink else {}))
        if uplink not in plain or not inner or shown is None:
            continue
        certain = any(uses(shown, rule) for rule in inner.values())
        if not certain and not (scene.host.inferred and _named(scene, family) <= set(plain)):
            continue
        title = message(
            "Rules masquerade also what leaves by {names}: {target}, to which a port is forwarded, sees an address"
            " of the host instead of the client's.",
            names=message_list(list(inner)),
            target=address_text(family, one.target),
        )
        yield _hiding(scene, family, title, list(inner.values()), one, shown if certain else None)
        return


def _named(scene: Scene, family: Family) -> set[str]:
    """Return the interfaces that rules name, without the loopback and tunnels."""
    names = {
        name
        for rule in scene.host.rulesets[family].rules()
        for name in (rule.parameters.in_interface, rule.parameters.out_interface)
        if name is not None and name != "lo"
    }
    return {name for name in names if not TUNNEL.fullmatch(name.rstrip("+") or name)}


def _of_ports(scene: Scene, family: Family) -> Iterator[Finding]:
    """Find rules that masquerade all packets to a port, if a port forward leads to it."""
    chosen = [rule for rule in scene.rules(family, "nat", "POSTROUTING") if _takes_port(rule)]
    for rule in chosen:
        for one in forwards(scene, family):
            shown = scene.ask("internet", one.at, family, **one.fields)
            if shown is None or not uses(shown, rule):
                continue
            title = message(
                "nat POSTROUTING rule {position} masquerades the connections that are forwarded to {target}, too: it"
                " sees an address of the host instead of the client's.",
                position=rule.position,
                target=address_text(family, one.target),
            )
            yield _hiding(scene, family, title, [rule], one, shown)
            return


def _hiding(
    scene: Scene,
    family: Family,
    title: Message,
    rules: Sequence[Rule],
    forward: Forward,
    shown: Explanation | None,
) -> Finding:
    """Return that rules hide the clients of a port forward."""
    return Finding(
        "clients-masqueraded",
        title,
        (*map(of_rule, rules), of_rule(forward.rule)),
        message(
            "Logs, bans and access lists there know one client only. Without the rule, {target} has to send"
            " its replies through this host.",
            target=address_text(family, forward.target),
        ),
        message(
            "If it reaches the internet through this host, remove the rule: {command}",
            command=shell(*(deletion(scene, family, rule) for rule in rules)),
        ),
        shown,
        family,
    )


def _takes_all(rule: Rule) -> bool:
    """Return whether a rule masquerades whatever leaves, by any interface."""
    return _takes(rule, frozenset()) and not rule.parameters.protocol


def _takes_port(rule: Rule) -> bool:
    """Return whether a rule masquerades whatever leaves for a port, by any interface."""
    return _takes(rule, frozenset({"tcp", "udp", "multiport"})) and bool(rule.conditions_on("dport"))


def _takes(rule: Rule, matches: frozenset[str], *, out: bool = False) -> bool:
    """Return whether a person's rule masquerades from and to all addresses, with at most some kinds of matches.

    Args:
        rule: the rule.
        matches: the kinds.
        out: it names the interface by which packets leave.
    """
    parameters = rule.parameters
    if out is (parameters.out_interface is None) or "out_interface" in parameters.negated:
        return False
    named = (parameters.source, parameters.destination)
    others = rule.extension_names - {"comment", "MASQUERADE", *matches}
    return rule.target_name == "MASQUERADE" and not is_dockers(rule) and not any(named) and not others


def _masked(scene: Scene, family: Family, rule: Rule) -> Finding:
    uplink = scene.outside_interface(family)
    out = "UPLINK" if uplink is None or scene.host.inferred else uplink.name
    asked = (scene.ask_port(one) for one in scene.publications(family))
    by_hand = (scene.ask("internet", one.at, family, **one.fields) for one in forwards(scene, family))
    shown = next((one for one in (*asked, *by_hand) if one is not None and uses(one, rule)), None)
    return Finding(
        "clients-masqueraded",
        message(
            "nat POSTROUTING rule {position} masquerades incoming connections, too: containers and port forwards see"
            " an address of the host instead of the client's.",
            position=rule.position,
        ),
        (of_rule(rule),),
        message(
            "Logs, bans and access lists there know one client only. The rule is for packets that leave the host for"
            " the outside, but it names no interface."
        ),
        message(
            "Name the uplink: {command}",
            command=shell(f"{tool_of(family)} -t nat -R POSTROUTING {rule.position} -o {out} -j MASQUERADE"),
        ),
        shown,
        family,
    )
