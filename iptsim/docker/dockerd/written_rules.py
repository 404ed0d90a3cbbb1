"""What dockerd writes, as data: each rule with the fact that it comes from and what made dockerd write it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from iptsim.docker.dockerd.templates import Fact
from iptsim.dump.ruleset import BUILTIN_CHAINS
from iptsim.packet import Family

#: The order in which iptables-nft-save prints tables (nft_table_type in iptables/nft.h).
TABLES = ("mangle", "security", "raw", "filter", "nat")


@dataclass(frozen=True, slots=True)
class Origin:
    """What made dockerd write a rule; what does not apply is empty.

    Attributes:
        setting: as one would give it: "--icc=false", "--publish"; the option of a network other than the
            default one.
        network / container: names.
        port: a published or linked port: "80/tcp".
        link: "CLIENT:SERVER".
    """

    setting: str = ""
    network: str = ""
    container: str = ""
    port: str = ""
    link: str = ""


@dataclass(frozen=True, slots=True)
class Made:
    """A rule that dockerd writes, and why.

    Attributes:
        table / chain: where it stands.
        text: as iptables-save prints it after `-A CHAIN`.
        fact: the fact of the layout that it comes from.
        origin: what made dockerd write it.
    """

    table: str
    chain: str
    text: str
    fact: Fact
    origin: Origin

    @property
    def role(self) -> str:
        """What it is for, by the codes of :mod:`iptsim.docker.roles`."""
        return self.fact.role


@dataclass(frozen=True, slots=True)
class Written:
    """All that dockerd writes for one family.

    Attributes:
        chains: the rules by (table, chain), in order; Docker's own chains and those built in.
        forward_drop: whether dockerd sets the policy of FORWARD to DROP.
    """

    family: Family
    chains: dict[tuple[str, str], list[Made]]
    forward_drop: bool

    def rules(self) -> Iterator[Made]:
        """Yield the rules in the order of iptables-save."""
        for place in sorted(self.chains, key=print_order):
            yield from self.chains[place]


def print_order(place: tuple[str, str]) -> tuple[int, int, str]:
    """Return where iptables-nft-save prints a (table, chain): built-in chains first, then by name."""
    table, chain = place
    builtin = BUILTIN_CHAINS[table]
    return TABLES.index(table), builtin.index(chain) if chain in builtin else len(builtin), chain
