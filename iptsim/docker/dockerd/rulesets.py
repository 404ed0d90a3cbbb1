"""The rulesets that dockerd writes, alone or among other programs' rules."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from iptsim.addresses import Family
from iptsim.docker.dockerd.merge import in_place
from iptsim.docker.dockerd.nft_templates import BASE_RULES, CHAINS, NETWORK_CHAINS
from iptsim.docker.dockerd.recognition import is_dockers
from iptsim.docker.dockerd.replay import write, write_nft
from iptsim.docker.dockerd.written_rules import WrittenRules, print_order
from iptsim.docker.model.settings import DockerHost
from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.dump.rule import Rule
from iptsim.dump.ruleset import Chain, Ruleset, Table
from iptsim.host.docker_defaults import NFT_TABLE


def rules_for(
    docker: DockerHost,
    family: Family,
    base: Ruleset | None = None,
    before: DockerHost | None = None,
) -> Ruleset:
    """Return the rules that dockerd writes, as iptables-save would print them.

    Args:
        docker: the settings.
        family: 4 or 6.
        base: a ruleset whose other rules keep their places, while Docker's are replaced.
        before: the settings in force when `base` was saved; None: the same.
    """
    written = write(docker, family)
    if base is None:
        return _ruleset(written)
    old = before or docker
    bridges = {network.bridge for network in old.networks}
    return in_place(
        base, _ruleset(written), written, write(old, family), lambda rule: is_dockers(rule, bridges)
    )


def nft_table(docker: DockerHost, family: Family) -> str:
    """Return the table that dockerd writes with nftables, as `nft --stateless list ruleset` prints it.

    It is empty if dockerd writes rules of iptables, or none for the family.
    """
    chains = write_nft(docker, family).chains
    if not chains:
        return ""
    bridges = [network.bridge for network in docker.networks if network.subnet(family) is not None]
    lines = [f"table {'ip' if family == 4 else 'ip6'} {NFT_TABLE} {{"]
    for chain in NETWORK_CHAINS:
        jumps = [f'"{bridge}" : jump {chain}__{bridge}' for bridge in sorted(bridges)]
        lines += [f"\tmap {chain}-jumps {{", "\t\ttype ifname : verdict"]
        if jumps:
            lines.append(f"\t\telements = {{ {(',' + chr(10) + chr(9) * 3 + ' ' * 5).join(jumps)} }}")
        lines += ["\t}", ""]
    for name in (*CHAINS, *(f"{chain}__{bridge}" for bridge in bridges for chain in NETWORK_CHAINS)):
        rules = [*BASE_RULES.get(name, ()), *(made.text for made in chains.get((NFT_TABLE, name), ()))]
        lines += [f"\tchain {name} {{", *(f"\t\t{rule}" for rule in rules), "\t}", ""]
    return "".join(f"{line}\n" for line in (*lines[:-1], "}"))


def _ruleset(written: WrittenRules) -> Ruleset:
    """Make the tables and chains, with typed rules."""
    # Imported here: the grammar takes a while to load.
    from iptsim.dump.reader import loads

    places = sorted(_with_builtin(written.chains), key=print_order)
    lines: list[str] = []
    for table, group in groupby(places, key=lambda place: place[0]):
        chains = [chain for _, chain in group]
        lines.append(f"*{table}")
        lines += [f":{chain} {_policy(written, table, chain)} [0:0]" for chain in chains]
        lines += [
            f"-A {chain} {made.text}" for chain in chains for made in written.chains.get((table, chain), ())
        ]
        lines.append("COMMIT")
    ruleset = loads("".join(f"{line}\n" for line in lines), source="<dockerd>", family=written.family)
    return Ruleset(
        family=written.family,
        tables={name: _made_table(found) for name, found in ruleset.tables.items()},
        source="<dockerd>",
    )


def _policy(written: WrittenRules, table: str, chain: str) -> str:
    if chain not in BUILTIN_CHAINS[table]:
        return "-"
    return "DROP" if (table, chain) == ("filter", "FORWARD") and written.forward_drop else "ACCEPT"


def _with_builtin(chains: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    tables = {table for table, _ in chains}
    return {*chains, *((table, chain) for table in tables for chain in BUILTIN_CHAINS[table])}


def _made_table(table: Table) -> Table:
    """Return a table whose rules have no position in a file."""
    chains = {
        name: Chain(
            table.name,
            name,
            chain.policy,
            rules=[
                Rule(rule.table, name, rule.position, rule.parameters, rule.matches, rule.target)
                for rule in chain.rules
            ],
        )
        for name, chain in table.chains.items()
    }
    return Table(table.name, chains)
