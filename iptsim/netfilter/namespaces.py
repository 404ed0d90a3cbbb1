"""The network namespaces of a host, each with its hooks and the rules at them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress

from iptsim.addresses import FAMILIES, Family
from iptsim.dump import loads
from iptsim.dump.ruleset import Ruleset
from iptsim.errors import IptsimError
from iptsim.host.model import Host
from iptsim.host.namespace import Namespace
from iptsim.host.nft_chains import NftChain
from iptsim.netfilter.connection_table import Captured
from iptsim.netfilter.excerpts import unseen_tables
from iptsim.netfilter.hooks import Hooks
from iptsim.netfilter.nft_program import program_of
from iptsim.netfilter.program import Program


class Namespaces:
    """The hooks of a host and of its containers; the rules of a container are read when a packet first enters it.

    Args:
        host: the host.
        like: those of a host with the same containers, and with the same rules but for a few: they are prepared once.

    Attributes:
        captured: the connections of the host, if it is a capture.
    """

    def __init__(self, host: Host, like: Namespaces | None = None) -> None:
        self.host = host
        before: Mapping[int, list[Program]] = like._programs if like is not None else {}
        self._programs: dict[int, list[Program]] = _programs_of_host(host, before)
        self._of_host = Hooks(self._programs, host.namespace.nftables)
        self._of_containers: dict[str, Hooks] = like._of_containers if like is not None else {}
        self.captured = Captured(host.conntrack)
        if like is not None and like.captured.entries is host.conntrack:
            self.captured = like.captured

    def hooks_of(self, namespace: Namespace) -> Hooks:
        """Return the hooks of a namespace."""
        if namespace is self.host.namespace:
            return self._of_host
        found = self._of_containers.get(namespace.name)
        if found is None:
            found = self._of_containers[namespace.name] = Hooks(_programs(namespace), namespace.nftables)
        return found

    def rulesets(self) -> list[Ruleset]:
        """Return the rules of all namespaces; those that cannot be read are reported when a packet meets them."""
        found: list[Ruleset] = []
        for namespace in self._all():
            with suppress(IptsimError):
                found += [program.ruleset for program in self.hooks_of(namespace).all_programs()]
        return found

    def nft_chains(self) -> list[NftChain]:
        """Return the base chains of nftables of all namespaces."""
        return [chain for one in self._all() if one.nftables for chain in one.nftables.chains]

    def nft_rulesets(self) -> list[Ruleset]:
        """Return the rules of all namespaces in base chains of nftables, where they can be evaluated."""
        return [
            program.ruleset
            for namespace in self._all()
            for family in FAMILIES
            for program in nft_programs(namespace, family)
        ]

    def _all(self) -> Iterator[Namespace]:
        yield self.host.namespace
        yield from (container.namespace for container in self.host.containers.values())


def nft_programs(namespace: Namespace, family: Family) -> list[Program]:
    """Return the base chains of nftables of a namespace whose rules can be evaluated."""
    chains = namespace.nftables.chains if namespace.nftables else ()
    found = (program_of(chain, family) for chain in chains)
    return [one.program for one in found if one is not None]


def _programs(namespace: Namespace) -> dict[int, list[Program]]:
    """Read the rules that a container has in its own namespace."""
    found: dict[int, list[Program]] = {}
    families: tuple[tuple[Family, str | None], ...] = ((4, namespace.iptables), (6, namespace.ip6tables))
    for family, text in families:
        if text and text.strip():
            source = f"iptables-save of {namespace.name}"
            found[family] = [Program(loads(text, source=source, family=family))]
    return found


def _programs_of_host(host: Host, like: Mapping[int, list[Program]]) -> dict[int, list[Program]]:
    """Prepare the rules of a host, of both backends; most of them may be those of another host, by family."""
    sources = (host.rulesets, host.extra_rulesets)
    # the rules of tables that are not shown switch it on wherever there is nat
    tracked = {
        family
        for shown in sources
        for family, ruleset in shown.items()
        if host.inferred and unseen_tables((ruleset,))
    }
    tracked |= {entry.connection.family for entry in host.conntrack}
    found: dict[int, list[Program]] = {}
    for rulesets in sources:
        for family, ruleset in rulesets.items():
            programs = found.setdefault(family, [])
            before = next(iter(like.get(family, [])[len(programs) :]), None)
            programs.append(Program(ruleset, conntrack_on=family in tracked, like=before))
    return found
