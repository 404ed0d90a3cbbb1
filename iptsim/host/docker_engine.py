"""Docker Engine versions: which rules each writes, and what changed in which release.

Sources: moby's changelogs and the code of the releases named.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, get_args

#: Groups of releases with the same layout of rules, each named after one of its releases.
Generation = Literal["20.10", "26", "28", "29"]
GENERATIONS: tuple[Generation, ...] = get_args(Generation)
#: A release of each generation.
RELEASES: dict[str, str] = {"20.10": "20.10.24", "26": "26.1.5", "28": "28.5.2", "29": "29.0.0"}
_NUMBERS = re.compile(r"([0-9]+)(?:\.[0-9]+){0,2}")


def numbers_of(version: str) -> str:
    """Return the numbers of a release that a version begins with, up to three; "" for none.

    >>> [numbers_of(version) for version in ("20.10.24+dfsg1", "29.0.0-rc.1", "28", "dev")]
    ['20.10.24', '29.0.0', '28', '']
    """
    found = _NUMBERS.match(version)
    return found[0] if found is not None else ""


@dataclass(frozen=True, slots=True)
class Engine:
    """The behaviour of an engine that depends on its version.

    Attributes:
        major: the first number of its version.
    """

    major: int

    @classmethod
    def of(cls, version: str) -> Engine | None:
        """Return the engine of a version or generation, or None if the text does not begin with a number.

        >>> [Engine.of(version).generation for version in ("20.10.24+dfsg1", "27.5.1", "28.5.2", "29.0.0")]
        ['20.10', '26', '28', '29']
        """
        found = _NUMBERS.match(version)
        return cls(int(found[1])) if found is not None else None

    @property
    def generation(self) -> Generation:
        """The layout of its rules."""
        if self.major >= 29:
            return "29"
        return "28" if self.major >= 28 else "26" if self.major >= 23 else "20.10"

    @property
    def is_modelled(self) -> bool:
        """Whether there are releases with this number whose rules are known: 20, and 23 to 29."""
        return self.major == 20 or 23 <= self.major <= int(GENERATIONS[-1])

    @property
    def internal_networks_have_gateways(self) -> bool:
        """Whether containers on internal networks have a default route (until 24; moby/moby#46603)."""
        return self.major < 25

    @property
    def resolves_for_internal_networks(self) -> bool:
        """Whether dockerd forwards DNS queries of internal networks (until 25; CVE-2024-29018)."""
        return self.major < 26

    @property
    def asks_from_host(self) -> bool:
        """Whether its resolver asks the host's name servers from the host itself (28 and 29 note so in resolv.conf)."""
        return self.major >= 28

    @property
    def ip6tables_by_default(self) -> bool:
        """Whether it writes IPv6 rules by default (since 27)."""
        return self.major >= 27

    @property
    def opens_ports_by_host_port(self) -> bool:
        """Whether it processes a container's published ports in the order of host ports (until 26)."""
        return self.major < 27

    @property
    def isolates_without_iptables(self) -> bool:
        """Whether networks are isolated in IPv6 even if IPv4 rules are disabled (since 27)."""
        return self.major >= 27

    @property
    def closes_containers_addresses(self) -> bool:
        """Whether other hosts cannot reach containers' own addresses on unpublished ports (since 28)."""
        return self.major >= 28

    @property
    def has_isolated_bridges(self) -> bool:
        """Whether the bridge of an internal network may have no address (gateway mode "isolated", since 28)."""
        return self.major >= 28

    @property
    def jumps_to_docker_forward(self) -> bool:
        """Whether it puts its forwarding rules into DOCKER-FORWARD (since 28)."""
        return self.major >= 28

    @property
    def ipv4_decides_gateway(self) -> bool:
        """Whether the endpoint with the IPv4 default route also has the IPv6 default route (until 27)."""
        return self.major < 28

    @property
    def filters_bridges_without_proxy(self) -> bool:
        """Whether it enables bridge-nf-call-iptables if docker-proxy is off (since 28)."""
        return self.major >= 28

    @property
    def proxy_keeps_address(self) -> bool:
        """Whether docker-proxy answers over UDP from the address that the client sent to (since 28)."""
        return self.major >= 28


#: The engine that is assumed if the version is unknown.
DEFAULT_ENGINE = Engine(28)


def generation_of_chains(chains: Collection[str]) -> Generation | None:
    """Return the generation that creates such chains, or None if Docker's isolation chains are missing.

    >>> generation_of_chains({"DOCKER", "DOCKER-FORWARD", "DOCKER-USER"})
    '28'
    """
    if "DOCKER-INTERNAL" in chains:
        return "29"
    if "DOCKER-FORWARD" in chains:
        return "28"
    return "26" if "DOCKER-ISOLATION-STAGE-1" in chains else None
