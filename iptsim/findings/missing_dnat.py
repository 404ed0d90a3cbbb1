"""Half of a port forward: FORWARD accepts the packets, but no DNAT sends any; or DNAT sends what FORWARD blocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from iptsim.addresses import Family, address_text, endpoint_text, is_private
from iptsim.dump.rule import Rule
from iptsim.dump.tool import tool_of
from iptsim.explanation import Explanation
from iptsim.explanation.places import place_of
from iptsim.extensions.targets.dnat import Dnat
from iptsim.extensions.verdicts import TRANSLATING_SOURCE
from iptsim.findings.examples import header
from iptsim.findings.finding import SHOWN, Finding, filtered_at, of_rule
from iptsim.findings.remedy import first_that_mends
from iptsim.findings.scene import Scene
from iptsim.findings.shadow import is_chosen
from iptsim.findings.wrong_chain import single_target
from iptsim.host.containers import Network
from iptsim.host.docker_defaults import DOCKER0
from iptsim.host.members import Prefix
from iptsim.languages import message
from iptsim.owners.docker import is_dockers
from iptsim.passages import shell


def missing(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted text, rules of FORWARD for ports of a masqueraded machine to which no DNAT leads."""
    if not scene.is_pasted or scene.has_docker:
        return
    for family in scene.families:
        nat = list(scene.table(family, "nat").rules())
        if any(isinstance(rule.target, Dnat) or rule.target_name in ("NETMAP", "REDIRECT") for rule in nat):
            continue
        accepting = [
            rule
            for rule in scene.rules(family, "filter", "FORWARD")
            if _opens_port(scene, family, rule) and any(_hides(one, rule) for one in nat)
        ]
        if accepting:
            yield _missing(scene, family, accepting)


def _opens_port(scene: Scene, family: Family, rule: Rule) -> bool:
    """Return whether a rule that a person wrote accepts packets from anywhere to a port of one private address."""
    address = single_target(rule)
    if (
        rule.target_name != "ACCEPT"
        or address is None
        or rule.parameters.source is not None
        or is_dockers(rule)
    ):
        return False
    fields = header(rule)
    return (
        is_private(family, address_text(family, address))
        and "dport" in fields
        and fields.get("state") is None
        and is_chosen(rule, scene)
    )


def _hides(one: Rule, rule: Rule) -> bool:
    """Return whether a rule of nat gives the machine that another rule is for the address of the host."""
    source, to = one.parameters.source, rule.parameters.destination
    if one.target_name not in TRANSLATING_SOURCE or source is None or "source" in one.parameters.negated:
        return False
    return to is not None and to.address in source


def _missing(scene: Scene, family: Family, accepting: list[Rule]) -> Finding:
    rule, fields = accepting[0], header(accepting[0])
    tool, port, to = tool_of(family), fields["dport"], single_target(rule) or 0
    address = address_text(family, to)
    return Finding(
        "forward-without-dnat",
        message(
            "FORWARD accepts packets to port {port} of {address}, but no DNAT sends any there.",
            port=port,
            address=address,
        ),
        tuple(map(of_rule, accepting[:SHOWN])),
        message(
            "From outside, {address} cannot be addressed. Connections are for an address of this host, and stay here"
            " unless a rule in PREROUTING of table nat changes their destination.",
            address=address,
        ),
        message(
            "To forward the port: {command}",
            command=shell(
                f"{tool} -t nat -A PREROUTING -i INTERFACE -p {fields['proto']} --dport {port} -j DNAT"
                f" --to-destination {endpoint_text(family, to, port)}"
            ),
        ),
        None,
        family,
    )


def not_accepted(scene: Scene) -> Iterator[Finding]:
    """Find DNAT to a container by hand, whose packets Docker's rules of FORWARD block, or in a pasted text may block.

    Docker accepts in FORWARD what goes to published ports. It sets the policy to DROP, and since 28 it also drops all
    other packets to its bridges.
    """
    told = scene.is_pasted and "docker" in scene.pasted.engines
    for family in scene.families if told or scene.has_docker else ():
        for rule in scene.table(family, "nat").rules():
            to, fields = _container(scene, family, rule), header(rule)
            if to is None or "dport" not in fields:
                continue
            shown = scene.ask("internet", "host", family, proto=fields["proto"], dport=fields["dport"])
            blocked = filtered_at(shown, "FORWARD") if shown is not None else None
            shows = scene.shows(family, "filter", "FORWARD")
            if blocked is None and (not told or shows or _accepts(scene, family, to.address)):
                continue
            yield _not_accepted(scene, family, rule, to, shown if blocked is not None else None)
            break


class _Target(NamedTuple):
    """The address, and the port if there is one, to which a rule sends packets."""

    address: int
    port: int | None


def _container(scene: Scene, family: Family, rule: Rule) -> _Target | None:
    """Return where a rule that a person wrote sends packets, if that is one address in a network of Docker."""
    if not isinstance(rule.target, Dnat):
        return None
    if rule.chain == "DOCKER":
        # with -i it is a copy of one that Docker wrote for a published port
        by_hand = scene.adds_to_docker and rule.parameters.in_interface is None
    else:
        by_hand = rule.chain == "PREROUTING" and is_chosen(rule, scene)
    if not by_hand:
        return None
    to = rule.target.to_destination
    if to.addresses is None or to.addresses[0] != to.addresses[1]:
        return None
    networks: Sequence[Network | Prefix] = scene.docker_networks() or [DOCKER0]
    address = to.addresses[0]
    if not any(network.covers(family, address) for network in networks):
        return None
    return _Target(address, to.ports[0] if to.ports else None)


def _accepts(scene: Scene, family: Family, address: int) -> bool:
    """Return whether a rule of table filter may accept packets for an address, or FORWARD accepts the rest."""
    filtering = scene.table(family, "filter")
    forward = filtering.chains.get("FORWARD")
    if forward is not None and forward.declared and forward.policy == "ACCEPT":
        return True
    return any(
        rule.target_name == "ACCEPT"
        and (rule.parameters.destination is None or address in rule.parameters.destination)
        for rule in filtering.rules()
    )


def _not_accepted(
    scene: Scene, family: Family, rule: Rule, to: _Target, shown: Explanation | None
) -> Finding:
    fields, tool = header(rule), tool_of(family)
    address, outside = address_text(family, to.address), fields["dport"]
    inside = to.port if to.port is not None else outside
    command = f"{tool} -I DOCKER-USER -p {fields['proto']} -d {address} --dport {inside} -j ACCEPT"
    return Finding(
        "dnat-without-accept",
        message(
            "{place} sends packets to {address}, but Docker's rules in FORWARD accept only those to published ports.",
            place=place_of(rule),
            address=address,
        ),
        (of_rule(rule),),
        message(
            "A translated packet is forwarded, so FORWARD decides. Docker sets its policy to DROP, and since 28 drops"
            " all packets to ports of its bridges that no container publishes."
        ),
        message(
            "Publish the port (-p {outside}:{inside}) instead of the rule, or accept it: {command}",
            outside=outside,
            inside=inside,
            command=shell(command),
        ),
        shown,
        family,
        first_that_mends(scene, family, [(command,)], shown) if shown is not None else (),
    )
