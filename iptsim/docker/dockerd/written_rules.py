"""The rules that dockerd writes, each with its template and what made dockerd write it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from iptsim.addresses import Family
from iptsim.docker.dockerd.templates import RuleTemplate
from iptsim.dump.builtin_chains import BUILTIN_CHAINS

#: The order in which iptables-nft-save prints tables (nft_table_type in iptables/nft.h).
TABLES = ("mangle", "security", "raw", "filter", "nat")


@dataclass(frozen=True, slots=True)
class Origin:
    """What made dockerd write a rule; fields that do not apply are empty.

    Attributes:
        setting: as a user would give it: "--icc=false", "--publish", or the option of a network other than
            the default one.
        network / container: names.
        port: a published or linked port: "80/tcp".
        link: "CLIENT:SERVER:ALIAS".
    """

    setting: str = ""
    network: str = ""
    container: str = ""
    port: str = ""
    link: str = ""


@dataclass(frozen=True, slots=True)
class WrittenRule:
    """A rule that dockerd writes.

    Attributes:
        table / chain: where it is.
        text: as iptables-save prints it after `-A CHAIN`.
        template: the template from which it was made.
        origin: what made dockerd write it.
    """

    table: str
    chain: str
    text: str
    template: RuleTemplate
    origin: Origin

    @property
    def role(self) -> str:
        """Its purpose, one of the codes of :mod:`iptsim.owners.docker`."""
        return self.template.role


@dataclass(frozen=True, slots=True)
class WrittenRules:
    """All rules that dockerd writes for one family.

    Attributes:
        chains: the rules by (table, chain), in order, in Docker's chains and in built-in chains.
        forward_drop: whether dockerd sets the policy of FORWARD to DROP.
    """

    family: Family
    chains: dict[tuple[str, str], list[WrittenRule]]
    forward_drop: bool

    def rules(self) -> Iterator[WrittenRule]:
        """Yield the rules in the order of iptables-save."""
        for place in sorted(self.chains, key=print_order):
            yield from self.chains[place]


def print_order(place: tuple[str, str]) -> tuple[int, int, str]:
    """Return the place of a (table, chain) in the output of iptables-nft-save: built-in chains first, then by name."""
    table, chain = place
    builtin = BUILTIN_CHAINS[table]
    return TABLES.index(table), builtin.index(chain) if chain in builtin else len(builtin), chain
