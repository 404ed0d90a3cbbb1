"""The address translation of a ruleset in short lines: published ports, masquerading."""

from __future__ import annotations

import re

from iptsim.dump.rule import Rule
from iptsim.dump.ruleset import Ruleset
from iptsim.extensions.matches.multiport import Multiport
from iptsim.extensions.parameters import format_protocol
from iptsim.extensions.targets.dnat import Dnat
from iptsim.extensions.values import range_text
from iptsim.host.model import Host
from iptsim.languages import say
from iptsim.owners.docker import docker_role

_DESTINATION, _SOURCE = ("DNAT", "REDIRECT", "DNPT"), ("MASQUERADE", "SNAT", "SNPT", "NETMAP")


def translations(host: Host, ruleset: Ruleset) -> tuple[list[str], list[str]]:
    """Return the translations of destinations and those of sources, one line for each rule."""
    table = ruleset.tables.get("nat")
    destinations: dict[str, None] = {}
    sources: dict[str, None] = {}
    for rule in table.rules() if table else ():
        if rule.target_name in _DESTINATION:
            destinations[_destination(host, rule)] = None
        elif rule.target_name in _SOURCE and not _is_hairpin(host, rule):
            sources[say("{target} for {packets}", target=_target(rule), packets=_conditions(rule))] = None
    return list(destinations), list(sources)


def _destination(host: Host, rule: Rule) -> str:
    parameters = rule.parameters
    ports = _ports(rule)
    if not ports or not parameters.protocol or "protocol" in parameters.negated:
        return f"{_conditions(rule)} → {_target(rule)}"
    has_address = parameters.destination is not None and "destination" not in parameters.negated
    address = f"{parameters.destination.short}:" if has_address and parameters.destination else ""
    protocol = format_protocol(parameters.protocol)
    return f"{address}{ports}/{protocol} → {_owner(host, rule)}{_target(rule)}"


def _ports(rule: Rule) -> str:
    """Return the destination ports that a rule matches, as written in the dump; "" if it names none."""
    for match in rule.matches:
        if (
            isinstance(match, Multiport)
            and match.destination_ports
            and "destination_ports" not in match.negated
        ):
            return ",".join(map(range_text, match.destination_ports))
        port = getattr(match, "destination_port", None)
        if port is not None and "destination_port" not in match.negated:
            return range_text(port)
    return ""


def _owner(host: Host, rule: Rule) -> str:
    """Return the name of the container to which a DNAT rule forwards, and a space."""
    target = rule.target
    wanted = target.to_destination if isinstance(target, Dnat) else None
    if wanted is None or wanted.addresses is None or wanted.addresses[0] != wanted.addresses[1]:
        return ""
    owner = host.owner_of(6 if wanted.family == 6 else 4, wanted.addresses[0])
    if not isinstance(owner, tuple) or owner[0].name == str(wanted).partition(":")[0]:
        return ""
    return f"{owner[0].name} "


def _target(rule: Rule) -> str:
    """Return what a nat target translates to: the address for DNAT, else the name of the target."""
    target = rule.target
    if isinstance(target, Dnat) and target.to_destination is not None:
        return str(target.to_destination)
    options = rule.text.partition(f" -j {rule.target_name}")[2]
    options = re.sub(r"--to-(source|destination|ports|s|d)\s", "", options).strip()
    return f"{rule.target_name} {options}".strip()


def _conditions(rule: Rule) -> str:
    """Return a rule's conditions, without comments."""
    text = f" {rule.specification}".partition(f" -j {rule.target_name}")[0]
    text = re.sub(r'-m comment --comment ("[^"]*"|\S+)', "", text)
    return re.sub(r"\s+", " ", text).strip() or say("everything")


def _is_hairpin(host: Host, rule: Rule) -> bool:
    """Return whether it is Docker's rule for a container that sends to its own published port."""
    role = docker_role(rule, host)
    return role is not None and role.code == "hairpin-masquerade"
