"""Port forwards that work only from outside, and what disables nat: NOTRACK, a swarm chain that nothing jumps to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

from iptsim.addresses import Family, address_text
from iptsim.dump.rule import Rule
from iptsim.dump.tool import tool_of
from iptsim.explanation import Explanation
from iptsim.extensions.hidden import Hidden
from iptsim.extensions.targets.ct import Ct, Notrack
from iptsim.extensions.targets.dnat import Dnat
from iptsim.extensions.verdicts import TRANSLATING
from iptsim.findings.finding import (
    SHOWN,
    Evidence,
    Finding,
    branch_with,
    is_readdressed,
    of_rule,
    port_ranges,
    uses,
)
from iptsim.findings.remedy import deletion
from iptsim.findings.scene import Scene, some_address
from iptsim.findings.variants import without_rules
from iptsim.host import fib
from iptsim.host.containers import Network
from iptsim.host.docker_defaults import GATEWAY_BRIDGE
from iptsim.languages import message, message_many, message_sentences
from iptsim.owners.chain_owners import chain_owners
from iptsim.passages import shell
from iptsim.protocols import PORT_PROTOCOLS, protocol_name


class Forward(NamedTuple):
    """A DNAT rule that a person wrote for a port of the host.

    Attributes:
        target: the address that it sends to.
        at: the host's address that it is for, or "host".
        fields: protocol and port of a packet for it.
    """

    rule: Rule
    target: int
    at: str
    fields: dict[str, Any]


def hairpin(scene: Scene) -> Iterator[Finding]:
    """Find port forwards to a machine whose neighbours get no reply: it replies to them directly."""
    for family in scene.families:
        seen: dict[int, list[Rule]] = {}
        first: dict[int, tuple[Forward, Explanation, str]] = {}
        for forward in forwards(scene, family):
            found = fib.lookup(scene.host.namespace, family, forward.target)
            client = _neighbour(scene, family, forward.target, found.device)
            if client is None or found.gateway is not None or found.device is None:
                continue
            shown = scene.ask(client, forward.at, family, **{"in": found.device}, **forward.fields)
            shown = branch_with(shown, forward.rule, "reply-not-recognised") if shown is not None else None
            if shown is None:
                continue
            seen.setdefault(forward.target, []).append(forward.rule)
            first.setdefault(forward.target, (forward, shown, found.device))
        for target, (forward, shown, device) in first.items():
            yield _hairpin(scene, family, forward, seen[target], shown, device)


def _hairpin(
    scene: Scene, family: Family, forward: Forward, rules: list[Rule], shown: Explanation, device: str
) -> Finding:
    target = address_text(family, forward.target)
    network = next(
        f"{address_text(family, address.network)}/{address.prefix_length}"
        for address in scene.host.namespace.interfaces[device].addresses
        if address.family == family and address.covers(forward.target)
    )
    command = f"{tool_of(family)} -t nat -A POSTROUTING -s {network} -d {target} -j MASQUERADE"
    return Finding(
        "hairpin",
        message("The port forward to {target} does not work from its own network.", target=target),
        tuple(map(of_rule, rules[:SHOWN])),
        message_sentences(
            message(
                "{target} sends its replies to the client directly, not through the host. The client does not recognise"
                " them, because they do not come from the address it connected to.",
                target=target,
            ),
            message("Rules of nat POSTROUTING that the source does not show may masquerade them.")
            if not scene.shows(family, "nat", "POSTROUTING")
            else "",
        ),
        message("Let them come back through the host: {command}", command=shell(command)),
        shown,
        family,
        (command,),
    )


def not_for_host(scene: Scene) -> Iterator[Finding]:
    """Find port forwards that the host's own connections do not use: PREROUTING does not see them."""
    for family in scene.families:
        found: list[tuple[Forward, Explanation]] = []
        for forward in forwards(scene, family):
            if forward.rule.parameters.in_interface is not None and not is_tested_here(scene):
                continue  # for packets from outside, on purpose
            outside = scene.ask("internet", forward.at, family, **forward.fields)
            shown = scene.ask("host", forward.at, family, **forward.fields)
            if outside is None or shown is None or not uses(outside, forward.rule):
                continue
            if not is_readdressed(shown):
                found.append((forward, shown))
        if found:
            yield _not_for_host(scene, family, found)


def from_inside(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted text, port forwards for one interface: not for a test from the network that they lead to."""
    for family in scene.families if scene.is_pasted and not is_tested_here(scene) else ():
        for forward in forwards(scene, family):
            arriving = forward.rule.parameters.in_interface
            found = fib.lookup(scene.host.namespace, family, forward.target)
            client = _neighbour(scene, family, forward.target, found.device)
            if arriving is None or client is None or found.device in (None, arriving):
                continue
            outside = scene.ask("internet", forward.at, family, **{"in": arriving}, **forward.fields)
            shown = scene.ask(client, forward.at, family, **{"in": found.device}, **forward.fields)
            if outside is None or shown is None or not uses(outside, forward.rule) or is_readdressed(shown):
                continue
            yield _from_inside(scene, family, forward, shown)
            break


def _from_inside(scene: Scene, family: Family, forward: Forward, shown: Explanation) -> Finding:
    rule, target = forward.rule, address_text(family, forward.target)
    tool, words = f"{tool_of(family)} -t nat", scene.shown_words(without_interface(rule))
    return Finding(
        "port-forward-from-outside-only",
        message(
            "The port forward to {target} is for packets that arrive on {interface}, so not for its own network.",
            target=target,
            interface=rule.parameters.in_interface or "",
        ),
        (of_rule(rule),),
        message(
            "From there, a connection to the host's outer address ends at the host itself: refused, or answered by"
            " another service. Test from another network, such as that of a mobile phone."
        ),
        message(
            "For its own network, too: {commands}",
            commands=shell(
                f"{tool} -A PREROUTING -d OUTER_ADDRESS {words}",
                f"{tool} -A POSTROUTING -s NETWORK -d {target} -j MASQUERADE",
            ),
        ),
        shown,
        family,
    )


def without_interface(rule: Rule) -> Rule:
    """Return a rule of PREROUTING for OUTPUT, where iptables refuses -i."""
    if rule.parameters.in_interface is None:
        return rule
    negated = rule.parameters.negated - {"in_interface"}
    return replace(rule, parameters=replace(rule.parameters, in_interface=None, negated=negated))


def is_tested_here(scene: Scene) -> bool:
    """Return whether a text about a problem mentions connections that may be those of the host itself."""
    return scene.pasted.names_client


def _not_for_host(scene: Scene, family: Family, found: list[tuple[Forward, Explanation]]) -> Finding:
    forward, shown = found[0]
    rule = forward.rule
    negated = "in_interface" in rule.parameters.negated
    arriving = rule.parameters.in_interface if not negated else None
    words = scene.shown_words(without_interface(rule))
    command = f"{tool_of(family)} -t nat -A OUTPUT -m addrtype --dst-type LOCAL {words}"
    return Finding(
        "port-forward-not-for-host",
        message_many(
            "The host's own connections to {count} forwarded port are not forwarded.",
            "The host's own connections to {count} forwarded ports are not forwarded.",
            len(found),
        ),
        tuple(of_rule(one.rule) for one, _ in found[:SHOWN]),
        message_sentences(
            message(
                "What the host itself sends passes OUTPUT of table nat, not PREROUTING. So a test on the host, with"
                " localhost or its own address, does not reach {target}; other machines do.",
                target=address_text(family, forward.target),
            ),
            message(
                "Packets of guests, containers or a LAN that arrive by another interface than {name} are not"
                " forwarded, either.",
                name=arriving,
            )
            if arriving
            else "",
        ),
        message("To forward them, too: {command}", command=shell(command)),
        shown,
        family,
    )


def untracked(scene: Scene) -> Iterator[Finding]:
    """Find connections that nat would translate if a rule in table raw did not exempt them from conntrack."""
    for family in scene.families:
        rules = [rule for rule in scene.table(family, "raw").rules() if _is_notrack(rule)]
        if not rules:
            continue
        world = scene.suppose("no raw", partial(without_rules, "raw"))
        seen: set[int] = set()
        for shown in _candidates(scene, family, rules):
            step = next((one for one in shown.trace.legs[0].all_steps if one.rule in rules), None)
            if step is None or step.rule is None or id(step.rule) in seen or _is_translated(shown):
                continue
            tracked = scene.again(shown, world)
            if tracked is None or not _is_translated(tracked):
                continue
            seen.add(id(step.rule))
            yield _untracked(scene, family, step.rule, shown, tracked)


def _untracked(scene: Scene, family: Family, rule: Rule, shown: Explanation, tracked: Explanation) -> Finding:
    nat = next(
        step.rule
        for trace in (tracked.trace, *tracked.trace.branches)
        for step in trace.legs[0].all_steps
        if _translates(step.table, step.verdict)
    )
    command = deletion(scene, family, rule)
    return Finding(
        "notrack-stops-nat",
        message(
            "raw {chain} rule {position} keeps nat from translating.",
            chain=rule.chain,
            position=rule.position,
        ),
        (of_rule(rule), *([of_rule(nat)] if nat is not None else [])),
        message(
            "Packets that conntrack does not track are never translated, and match no --ctstate but UNTRACKED. So the"
            " nat rule has no effect on them."
        ),
        message("{command}, or exclude these packets from the rule.", command=shell(command)),
        shown,
        family,
    )


def ingress_missing(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted text about a swarm, a node without the chain for published ports of services."""
    if "swarm" not in scene.pasted.engines or not scene.shows(4, "filter", "FORWARD"):
        return
    tables = scene.host.rulesets[4].tables.values()
    rules = [
        rule
        for rule in scene.rules(4, "filter", "FORWARD")
        if GATEWAY_BRIDGE in (rule.parameters.in_interface, rule.parameters.out_interface)
    ]
    if not rules or any("DOCKER-INGRESS" in table.chains for table in tables):
        return
    if any(
        rule.jump is not None and rule.jump.chain == "DOCKER-INGRESS"
        for rule in scene.rules(4, "filter", "FORWARD")
    ):
        return
    yield Finding(
        "swarm-ingress-gone",
        message("There is no chain DOCKER-INGRESS, so this node forwards no port of a swarm service."),
        (
            Evidence("filter FORWARD", message("no rule jumps to {chain}", chain="DOCKER-INGRESS")),
            of_rule(rules[0]),
        ),
        message(
            "dockerd creates it in the tables filter and nat with the first port that a service publishes through the"
            " ingress network. Either no service publishes one on this node, or creating it failed, or another program"
            " removed it."
        ),
        message(
            "docker service ls shows the published ports, journalctl -u docker why it failed. Restart Docker, or create"
            " the service again."
        ),
        None,
        4,
    )


def ingress_gone(scene: Scene) -> Iterator[Finding]:
    """Find ports of swarm services that are not forwarded: DOCKER-INGRESS has rules, but no packet reaches them."""
    for family in scene.families:
        rules = [
            rule for rule in scene.rules(family, "nat", "DOCKER-INGRESS") if isinstance(rule.target, Dnat)
        ]
        if not rules or "PREROUTING" in scene.hooks(family, "nat").get("DOCKER-INGRESS", ()):
            continue
        if not scene.shows(family, "nat", "PREROUTING"):
            continue
        shown = next(
            (
                one
                for rule in rules
                if (one := scene.ask("internet", "host", family, **_fields(rule))) is not None
            ),
            None,
        )
        if shown is None or _is_translated(shown):
            continue
        command = f"{tool_of(family)} -t nat -I PREROUTING -m addrtype --dst-type LOCAL -j DOCKER-INGRESS"
        yield Finding(
            "swarm-ingress-gone",
            message("Nothing jumps to nat DOCKER-INGRESS, so the ports of swarm services are not forwarded."),
            tuple(of_rule(rule) for rule in rules[:SHOWN]),
            message(
                "Another program has flushed or replaced the rules that dockerd wrote when it joined the swarm."
            ),
            message("Restart Docker, which writes them again, or: {command}", command=shell(command)),
            shown,
            family,
        )


# -- the forwards of a host ----------------------------------------------------------------------------------


def forwards(scene: Scene, family: Family) -> Iterator[Forward]:
    """Yield the rules by which a person forwards a port of the host to one address."""
    owners = chain_owners(scene.host.rulesets[family])
    hooks = scene.hooks(family, "nat")
    for rule in scene.table(family, "nat").rules():
        target = rule.target
        if (
            not isinstance(target, Dnat)
            or owners.rule(rule) != "user"
            or "PREROUTING" not in hooks.get(rule.chain, ())
            or any(isinstance(match, Hidden) and match.place[:1] == ("chain",) for match in rule.matches)
        ):
            continue
        addresses, fields = target.to_destination.addresses, _fields(rule)
        if (
            addresses is None
            or addresses[0] != addresses[1]
            or "dport" not in fields
            or rule.parameters.source
        ):
            continue
        if scene.host.owner_of(family, addresses[0]) != "host":
            yield Forward(rule, addresses[0], _own_address(scene, family, rule), fields)


def _own_address(scene: Scene, family: Family, rule: Rule) -> str:
    """Return the host's address that a rule names, else "host"."""
    wanted = rule.parameters.destination
    if wanted is None or "destination" in rule.parameters.negated:
        return "host"
    return (
        address_text(family, wanted.address)
        if scene.host.owner_of(family, wanted.address) == "host"
        else "host"
    )


def _fields(rule: Rule) -> dict[str, Any]:
    """Return protocol and port of a packet for a rule; without the port if it names none."""
    proto = rule.parameters.protocol
    if proto is None or proto not in PORT_PROTOCOLS or "protocol" in rule.parameters.negated:
        return {}
    ports = port_ranges(rule)
    return {"proto": protocol_name(proto), "dport": ports[0][0]} if ports else {}


def _neighbour(scene: Scene, family: Family, target: int, device: str | None) -> str | None:
    """Return another address of a target's own link; None where the host does not route to it directly."""
    interface = scene.host.namespace.interfaces.get(device or "")
    for address in interface.addresses if interface is not None else ():
        if address.family == family and address.covers(target):
            others = (address.network + number for number in (20, 21, 22))
            taken = (target, address.address)
            return next(
                (address_text(family, one) for one in others if address.covers(one) and one not in taken),
                None,
            )
    return None


def _candidates(scene: Scene, family: Family, rules: list[Rule]) -> Iterator[Explanation]:
    """Yield connections that nat usually translates: to published ports, by forwards, of containers to the outside.

    Args:
        rules: those whose ports containers connect to.
    """
    ports = [{"proto": "tcp", "dport": 443}, *filter(None, map(_fields, rules))]
    for publication in scene.publications(family):
        if (shown := scene.ask_port(publication)) is not None:
            yield shown
    for forward in forwards(scene, family):
        if (shown := scene.ask("internet", forward.at, family, **forward.fields)) is not None:
            yield shown
    for network in scene.host.networks.values():
        sender, arrival = _sender(scene, family, network)
        for fields in ports if sender else ():
            if (shown := scene.ask(sender, "internet", family, **fields, **arrival)) is not None:
                yield shown


def _sender(scene: Scene, family: Family, network: Network) -> tuple[str, dict[str, Any]]:
    """Return a container of a network, else an address of its subnet and the bridge where its packets arrive."""
    for container in scene.members(network, family)[:1]:
        return container.name, {}
    address = some_address(network, family)
    if address is not None and network.bridge and scene.host.inferred:
        return address, {"in": network.bridge}
    return "", {}


def _is_notrack(rule: Rule) -> bool:
    return isinstance(rule.target, Notrack) or (isinstance(rule.target, Ct) and rule.target.notrack)


def _translates(table: str | None, verdict: str) -> bool:
    return table == "nat" and verdict in TRANSLATING | {"NETMAP"}


def _is_translated(shown: Explanation) -> bool:
    return any(
        _translates(step.table, step.verdict)
        for trace in (shown.trace, *shown.trace.branches)
        for step in trace.legs[0].all_steps
    )
