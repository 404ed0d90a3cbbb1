"""Published ports that are open although a firewall in INPUT denies them: their packets are forwarded."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from iptsim.addresses import Family
from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.dump.rule import Rule
from iptsim.dump.tool import tool_of
from iptsim.explanation import Explanation
from iptsim.extensions.verdicts import BLOCKING
from iptsim.findings.finding import Finding, of_rule
from iptsim.findings.scene import Publication, Scene
from iptsim.findings.variants import without_docker_in_forward, without_gaps, without_rules
from iptsim.languages import Message, Text, message, message_joined, message_many
from iptsim.netfilter.steps import Step
from iptsim.netfilter.trace import Trace
from iptsim.owners.chain_owners import chain_owners
from iptsim.owners.docker import is_dockers
from iptsim.passages import shell
from iptsim.protocols import protocol_name

#: Example network of allowed sources, for trying the remedy (RFC 6890, RFC 4193).
_SOME_NETWORK: dict[Family, str] = {4: "198.18.0.0/24", 6: "fd00:5a5a::/64"}


def bypassed(scene: Scene) -> Iterator[Finding]:
    """Find published ports that INPUT denies, which forwarded packets never reach."""
    for family in scene.families:
        found: list[_Bypassed] = []
        for publication in scene.publications(family):
            shown = scene.ask_port(publication)
            if shown is None or not (_is_open(shown) or _may_be_open(scene, family, shown)):
                continue
            certain = shown.verdict == "ACCEPT"
            step = _denying(scene.ask_port(publication, without_nat(scene)), certain=certain)
            is_denied = step is not None
            if step is None and certain:
                step = _denying(scene.ask_port(publication, _without_nat_and_gaps(scene)), certain=True)
            if step is not None and not _is_allowed_by_others(scene, publication):
                found.append(_Bypassed(publication, shown, step, is_denied))
        surely = [one for one in found if one.shown.verdict == "ACCEPT"]
        if surely:
            yield _surely_bypassed(scene, family, surely)
        elif found:
            yield _perhaps_bypassed(scene, family, found)


def _is_allowed_by_others(scene: Scene, publication: Publication) -> bool:
    """Return whether a rule of FORWARD that is not Docker's would open the port, were Docker's not before it."""
    world = scene.suppose("no Docker in FORWARD", without_docker_in_forward)
    shown = scene.ask_port(publication, world)
    return shown is not None and is_on_purpose(shown)


class _Bypassed(NamedTuple):
    """A published port, a packet to it, and the step of INPUT that would block the packet if it were not forwarded.

    Attributes:
        is_denied: whether INPUT surely denies the packet; otherwise rules that are not shown may allow it there.
    """

    publication: Publication
    shown: Explanation
    denying: Step
    is_denied: bool


def without_nat(scene: Scene) -> str:
    """Return the variant of the host that forwards no port."""
    return scene.suppose("no nat", partial(without_rules, "nat"))


def _without_nat_and_gaps(scene: Scene) -> str:
    """Return the same variant, with no other rules than those that are shown."""
    return scene.suppose("no nat, no gaps", lambda ruleset: without_rules("nat", without_gaps(ruleset)))


def _denying(without: Explanation | None, *, certain: bool) -> Step | None:
    """Return the step of INPUT that blocks a packet; if not certain, a rule for its port or interface may do so."""
    return _denying_step(without.trace, certain=certain) if without is not None else None


def _denying_step(trace: Trace, *, certain: bool) -> Step | None:
    if not certain and trace.branches:
        steps = (_denying_step(branch, certain=True) for branch in trace.branches)
        return next((step for step in steps if step and step.rule and _is_for_port(step.rule)), None)
    leg = trace.legs[0]
    step = leg.deciding if leg.verdict in BLOCKING else None
    if step is None or step.hook != "INPUT":
        return None
    return step if step.table == "filter" or step.table not in BUILTIN_CHAINS else None


def _is_for_port(rule: Rule) -> bool:
    """Return whether a rule is for some ports, or for all of an interface."""
    return bool(any(rule.conditions_on("dport")) or rule.parameters.in_interface)


def _is_open(shown: Explanation) -> bool:
    return shown.verdict == "ACCEPT" and is_forwarded(shown) and not is_on_purpose(shown)


def _may_be_open(scene: Scene, family: Family, shown: Explanation) -> bool:
    """Return whether a packet is accepted and forwarded if table nat, which is not shown, publishes the port."""
    if shown.verdict != "DEPENDS" or scene.shows(family, "nat"):
        return False
    return any(
        branch.verdict == "ACCEPT" and any(step.hook == "FORWARD" for step in branch.legs[0].steps)
        for branch in shown.trace.branches
    )


def _surely_bypassed(scene: Scene, family: Family, found: list[_Bypassed]) -> Finding:
    publication, shown, denying, _ = found[0]
    who = _firewall(scene, family, denying)
    rules = [
        step.rule
        for step in shown.trace.legs[0].steps
        if step.rule is not None and step.verdict in ("DNAT", "ACCEPT")
    ]
    remedy, command = _some_networks(scene, family, publication)
    return Finding(
        "firewall-bypassed",
        message_many(
            "{ports} is open from outside although {who} in INPUT denies it.",
            "{ports} are open from outside although {who} in INPUT denies them.",
            len(found),
            ports=_ports(found),
            who=who,
        )
        if all(one.is_denied for one in found)
        else _unprotected(found, who),
        (*(of_rule(rule) for rule in rules), scene.of_step(family, denying)),
        message(
            "Docker's DNAT rule in nat PREROUTING redirects the packet to the container, so it passes "
            "FORWARD and never reaches the rules in INPUT."
        ),
        remedy,
        shown,
        family,
        (command.replace("ALLOWED-NETWORK", _SOME_NETWORK[family]),),
    )


def _perhaps_bypassed(scene: Scene, family: Family, found: list[_Bypassed]) -> Finding:
    publication, shown, denying, _ = found[0]
    return Finding(
        "firewall-bypassed",
        _unprotected(found, _firewall(scene, family, denying)),
        (scene.publishes(publication), scene.of_step(family, denying)),
        message(
            "For a published port, Docker writes a DNAT rule to nat PREROUTING, which is not shown. It redirects the "
            "packet to the container, so the packet passes FORWARD and never reaches the rules in INPUT."
        ),
        _some_networks(scene, family, publication)[0],
        shown,
        family,
    )


def _unprotected(found: list[_Bypassed], who: Text) -> Message:
    return message_many(
        "{ports} is published, so {who} in INPUT does not protect it: its packets never pass INPUT.",
        "{ports} are published, so {who} in INPUT does not protect them: their packets never pass INPUT.",
        len(found),
        ports=_ports(found),
        who=who,
    )


def _ports(found: list[_Bypassed]) -> Message:
    ports = (f"{one.publication.outside} ({one.publication.container.name})" for one in found)
    return _listed(list(dict.fromkeys(ports)))


def _some_networks(scene: Scene, family: Family, publication: Publication) -> tuple[Message, str]:
    """Return how to publish a port for some networks only, and the command for it."""
    port, proto = publication.port.host_port, protocol_name(publication.port.proto)
    outside = scene.outside_interface(family)
    where = "DOCKER-USER" if scene.jumps(family, "filter", "DOCKER-USER") else "FORWARD"
    command = (
        f"{tool_of(family)} -I {where} -i {outside.name if outside else 'eth0'} ! -s ALLOWED-NETWORK -p {proto} "
        f"-m conntrack --ctorigdstport {port} --ctdir ORIGINAL -j DROP"
    )
    remedy = message(
        "Allow only some networks, with a rule in {where} for the original port: {command}; or publish on one "
        "address only: {publish}.",
        where=where,
        command=shell(command),
        publish=f"-p 127.0.0.1:{port}:{publication.port.container_port}",
    )
    return remedy, command


def _firewall(scene: Scene, family: Family, denying: Step) -> Text:
    """Return the name of the firewall whose rules or INPUT policy deny a packet."""
    if (denying.table or "").endswith(" firewalld"):
        return "firewalld"
    chains = (denying.chain or "", *scene.below(family, "filter", "INPUT"))
    owners = chain_owners(scene.host.rulesets[family])
    owner = next((name for name in map(owners.chain, chains) if name in ("ufw", "firewalld")), None)
    return owner or message("a firewall")


def is_on_purpose(shown: Explanation) -> bool:
    """Return whether a rule that is not Docker's accepts a packet by its destination, as `ufw route allow` does."""
    accepting = [
        step.rule
        for step in shown.trace.legs[0].steps
        if step.rule is not None and (step.hook, step.table, step.verdict) == ("FORWARD", "filter", "ACCEPT")
    ]
    rule = accepting[-1] if accepting else None
    if rule is None or is_dockers(rule):
        return False
    return rule.parameters.destination is not None or any(
        match.name in ("tcp", "udp", "multiport") or getattr(match, "ctorigdstport", None)
        for match in rule.matches
    )


def _listed(words: list[str]) -> Message:
    if len(words) <= 5:
        return message_joined(", ", words)
    return message(
        "{ports} and {count} more ports", ports=message_joined(", ", words[:4]), count=len(words) - 4
    )


def is_forwarded(shown: Explanation) -> bool:
    """Return whether a packet was forwarded to a container."""
    leg = shown.trace.legs[0]
    forwarded = any(step.hook == "FORWARD" for step in leg.steps)
    return forwarded and leg.delivered is not None and leg.delivered.kind == "container"
