"""Templates of the rules that dockerd writes: their tables and chains, texts, and the settings that cause them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Literal

from iptsim.host.docker_engine import Generation

#: How dockerd puts a rule into its chain. Only "top" has an effect where the rule already exists: it moves
#: the rule to the top.
Operation = Literal["append", "insert", "top"]

#: The values that each placeholder may have, to recognise such rules in a dump.
_ADDRESS = r"[0-9a-f.:]+/(?:32|128)"
_VALUES = {
    "bridge": r"\S+",
    "other": r"\S+",
    "subnet": r"[0-9a-f.:]+/[0-9]+",
    "snat": r"[0-9a-f.:]+",
    "loopback": r"(?:127\.0\.0\.0/8|::1/128)",
    "icmp": r"(?:icmp|ipv6-icmp)",
    "address": _ADDRESS,
    "client": _ADDRESS,
    "server": _ADDRESS,
    "trusted": r"\S+",
    "not_from": r"(?:! -i \S+ )*",
    "proto": r"(?:tcp|udp|sctp)",
    "host": rf"(?:-d {_ADDRESS} )?",
    "host_loopback": r"127\.[0-9.]+/32",
    "link_local": r"(?:! -s fe80::/10 )?",
    "host_port": r"[0-9]+",
    "container_port": r"[0-9]+",
    "target": r"\S+:[0-9]+",
}
_PLACEHOLDER = re.compile(r"\{(\w+)\}")

#: Daemon settings that apply to the default bridge only, and the options that other networks have instead.
_OPTIONS = {
    "--icc=true": "com.docker.network.bridge.enable_icc=true",
    "--icc=false": "com.docker.network.bridge.enable_icc=false",
    "--ip-masq=true": "com.docker.network.bridge.enable_ip_masquerade=true",
}


@dataclass(frozen=True, slots=True)
class RuleTemplate:
    """One rule that dockerd writes.

    Attributes:
        operation: how dockerd adds it to the chain.
        table / chain: where it belongs.
        text: as iptables-save prints it after `-A CHAIN`, with placeholders in braces.
        when: its conditions, all of which must be met; "!" negates one: "masquerade !routed".
        role: its purpose, one of the codes of :mod:`iptsim.owners.docker`.
        setting: the setting that makes dockerd write it, as a user would give it; empty if dockerd always does.
        group: the rules of a lower group precede it in its chain.
    """

    operation: Operation
    table: str
    chain: str
    text: str
    when: str = ""
    role: str = "plumbing"
    setting: str = ""
    group: int = 0

    def applies(self, met: frozenset[str]) -> bool:
        """Return whether dockerd writes the rule under these conditions.

        >>> RuleTemplate("append", "nat", "DOCKER", "-j RETURN", "proxy !routed").applies(frozenset({"proxy"}))
        True
        """
        return all((one[1:] not in met) if one.startswith("!") else one in met for one in self.when.split())

    def fill(self, values: Mapping[str, str]) -> str:
        """Return the rule's text for a network, container or port."""
        return self.text.format_map(values)

    def place(self, values: Mapping[str, str]) -> tuple[str, str]:
        """Return table and chain of the rule for a network, container or port."""
        return self.table, self.chain

    def setting_on(self, *, default: bool) -> str:
        """Return the setting for the default bridge, or the equivalent option of another network."""
        return self.setting if default else _OPTIONS.get(self.setting, self.setting)

    def match(self, text: str) -> re.Match[str] | None:
        """Match the text of a rule (what follows `-A CHAIN`) against the template; the groups are the values."""
        return _pattern(self.text).fullmatch(text)


@lru_cache(maxsize=256)
def _pattern(text: str) -> re.Pattern[str]:
    seen: set[str] = set()
    parts: list[str] = []
    end = 0
    for found in _PLACEHOLDER.finditer(text):
        name = found[1]
        parts.append(re.escape(text[end : found.start()]))
        parts.append(f"(?P={name})" if name in seen else f"(?P<{name}>{_VALUES[name]})")
        seen.add(name)
        end = found.end()
    return re.compile("".join([*parts, re.escape(text[end:])]))


def _template(
    operation: Operation,
    place: str,
    text: str,
    when: str = "",
    role: str = "plumbing",
    setting: str = "",
) -> RuleTemplate:
    """Make a template; `place` is "TABLE CHAIN"."""
    table, chain = place.split()
    return RuleTemplate(operation, table, chain, text, when, role, setting)


#: Templates for `iptables -A`, for `iptables -I`, and for a jump that dockerd keeps at the top of its chain.
append, insert, top = partial(_template, "append"), partial(_template, "insert"), partial(_template, "top")


@dataclass(frozen=True, slots=True)
class Layout:
    """How a generation of dockerd lays out its rules.

    The conditions of its templates: `proxy` (the userland proxy runs), `wsl2` (mirrored WSL2 networking),
    `direct` (allow-direct-routing), `ipv4`, `ipv6` (the family), `user-chain` (DOCKER-USER exists),
    `isolating` (networks are isolated in this family, with or without addresses); of a network: `icc`,
    `masquerade`, `internal`, `routed`, `unprotected`, `snat` (a fixed source address), `subnet` (it has one
    of the family); of a port: `nat` (it has a port on the host), `loopback` (an IPv4 loopback address of the
    host), `sctp`.

    Attributes:
        name: of the generation.
        chains: (table, chain) that the daemon creates when it starts.
        user_chain: families with DOCKER-USER.
        start: written when the daemon starts.
        network: written when a network is created or restored.
        settled: written after the start and after each network.
        endpoint: written when a container gets an address on a network.
        trusted: written before `endpoint`, once for each trusted interface.
        port: written for each published port.
        link: written for each exposed port of a linked container.
        ingress: written when swarm publishes its first port on the node.
        ingress_port: written for each port that a swarm service publishes.
        drop_always: families whose FORWARD policy becomes DROP even if the host already forwarded packets.
        drop_per_network: the policy is set with the first network of the family, not when the daemon starts.
    """

    name: Generation
    chains: tuple[tuple[str, str], ...]
    user_chain: frozenset[int]
    start: tuple[RuleTemplate, ...]
    network: tuple[RuleTemplate, ...]
    settled: tuple[RuleTemplate, ...]
    endpoint: tuple[RuleTemplate, ...]
    trusted: tuple[RuleTemplate, ...]
    port: tuple[RuleTemplate, ...]
    link: tuple[RuleTemplate, ...]
    ingress: tuple[RuleTemplate, ...]
    ingress_port: tuple[RuleTemplate, ...]
    drop_always: frozenset[int]
    drop_per_network: bool

    def templates(self) -> tuple[RuleTemplate, ...]:
        """Return all templates."""
        return (
            *self.start, *self.network, *self.settled, *self.endpoint, *self.trusted, *self.port, *self.link,
            *self.ingress, *self.ingress_port,
        )  # fmt: skip
