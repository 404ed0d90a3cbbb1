"""What a layout of dockerd's rules is made of: one fact a rule, with its place and the settings it needs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

#: How dockerd puts a rule into its chain. None but "top" does anything where the rule is there already;
#: "top" takes it away first.
Operation = Literal["append", "insert", "top"]

#: What each word of a rule's text may be, for telling such rules in a dump.
_ADDRESS = r"[0-9a-f.:]+/(?:32|128)"
_WORDS = {
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
    "proto": r"(?:tcp|udp|sctp)",
    "host": rf"(?:-d {_ADDRESS} )?",
    "host_loopback": r"127\.[0-9.]+/32",
    "link_local": r"(?:! -s fe80::/10 )?",
    "host_port": r"[0-9]+",
    "container_port": r"[0-9]+",
    "target": r"\S+:[0-9]+",
}
_PLACEHOLDER = re.compile(r"\{(\w+)\}")

#: Settings of the daemon that hold for the default bridge only, and what other networks have instead.
_OPTIONS = {
    "--icc=true": "com.docker.network.bridge.enable_icc=true",
    "--icc=false": "com.docker.network.bridge.enable_icc=false",
    "--ip-masq=true": "com.docker.network.bridge.enable_ip_masquerade=true",
}


@dataclass(frozen=True, slots=True)
class Fact:
    """One rule that dockerd writes.

    Attributes:
        operation: how it gets into the chain.
        table / chain: where it stands.
        text: as iptables-save prints it after `-A CHAIN`; words in braces are filled in.
        when: words that all must hold, "!" before those that must not: "masquerade !routed".
        role: what it is for, by the codes of :mod:`iptsim.docker.roles`.
        setting: the setting that makes dockerd write it, as one would give it; empty: it always does.
    """

    operation: Operation
    table: str
    chain: str
    text: str
    when: str = ""
    role: str = "plumbing"
    setting: str = ""

    def holds(self, words: frozenset[str]) -> bool:
        """Tell whether the settings ask for the rule.

        >>> Fact("append", "nat", "DOCKER", "-j RETURN", "proxy !routed").holds(frozenset({"proxy"}))
        True
        """
        return all(
            (word[1:] not in words) if word.startswith("!") else word in words for word in self.when.split()
        )

    def fill(self, values: Mapping[str, str]) -> str:
        """Return the rule's text for a network, container or port."""
        return self.text.format_map(values)

    def setting_on(self, *, default: bool) -> str:
        """Return the setting for the default bridge, or the option that says the same of another network."""
        return self.setting if default else _OPTIONS.get(self.setting, self.setting)

    def fits(self, text: str) -> re.Match[str] | None:
        """Tell whether a rule of its chain (text after `-A CHAIN`) could be this one, for some settings."""
        return _pattern(self.text).fullmatch(text)


@lru_cache(maxsize=256)
def _pattern(text: str) -> re.Pattern[str]:
    seen: set[str] = set()
    parts: list[str] = []
    end = 0
    for found in _PLACEHOLDER.finditer(text):
        name = found[1]
        parts.append(re.escape(text[end : found.start()]))
        parts.append(f"(?P={name})" if name in seen else f"(?P<{name}>{_WORDS[name]})")
        seen.add(name)
        end = found.end()
    return re.compile("".join([*parts, re.escape(text[end:])]))


def append(place: str, text: str, when: str = "", role: str = "plumbing", setting: str = "") -> Fact:
    """Make a fact for `iptables -A`; `place` is "TABLE CHAIN"."""
    table, chain = place.split()
    return Fact("append", table, chain, text, when, role, setting)


def insert(place: str, text: str, when: str = "", role: str = "plumbing", setting: str = "") -> Fact:
    """Make a fact for `iptables -I`; `place` is "TABLE CHAIN"."""
    table, chain = place.split()
    return Fact("insert", table, chain, text, when, role, setting)


def top(place: str, text: str, when: str = "", role: str = "plumbing", setting: str = "") -> Fact:
    """Make a fact for a jump that dockerd keeps at the top of its chain; `place` is "TABLE CHAIN"."""
    table, chain = place.split()
    return Fact("top", table, chain, text, when, role, setting)


@dataclass(frozen=True, slots=True)
class Layout:
    """How a generation of dockerd lays out its rules.

    The words that facts ask for: `proxy` (the userland proxy runs), `wsl2` (mirrored WSL2 networking),
    `direct` (allow-direct-routing), `ipv4`, `ipv6` (the family), `user-chain` (it has a DOCKER-USER),
    `isolating` (networks are kept apart in this family, with or without addresses); of a network: `icc`, `masquerade`,
    `internal`, `routed`, `unprotected`, `snat` (a fixed source address), `subnet` (it has one of the
    family); of a port: `nat` (it has a port on the host), `loopback` (an IPv4 one that other hosts do
    not see), `sctp`.

    Attributes:
        name: "20.10", "26", "28" or "29".
        chains: (table, chain) that are made when the daemon starts.
        user_chain: families that have a DOCKER-USER.
        start: when the daemon starts.
        network: when a network is made or restored.
        settled: after each network; after the start too.
        endpoint: when a container gets an address in a network.
        trusted: before `endpoint`, once for each trusted interface.
        port: for each published port.
        link: for each exposed port of a linked container.
        drop_always: families whose FORWARD policy becomes DROP even where the host forwarded before.
        drop_per_network: the policy is set by the first network of the family, not by the daemon's start.
    """

    name: str
    chains: tuple[tuple[str, str], ...]
    user_chain: frozenset[int]
    start: tuple[Fact, ...]
    network: tuple[Fact, ...]
    settled: tuple[Fact, ...]
    endpoint: tuple[Fact, ...]
    trusted: tuple[Fact, ...]
    port: tuple[Fact, ...]
    link: tuple[Fact, ...]
    drop_always: frozenset[int]
    drop_per_network: bool

    def facts(self) -> tuple[Fact, ...]:
        """Return all facts."""
        return (
            *self.start, *self.network, *self.settled, *self.endpoint, *self.trusted, *self.port, *self.link,
        )  # fmt: skip
