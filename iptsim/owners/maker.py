"""The form in which every program that writes rules is described: its chains, and the roles of its rules."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from iptsim.dump.rule import Rule
from iptsim.dump.ruleset import Chain, Ruleset
from iptsim.dump.words import IN_QUOTES
from iptsim.host.model import Host
from iptsim.languages import Message


@dataclass(frozen=True, slots=True)
class Role:
    """The purpose of a rule, in the terms of the program that wrote it. What does not apply is empty.

    Attributes:
        code: a stable word, unique for each program.
        why: a phrase without a full stop.
        setting: the setting that makes the program write the rule, as a user would give it.
        network / container / port: what the rule belongs to: names, the container's port as "80/tcp".
        host_port: the port on the host that the rule forwards: "8080/tcp".
        link: "CLIENT:SERVER:ALIAS", for the rules of a link.
        shown: the name of the network in sentences: for the default network, that of its bridge.
        about: further fields, in the program's terms: "service", "zone", "jail" ...
    """

    code: str
    why: Message
    setting: str = ""
    network: str = ""
    container: str = ""
    port: str = ""
    host_port: str = ""
    link: str = ""
    shown: str = ""
    about: Mapping[str, str] = field(default_factory=dict)


def role_json(role: Role | None) -> dict[str, Any]:
    """Return a role as data, null where a field does not apply; all null for a rule without a known role."""
    return {
        "role": role.code if role else None,
        "why": str(role.why) if role else None,
        "setting": (role and role.setting) or None,
        "network": (role and role.network) or None,
        "container": (role and role.container) or None,
        "port": (role and role.port) or None,
        "host_port": (role and role.host_port) or None,
        "link": (role and role.link) or None,
    }


@dataclass(frozen=True)
class Scope:
    """The surroundings of a rule, from which its role is read.

    Attributes:
        ruleset: the ruleset of the rule, or None if unknown.
        host: the host, whose networks and containers the rule may be for, or None if unknown.
    """

    ruleset: Ruleset | None = None
    host: Host | None = None

    @cached_property
    def known(self) -> dict[int, tuple[str, Role | None]]:
        """Owner and role of the rules looked up so far, by the rule's id."""
        return {}

    @cached_property
    def chains(self) -> frozenset[str]:
        """The names of all chains."""
        tables = self.ruleset.tables.values() if self.ruleset is not None else ()
        return frozenset(name for table in tables for name in table.chains)

    def rules(self, table: str, chain: str) -> Sequence[Rule]:
        """Return the rules of a chain; empty if it does not exist."""
        found = self.ruleset.chain(table, chain) if self.ruleset is not None else None
        return found.rules if found is not None else []


@dataclass(frozen=True, slots=True)
class Maker:
    """A program that writes rules.

    Attributes:
        name: its name in answers and JSON: "docker", "ufw".
        chains: a regular expression for the names of chains that only this program uses.
        claims: returns whether a chain of another name is the program's, given the names of all chains.
        role: returns the role of a rule, None for one that the program did not write.
        policy: returns why the program set the policy of a built-in chain, or None.
        comments: whether it writes comments from which the roles are read.
    """

    name: str
    chains: str
    claims: Callable[[str, Collection[str]], bool] | None = None
    role: Callable[[Rule, Scope], Role | None] | None = None
    policy: Callable[[Chain, Scope], Role | None] | None = None
    comments: bool = False


def comment_of(rule: Rule) -> str:
    """Return the comment of a rule (`-m comment`); "" if it has none."""
    return next((str(getattr(match, "comment", "")) for match in rule.matches if match.name == "comment"), "")


def without_comment(rule: Rule) -> str:
    """Return a rule's text without `-A CHAIN` and without its comment."""
    return re.sub(rf'-m comment --comment ("{IN_QUOTES}"|\S+) ?', "", rule.specification).strip()


def single(prefix: str) -> str:
    """Return a prefix as text, without the length if it contains one address.

    >>> single("192.0.2.7/32"), single("192.0.2.0/24")
    ('192.0.2.7', '192.0.2.0/24')
    """
    return prefix.removesuffix("/32").removesuffix("/128")


def port_of(text: str) -> str:
    """Return the destination port that a rule's text names, with the protocol; "" if it names none.

    >>> port_of("-p tcp -m tcp --dport 443 -j ACCEPT"), port_of("-p udp -m multiport --dports 67,68 -j ACCEPT")
    ('443/tcp', '67,68/udp')
    """
    found, proto = re.search(r"(?<!! )--dports? (\S+)", text), re.search(r"(?<!! )-p (\S+)", text)
    return f"{found[1]}/{proto[1]}" if found and proto else ""


def option_of(text: str, option: str) -> str:
    """Return the value of an option in a rule's text; "" if it is missing or negated.

    >>> option_of("-s 10.0.0.0/8 ! -i eth0 -j ACCEPT", "-s"), option_of("-s 10.0.0.0/8 ! -i eth0 -j ACCEPT", "-i")
    ('10.0.0.0/8', '')
    """
    found = re.search(rf"(?:^| )(! )?{re.escape(option)} (\S+)", text)
    return found[2] if found and not found[1] else ""


@dataclass(frozen=True, slots=True, eq=False)
class Identity:
    """An object as the key of a cache: two are equal if they are the same object."""

    it: Any

    def __hash__(self) -> int:
        return id(self.it)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Identity) and other.it is self.it
