"""Variants of a host: after a command, or with other rules."""

from __future__ import annotations

from dataclasses import replace

from iptsim.addresses import Family
from iptsim.dump import loads
from iptsim.dump.rule import Rule
from iptsim.dump.ruleset import Chain, Ruleset, Table
from iptsim.dump.tool import tool_of
from iptsim.explanation.usual import is_usually_for_lo
from iptsim.extensions.hidden import hides_interfaces, is_gap
from iptsim.findings.nft_commands import after_nft
from iptsim.host.model import Host
from iptsim.owners.docker import is_dockers


def without_rules(name: str, ruleset: Ruleset) -> Ruleset:
    """Return a ruleset in which a table is empty."""
    table = ruleset.tables.get(name, Table(name))
    chains = {one: replace(chain, rules=[]) for one, chain in table.chains.items()}
    return replace(ruleset, tables={**ruleset.tables, name: replace(table, chains=chains)})


def without_gaps(ruleset: Ruleset) -> Ruleset:
    """Return a ruleset without the marks of places where rules are not shown."""
    tables = {
        name: replace(
            table,
            chains={
                one: replace(chain, rules=[rule for rule in chain.rules if not is_gap(rule.target)])
                for one, chain in table.chains.items()
            },
        )
        for name, table in ruleset.tables.items()
    }
    return replace(ruleset, tables=tables)


def without_docker_in_forward(ruleset: Ruleset) -> Ruleset:
    """Return a ruleset whose filter FORWARD evaluates only the rules of others."""
    filtering = ruleset.tables.get("filter") or Table("filter")
    forward = filtering.chains.get("FORWARD")
    if forward is None:
        return ruleset
    others = replace(forward, rules=[rule for rule in forward.rules if not is_dockers(rule)])
    chains = {**filtering.chains, "FORWARD": others}
    return replace(ruleset, tables={**ruleset.tables, "filter": replace(filtering, chains=chains)})


def with_usual_interfaces(ruleset: Ruleset) -> Ruleset:
    """Return a ruleset as people read a listing without -v, which shows no interfaces.

    A rule of INPUT that accepts everything is for lo (as is ufw's), the other rules there and in user-defined chains
    are for all interfaces.
    """
    filtering = ruleset.tables.get("filter") or Table("filter")
    chains = {
        name: replace(chain, rules=[_with_usual_interface(rule) for rule in chain.rules])
        if name not in ("FORWARD", "OUTPUT")
        else chain
        for name, chain in filtering.chains.items()
    }
    return replace(ruleset, tables={**ruleset.tables, "filter": replace(filtering, chains=chains)})


def _with_usual_interface(rule: Rule) -> Rule:
    shown = tuple(one for one in rule.matches if not hides_interfaces(one))
    if len(shown) == len(rule.matches):
        return rule
    only = {"in_interface": "lo"} if is_usually_for_lo(rule) else {}
    return replace(rule, matches=shown, parameters=rule.parameters.model_copy(update=only))


def with_open_output(ruleset: Ruleset) -> Ruleset:
    """Return a ruleset whose OUTPUT accepts all packets."""
    filtering = ruleset.tables.get("filter") or Table("filter")
    chains = {**filtering.chains, "OUTPUT": Chain("filter", "OUTPUT", "ACCEPT")}
    return replace(ruleset, tables={**ruleset.tables, "filter": replace(filtering, chains=chains)})


def without_unseen_nat(host: Host) -> Host:
    """Return a host that has no other nat rules if its source shows those of nat POSTROUTING alone.

    As with tables that are not shown, problems there are not found; but others are.
    """
    rulesets = {family: _without_unseen_nat(ruleset) for family, ruleset in host.rulesets.items()}
    same = all(rulesets[family] is ruleset for family, ruleset in host.rulesets.items())
    return host if same else replace(host, rulesets=rulesets)


def _without_unseen_nat(ruleset: Ruleset) -> Ruleset:
    nat = ruleset.tables.get("nat")
    if nat is None or {rule.chain for rule in nat.rules() if not is_gap(rule.target)} != {"POSTROUTING"}:
        return ruleset
    chains = {name: chain for name, chain in nat.chains.items() if chain.declared or name == "POSTROUTING"}
    if len(chains) == len(nat.chains):
        return ruleset
    return replace(ruleset, tables={**ruleset.tables, "nat": replace(nat, chains=chains)})


def after_command(family: Family, host: Host, command: str) -> Host:
    """Return a host after a command: iptables, ip6tables, `sysctl -w` or `nft add rule`; others have no effect.

    Raises:
        IptsimError: the command fails.
    """
    program, _, rest = command.strip().partition(" ")
    if program == "sysctl":
        name, _, value = rest.removeprefix("-w ").partition("=")
        namespace = replace(host.namespace, sysctls={**host.namespace.sysctls, name: value}, cache={})
        return replace(host, namespace=namespace)
    if program == "nft":
        return after_nft(host, command.strip())
    if program != tool_of(family):
        return host
    table = "filter"
    if rest.startswith("-t "):
        table, _, rest = rest.removeprefix("-t ").partition(" ")
    added = loads(f"*{table}\n{rest}\nCOMMIT\n", source=command, onto=host.rulesets[family])
    return replace(host, rulesets={**host.rulesets, family: added})
