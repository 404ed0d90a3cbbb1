"""Changes to a host: Docker's settings, kernel parameters, inserted or deleted rules.

A change is a name and a text, as on a command line: ("icc", "false"), ("policy", "FORWARD=ACCEPT"),
("insert", "DOCKER-USER 1 -s 172.17.0.3 -j DROP").
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import groupby

from iptsim.addresses import Family, parse_address
from iptsim.alternatives.hosts import rebuilt, renewed
from iptsim.docker.model.settings import DockerHost
from iptsim.docker.sources.flag_changes import CHANGES as DOCKER_CHANGES
from iptsim.docker.sources.flag_changes import Change, changed, truth, unknown_change
from iptsim.docker.sources.host import docker_host
from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.dump.rule import Rule
from iptsim.dump.ruleset import Chain, Ruleset
from iptsim.errors import DumpErrors, DumpSyntaxError, UsageError, marked_line, printable
from iptsim.host import fib
from iptsim.host.model import Host
from iptsim.host.namespace import BRIDGE_NF, interface_parameter, parameter_name
from iptsim.host.unknown_parameters import USUAL
from iptsim.languages import message, text_of
from iptsim.suggestions import slip_of

_SYSCTL = re.compile(r"[\w./-]+")
_OF_INTERFACE = re.compile(r"net\.ipv(?P<version>[46])\.conf\.(?P<interface>.+)\.(?P<name>[^.]+)")
#: The value of a kernel parameter that is a number, or several of them.
_NUMBERS = re.compile(r"-?\d+(\s+-?\d+)*", re.ASCII)


class ChangedHost:
    """A host to which changes are applied one by one.

    Attributes:
        host: the current state of the host.
        docker: its current Docker settings; None until they are first needed.
    """

    def __init__(self, host: Host, docker: DockerHost | None = None) -> None:
        self.host = host
        self.docker = docker

    def change(self, changes: Iterable[Change], family: Family = 4) -> None:
        """Apply changes in the order given.

        Args:
            changes: the changes.
            family: the family of the rules that "insert", "append", "delete" and "policy" change.

        Raises:
            UsageError: a change cannot be applied; the message names it.
        """
        for is_dockers, group in groupby(changes, key=lambda change: change[0] in DOCKER_CHANGES):
            if is_dockers:
                self._change_docker(list(group))
                continue
            for name, value in group:
                change = _CHANGES.get(name)
                if change is None:
                    raise unknown_change(name, CHANGES)
                try:
                    self.host = change(self.host, value, family)
                except ValueError as error:
                    raise UsageError(
                        message("--{name} {value!r}: {error}", name=name, value=value, error=text_of(error))
                    ) from None

    def _change_docker(self, changes: Sequence[Change]) -> None:
        if not has_docker(self.host):
            raise UsageError(
                message("--{changes}: no Docker daemon runs on this host", changes=changes[0][0])
            )
        before = self.docker or docker_host(self.host)
        self.docker = changed(before, changes)
        self.host = rebuilt(self.host, before, self.docker)
        known = {port.address for container in before.containers for port in container.published}
        for port in (port for container in self.docker.containers for port in container.published):
            if port.address not in known and not self._is_own(port.address):
                raise UsageError(
                    message(
                        "--publish: {address} is not an address of the host, so dockerd cannot listen there",
                        address=port.address,
                    )
                )

    def _is_own(self, text: str) -> bool:
        """Return whether a program on the host can listen on an address; for a bare dump, this is unknown."""
        if not text or self.host.inferred:
            return True
        family, address = parse_address(text)
        return address == 0 or fib.address_type(self.host.namespace, family, address) == "LOCAL"


def change_host(host: Host, changes: Iterable[Change], family: Family = 4) -> Host:
    """Return a host after some changes, applied in the order given; the original is not modified.

    The changes are those of :func:`iptsim.docker.sources.flag_changes.changed`, and

    * `bridge-nf`: "true" or "false": whether iptables sees bridged packets
    * `sysctl`: "NAME=VALUE"
    * `policy`: "[-t TABLE] CHAIN=ACCEPT" or "DROP"
    * `insert`: "[-t TABLE] CHAIN [NUMBER] RULE"; `append`: "[-t TABLE] CHAIN RULE"
    * `delete`: "[-t TABLE] CHAIN NUMBER"

    With `ip-forward`, the host's forwarding is set as dockerd does.

    Raises:
        UsageError: a change cannot be applied; the message names it.
    """
    changing = ChangedHost(host)
    changing.change(changes, family)
    return changing.host


def has_docker(host: Host) -> bool:
    """Return whether there is a Docker engine, from its saved data or from its rules."""
    return host.daemon is not None or any(
        name == "DOCKER" or name.startswith("DOCKER-")
        for ruleset in host.rulesets.values()
        for table in ruleset.tables.values()
        for name in table.chains
    )


# -- kernel parameters -----------------------------------------------------------------------------


def _with_sysctls(host: Host, values: dict[str, str]) -> Host:
    namespace = renewed(host.namespace, sysctls={**host.namespace.sysctls, **values})
    containers = {
        name: replace(one, namespace=namespace) if one.namespace is host.namespace else one
        for name, one in host.containers.items()
    }
    return replace(host, namespace=namespace, containers=containers)


def _bridge_nf(host: Host, value: str, family: Family) -> Host:
    return _with_sysctls(host, dict.fromkeys(BRIDGE_NF.values(), str(int(truth(value)))))


def _sysctl(host: Host, value: str, family: Family) -> Host:
    name, equals, text = value.partition("=")
    if not equals or not _SYSCTL.fullmatch(name.strip()):
        raise ValueError(message("expected NAME=VALUE, such as net.ipv4.ip_forward=0"))
    name, text = parameter_name(name.strip()), text.strip()
    if (of_interface := _OF_INTERFACE.fullmatch(name)) is not None:
        near = interface_parameter(
            int(of_interface["version"]), of_interface["interface"], of_interface["name"]
        )
        if near != name:
            raise ValueError(message("unknown kernel parameter; did you mean {near}?", near=near))
    known = {*USUAL, *host.namespace.sysctls}
    near = slip_of(name, sorted(known)) if name not in known else ""
    # interfaces may have similar names
    different = set(name.split(".")) - set(near.split("."))
    if near and different.isdisjoint(one.replace(".", "/") for one in host.namespace.interfaces):
        raise ValueError(message("unknown kernel parameter; did you mean {near}?", near=near))
    present = host.namespace.sysctl(name, "0")
    if _NUMBERS.fullmatch(present) and not _NUMBERS.fullmatch(text):
        raise ValueError(message("{name} must be a number, not {text}", name=name, text=repr(text)))
    return _with_sysctls(host, {name: text})


# -- rules -----------------------------------------------------------------------------------------


def _place(value: str) -> tuple[str, str]:
    """Split "[-t TABLE] REST" into the table and the rest."""
    words = value.split(None, 2)
    if words[:1] in (["-t"], ["--table"]) and len(words) == 3:
        return words[1], words[2]
    return "filter", value.strip()


def _chain(host: Host, family: Family, table: str, name: str) -> tuple[Ruleset, Chain]:
    ruleset = host.rulesets.get(family)
    if ruleset is None:
        raise ValueError(message("the source has no IPv{family} rules", family=family))
    chain = ruleset.chain(table, name)
    if chain is None and name in BUILTIN_CHAINS.get(table, ()):
        chain = Chain(table, name, "ACCEPT")
    if chain is None:
        raise ValueError(ruleset.missing_chain(name, table))
    return ruleset, chain


def _with_chain(host: Host, ruleset: Ruleset, chain: Chain) -> Host:
    from iptsim.dump.ruleset import Table

    table = ruleset.tables.get(chain.table, Table(chain.table))
    numbered = [replace(rule, position=number) for number, rule in enumerate(chain.rules, 1)]
    chains = {**table.chains, chain.name: replace(chain, rules=numbered)}
    tables = {**ruleset.tables, table.name: replace(table, chains=chains)}
    rulesets = {**host.rulesets, ruleset.family: replace(ruleset, tables=tables)}
    return replace(host, rulesets=rulesets)


def _policy(host: Host, value: str, family: Family) -> Host:
    table, rest = _place(value)
    name, _, policy = rest.replace("=", " ").partition(" ")
    ruleset, chain = _chain(host, family, table, name)
    if not chain.builtin:
        raise ValueError(message("{name} is not a built-in chain, so it has no policy", name=name))
    if policy.strip() not in ("ACCEPT", "DROP"):
        raise ValueError(message("expected CHAIN=ACCEPT or CHAIN=DROP, such as FORWARD=ACCEPT"))
    return _with_chain(host, ruleset, replace(chain, policy=policy.strip()))


def _insert(host: Host, value: str, family: Family) -> Host:
    table, rest = _place(value)
    name, _, text = rest.partition(" ")
    first, _, more = text.strip().partition(" ")
    number, text = (int(first), more) if first.isdecimal() else (1, text)
    ruleset, chain = _chain(host, family, table, name)
    if not 1 <= number <= len(chain.rules) + 1:
        raise ValueError(
            message(
                "chain {name} has {count} rules, so a rule cannot be inserted as number {number}",
                name=name,
                count=len(chain.rules),
                number=number,
            )
        )
    rules = list(chain.rules)
    rules.insert(number - 1, _read(ruleset, chain, text))
    return _with_chain(host, ruleset, replace(chain, rules=rules))


def _append(host: Host, value: str, family: Family) -> Host:
    table, rest = _place(value)
    name, _, text = rest.partition(" ")
    ruleset, chain = _chain(host, family, table, name)
    return _with_chain(host, ruleset, replace(chain, rules=[*chain.rules, _read(ruleset, chain, text)]))


def _delete(host: Host, value: str, family: Family) -> Host:
    table, rest = _place(value)
    name, _, text = rest.partition(" ")
    ruleset, chain = _chain(host, family, table, name)
    if not text.strip().isdecimal():
        raise ValueError(message("expected a chain and a rule number, such as FORWARD 3"))
    number = int(text)
    if not 1 <= number <= len(chain.rules):
        raise ValueError(
            message(
                "chain {name} has {count} rules, so there is no rule {number}",
                name=name,
                count=len(chain.rules),
                number=number,
            )
        )
    rules = [rule for rule in chain.rules if rule.position != number]
    return _with_chain(host, ruleset, replace(chain, rules=rules))


def _read(ruleset: Ruleset, chain: Chain, text: str) -> Rule:
    """Read a rule in the form that iptables expects after the name of the chain."""
    from iptsim.dump.reader import loads

    table = ruleset.tables.get(chain.table)
    known = [name for name in (table.chains if table else ()) if name not in BUILTIN_CHAINS[chain.table]]
    lines = [
        f"*{chain.table}",
        *(f":{name} - [0:0]" for name in known),
        f"-A {chain.name} {text.strip()}",
        "COMMIT",
    ]
    try:
        read = loads("".join(f"{line}\n" for line in lines), family=ruleset.family)
    except DumpSyntaxError as error:
        raise ValueError(_at_rule(error, f"-A {chain.name} ")) from None
    except DumpErrors as error:
        raise ValueError(text_of(error)) from None
    if read.warnings:
        raise ValueError(read.warnings[0].text)
    rule = read.rule(chain.table, chain.name, 1)
    return Rule(rule.table, rule.chain, rule.position, rule.parameters, rule.matches, rule.target)


def _at_rule(error: DumpSyntaxError, added: str) -> str:
    """Return an error with the rule as it was given, and a caret.

    Args:
        error: the error in the line that was read.
        added: what precedes the rule in that line.
    """
    lines = [printable(error.message)]
    start, end = error.span.start - len(added), error.span.end - len(added)
    if start >= 0:
        lines += marked_line(error.text[len(added) :], start, end)
    if error.hint:
        lines.append(f"  {printable(error.hint)}")
    return "\n".join(lines)


_CHANGES: dict[str, Callable[[Host, str, Family], Host]] = {
    "bridge-nf": _bridge_nf,
    "sysctl": _sysctl,
    "policy": _policy,
    "insert": _insert,
    "append": _append,
    "delete": _delete,
}
#: The names of all changes.
CHANGES = (*DOCKER_CHANGES, *_CHANGES)
