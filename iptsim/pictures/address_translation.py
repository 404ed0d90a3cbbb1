"""The address translation of a ruleset in short lines: published ports, masquerading."""

from __future__ import annotations

import re

from iptsim.docker.roles import role_of
from iptsim.dump.ruleset import Rule, Ruleset
from iptsim.extensions.targets.dnat import Dnat
from iptsim.host.model import Host
from iptsim.languages import say

_DESTINATION, _SOURCE = ("DNAT", "REDIRECT", "DNPT"), ("MASQUERADE", "SNAT", "SNPT", "NETMAP")
_PORTS = re.compile(r"-p (\S+)(?: -m \S+)? --dports? (\S+)")
_TO = re.compile(r" (?<!! )-d (\S+)")


def translations(host: Host, ruleset: Ruleset) -> tuple[list[str], list[str]]:
    """Return what is done to destinations, and what is done to sources, one line a rule."""
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
    ports, where = _PORTS.search(rule.text), _TO.search(rule.text)
    if ports is None:
        return f"{_conditions(rule)} → {_target(rule)}"
    address = f"{where[1].removesuffix('/32').removesuffix('/128')}:" if where else ""
    return f"{address}{ports[2]}/{ports[1]} → {_owner(host, rule)}{_target(rule)}"


def _owner(host: Host, rule: Rule) -> str:
    """Return the name of the container to which a DNAT rule leads, and a space."""
    target = rule.target
    wanted = target.to_destination if isinstance(target, Dnat) else None
    if wanted is None or wanted.addresses is None or wanted.addresses[0] != wanted.addresses[1]:
        return ""
    owner = host.owner_of(6 if wanted.family == 6 else 4, wanted.addresses[0])
    if not isinstance(owner, tuple) or owner[0].name == str(wanted).partition(":")[0]:
        return ""
    return f"{owner[0].name} "


def _target(rule: Rule) -> str:
    """Return where a nat target leads: the address alone for DNAT, its name for others."""
    target = rule.target
    if isinstance(target, Dnat) and target.to_destination is not None:
        return str(target.to_destination)
    options = rule.text.partition(f" -j {rule.target_name}")[2]
    options = re.sub(r"--to-(source|destination|ports|s|d)\s", "", options).strip()
    return f"{rule.target_name} {options}".strip()


def _conditions(rule: Rule) -> str:
    """Return a rule's conditions, without what says nothing."""
    text = rule.text.removeprefix(f"-A {rule.chain}").partition(f" -j {rule.target_name}")[0]
    text = re.sub(r'-m comment --comment ("[^"]*"|\S+)', "", text)
    return re.sub(r"\s+", " ", text).strip() or say("everything")


def _is_hairpin(host: Host, rule: Rule) -> bool:
    """Tell whether it is Docker's rule for a container that asks its own published port."""
    role = role_of(rule, host)
    ends = re.search(r"-s (\S+) -d (\S+)", rule.text)
    return role is not None and ends is not None and ends[1] == ends[2]
