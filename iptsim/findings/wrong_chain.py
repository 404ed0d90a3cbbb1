"""Rules of INPUT for packets that the host forwards: to the target of a port forward, or to a container."""

from __future__ import annotations

from collections.abc import Iterator

from iptsim.addresses import BITS, Family, address_text
from iptsim.dump.rule import Rule
from iptsim.dump.tool import tool_of
from iptsim.explanation import Explanation
from iptsim.extensions.hidden import is_homeless
from iptsim.extensions.targets.dnat import Dnat
from iptsim.extensions.verdicts import DECIDING
from iptsim.findings.examples import header
from iptsim.findings.finding import Finding, of_rule
from iptsim.findings.remedy import first_that_mends
from iptsim.findings.scene import Scene
from iptsim.findings.shadow import is_chosen
from iptsim.languages import message


def in_input(scene: Scene) -> Iterator[Finding]:
    """Find rules of INPUT for an address that packets are forwarded to: INPUT never sees them."""
    for family in scene.families:
        rules = [rule for rule in scene.rules(family, "filter", "INPUT") if _machine(rule) is not None]
        elsewhere = _forwarded_to(scene, family) if rules else frozenset()
        for rule in rules:
            address = _machine(rule)
            if is_homeless(rule.matches):
                continue
            if address not in elsewhere or not is_chosen(rule, scene):
                continue
            shown = scene.ask("internet", address_text(family, address), family, **header(rule))
            hooks = {step.hook for step in shown.trace.legs[0].all_steps} if shown is not None else set()
            if "INPUT" not in hooks:
                yield _finding(scene, family, rule, address, shown)


def _machine(rule: Rule) -> int | None:
    """Return the single address that a rule is for; None if it is for none or several, or does not decide."""
    to = rule.parameters.destination
    if to is None or "destination" in rule.parameters.negated or rule.target_name not in DECIDING:
        return None
    family: Family = 6 if to.family == 6 else 4
    return to.address if to.mask == (1 << BITS[family]) - 1 else None


def _forwarded_to(scene: Scene, family: Family) -> frozenset[int]:
    """Return the addresses of other machines that port forwards lead to, and those of containers."""
    own = {
        one.address
        for interface in scene.host.namespace.interfaces.values()
        for one in interface.addresses
        if one.family == family
    }
    found = {
        address
        for rule in scene.table(family, "nat").rules()
        if isinstance(rule.target, Dnat) and rule.target.to_destination.addresses
        for address in rule.target.to_destination.addresses[:1]
        if "PREROUTING" in scene.hooks(family, "nat").get(rule.chain, ())
    }
    found |= {
        address
        for container in scene.host.containers.values()
        if container.running and (address := container.address(family)) is not None
    }
    return frozenset(found - own)


def _finding(scene: Scene, family: Family, rule: Rule, address: int, shown: Explanation | None) -> Finding:
    command = f"{tool_of(family)} -I FORWARD {rule.specification}"
    return Finding(
        "wrong-chain",
        message(
            "INPUT rule {position} is for {address}, whose packets are forwarded, so it has no effect.",
            position=rule.position,
            address=address_text(family, address),
        ),
        (of_rule(rule),),
        message(
            "INPUT sees packets for the host itself only. After the translation of a port forward, and for containers,"
            " packets are for another machine and pass FORWARD."
        ),
        message("The rule belongs in FORWARD: {command}", command=command),
        shown,
        family,
        first_that_mends(scene, family, [(command,)], shown) if shown is not None else (),
    )
