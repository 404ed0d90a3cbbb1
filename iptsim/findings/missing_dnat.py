"""Ports of a machine behind the host that FORWARD accepts, while no rule of nat sends packets there."""

from __future__ import annotations

from collections.abc import Iterator

from iptsim.addresses import Family, address_text, endpoint_text
from iptsim.dump.rule import Rule
from iptsim.dump.tool import tool_of
from iptsim.extensions.targets.dnat import Dnat
from iptsim.extensions.verdicts import TRANSLATING_SOURCE
from iptsim.findings.behind import is_private
from iptsim.findings.examples import header
from iptsim.findings.finding import SHOWN, Finding, of_rule
from iptsim.findings.scene import Scene
from iptsim.findings.shadow import is_chosen
from iptsim.findings.wrong_chain import single_target
from iptsim.languages import message
from iptsim.owners.docker import is_dockers


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
            command=f"{tool} -t nat -A PREROUTING -i INTERFACE -p {fields['proto']} --dport {port} -j DNAT"
            f" --to-destination {endpoint_text(family, to, port)}",
        ),
        None,
        family,
    )
