"""Interfaces for Docker's rules in a listing without -v, which hides them: those that dockerd writes.

Without them, hardly any packet's fate could be told. A rule has those of the template (:mod:`iptsim.docker.dockerd`)
that it matches otherwise, if its place in its chain leaves no choice. Those of rules that users added stay unknown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from iptsim.addresses import BITS, Family, address_text, parse_address
from iptsim.docker.dockerd.generations import LAYOUTS
from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.dump.reader import loads
from iptsim.dump.rule import Rule
from iptsim.dump.ruleset import Chain, Ruleset, Table
from iptsim.extensions.hidden import Hidden, hides_interfaces, is_gap
from iptsim.extensions.values import Network, bare
from iptsim.host.docker_defaults import DEFAULT_BRIDGE, DOCKER0, default_subnet
from iptsim.host.docker_engine import Generation
from iptsim.host.members import Prefix
from iptsim.host.namespace import prefix_mask

_MASQUERADED = re.compile(r"-s (\S+) -j MASQUERADE")
_INTERFACE = re.compile(r"(?:! )?-[io] \{bridge\} ?")
_ANSWERS = "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
_OTHERS_ANSWERS = "-m state --state RELATED,ESTABLISHED -j ACCEPT"
_OUTGOING, _WITHIN = "-i {bridge} ! -o {bridge}", "-i {bridge} -o {bridge}"
#: A rule of `--link`: one of each pair is for requests, the other one for replies.
_OF_LINK = re.compile(
    r"-s (?P<source>\S+)/32 -d (?P<destination>\S+)/32 -p (?P<proto>\w+) -m (?P=proto) "
    r"--(?P<side>[ds])port (?P<port>\d+) -j ACCEPT"
)


def _network(subnet: Prefix) -> Network:
    return Network(subnet.family, subnet.address, prefix_mask(subnet.family, subnet.length))


#: The subnet of the default bridge, unless `bip` sets another one.
_DEFAULT = _network(DOCKER0)


@dataclass(slots=True)
class _Networks:
    """Docker's networks, as the rules of a listing show them.

    Attributes:
        bridges: their names; as the networks are alike, any order will do where no other rule is between theirs.
        subnets: those that are known, by bridge.
        icc: whether containers of one network may talk to each other.
        proxy: whether docker-proxy runs.
        generation: the layout of the rules.
    """

    bridges: list[str]
    subnets: dict[str, list[Network]]
    icc: bool
    proxy: bool
    generation: Generation

    def met(self, family: Family) -> frozenset[str]:
        """Return the conditions of templates that are met (:class:`iptsim.docker.dockerd.templates.Layout`)."""
        met = {"subnet", "masquerade", "nat", "user-chain", "isolating", f"ipv{family}"}
        return frozenset(met | ({"icc"} if self.icc else set()) | ({"proxy"} if self.proxy else set()))


def lacks_interfaces(rulesets: Mapping[Family, Ruleset]) -> bool:
    """Return whether the interfaces of any rule are hidden, as in a listing without -v."""
    return any(_is_listed_without(table) for one in rulesets.values() for table in one.tables.values())


def fill_interfaces(rulesets: Mapping[Family, Ruleset], known: Mapping[str, Sequence[Network]]) -> list[str]:
    """Give Docker's rules the interfaces that a listing without -v hides.

    Args:
        rulesets: the rules as listed.
        known: the bridges of Docker that the text shows, and their subnets.

    Returns:
        the bridges that rules name now.
    """
    found = dict[str, None]()
    for family, ruleset in rulesets.items():
        chains = {
            (table.name, chain.name): chain
            for table in filter(_is_listed_without, ruleset.tables.values())
            for chain in table.chains.values()
        }
        networks = _networks(chains, family, known)
        if networks is not None:
            found |= dict.fromkeys(_fill(chains, family, networks))
    return list(found)


def _is_listed_without(table: Table) -> bool:
    return any(_is_bare(rule) for chain in table.chains.values() for rule in chain.rules)


def _is_bare(rule: Rule) -> bool:
    """Return whether the interfaces of a rule are hidden."""
    return any(map(hides_interfaces, rule.matches))


def listed_text(rule: Rule) -> str:
    """Return a rule without its interfaces, as iptables-save prints it; "" if they are not hidden."""
    if rule.jump is None and not _is_bare(rule):
        return ""
    return replace(
        rule, matches=tuple(one for one in rule.matches if not isinstance(one, Hidden))
    ).specification


def _rules(chains: Mapping[tuple[str, str], Chain], table: str, name: str) -> Sequence[Rule]:
    chain = chains.get((table, name))
    return [] if chain is None else chain.rules


def _texts(chains: Mapping[tuple[str, str], Chain], table: str, name: str) -> list[str]:
    return list(map(listed_text, _rules(chains, table, name)))


# -- the networks ----------------------------------------------------------------------------------


def _networks(
    chains: Mapping[tuple[str, str], Chain], family: Family, known: Mapping[str, Sequence[Network]]
) -> _Networks | None:
    """Return the networks of Docker; None if the rules do not say which there are, or if they differ."""
    generation = _generation(chains)
    if ("filter", "DOCKER-FORWARD") in chains:
        shape = _shape_below(chains)
    elif ("filter", "FORWARD") in chains:
        shape = _shape_in_forward(chains)
    else:
        shape = _texts(chains, "nat", "DOCKER").count("-j RETURN"), True
    if shape is None or not shape[0]:
        return None
    count, icc = shape
    subnets = _subnets(chains, family, count)
    if subnets is None:
        return None
    names = _known_names(count, subnets, known, family) if known else _names(count, subnets)
    if names is None:
        return None
    proxy = "-m addrtype --dst-type LOCAL -j DOCKER" not in _texts(chains, "nat", "OUTPUT")
    return _Networks(list(names), names, icc, proxy, generation)


def _generation(chains: Mapping[tuple[str, str], Chain]) -> Generation:
    if ("filter", "DOCKER-INTERNAL") in chains:
        return "29"
    return "28" if ("filter", "DOCKER-FORWARD") in chains else "26"


def _shape_below(chains: Mapping[tuple[str, str], Chain]) -> tuple[int, bool] | None:
    """Return the number of networks and whether icc is on, from the chains below DOCKER-FORWARD.

    None if users have rules there, or if a network is internal: its rules have other interfaces.
    """
    count = _texts(chains, "filter", "DOCKER-BRIDGE").count("-j DOCKER")
    texts = _texts(chains, "filter", "DOCKER-FORWARD")
    own = [text for text in texts if not text.startswith("-j DOCKER")]
    internal = any(
        rule.parameters.negated
        for name in ("DOCKER-ISOLATION-STAGE-1", "DOCKER-INTERNAL")
        for rule in _rules(chains, "filter", name)
    )
    if internal or texts[len(texts) - len(own) :] != own:
        return None
    if _texts(chains, "filter", "DOCKER-CT") != [_ANSWERS] * count:
        return None
    if own in (["-j ACCEPT"] * count, ["-j DROP", "-j ACCEPT"] * count):
        return count, "-j DROP" not in own
    return None


def _shape_in_forward(chains: Mapping[tuple[str, str], Chain]) -> tuple[int, bool] | None:
    """Return the same from FORWARD, where each network has a group of rules, one below the other."""
    texts = _texts(chains, "filter", "FORWARD")
    if _with_links(chains):
        return 1, False
    groups = list(_groups(texts))
    within = {len(group) == 4 for group in groups}
    closed = texts.count("-j DROP")
    apart = any(one.stop != other.start for one, other in pairwise(groups))
    if len(groups) != texts.count("-j DOCKER") or len(within) != 1 or apart:
        return None
    if within == {True}:
        return None if closed else (len(groups), True)
    return (len(groups), False) if closed == len(groups) else None


def _groups(texts: Sequence[str]) -> Iterator[range]:
    """Yield the places of each network's rules in FORWARD: for answers, published ports, outside, and within it."""
    at = 0
    while at + 2 < len(texts):
        first = set(texts[at : at + 2])
        if "-j DOCKER" in first and first & {_ANSWERS, _OTHERS_ANSWERS} and texts[at + 2] == "-j ACCEPT":
            group = range(at, at + (4 if texts[at + 3 : at + 4] == ["-j ACCEPT"] else 3))
            yield group
            at = group.stop
        else:
            at += 1


def _with_links(chains: Mapping[tuple[str, str], Chain]) -> dict[int, str]:
    """Return the interfaces of the rules of FORWARD, by their places, if those of links are in FORWARD itself.

    So they were before Docker 1.6, which had no chain in the filter table (LinkContainers and setupIPTables of 1.0):
    links precede the rules for answers and for the outside, and DROP for all other packets between containers. Docker's
    documentation of links shows later rules abridged: only the jump to their chain, and this DROP.
    """
    texts = _texts(chains, "filter", "FORWARD")
    if ("filter", "DOCKER") in chains:
        links = [rule for rule in _rules(chains, "filter", "DOCKER") if not is_gap(rule.target)]
        abridged = texts == ["-j DOCKER", "-j DROP"] and len(link_pairs(links)) == len(links)
        return {0: "-o {bridge}", 1: _WITHIN} if abridged else {}
    mirrored = link_pairs(_rules(chains, "filter", "FORWARD"))
    own = {"-j DROP": _WITHIN, "-j ACCEPT": _OUTGOING, _ANSWERS: "-o {bridge}"}
    rest = [text for at, text in enumerate(texts) if at not in mirrored]
    if (
        not mirrored
        or rest not in (["-j DROP"], [_ANSWERS, "-j ACCEPT", "-j DROP"])
        or texts[-1] != "-j DROP"
    ):
        return {}
    return {at: _WITHIN if at in mirrored else own[text] for at, text in enumerate(texts)}


def link_pairs(rules: Sequence[Rule]) -> set[int]:
    """Return the places of rules without interfaces that are as those of links between containers of docker0.

    A link has a rule for requests and one for replies, with the same addresses and the same port.
    """
    texts = enumerate(map(listed_text, rules))
    links = {found.groups(): at for at, text in texts if (found := _OF_LINK.fullmatch(text))}
    return {
        at
        for (source, destination, proto, side, port), at in links.items()
        if (destination, source, proto, "s" if side == "d" else "d", port) in links
        and all(parse_address(one)[1] in _DEFAULT for one in (source, destination))
    }


def _subnets(chains: Mapping[tuple[str, str], Chain], family: Family, count: int) -> list[Network] | None:
    """Return the subnets of networks of Docker that rules show; None if they may be those of others.

    A VPN's subnet may be masqueraded by a rule that looks like Docker's. So a subnet is Docker's if it is that of the
    default bridge or has a container whose port is published, or if all networks are masqueraded, and nothing else.
    """
    targets = list(_targets(chains)) if family == 4 else []
    sure = dict.fromkeys(_network(one) for one in map(default_subnet, targets) if one is not None)
    found = [
        rule.parameters.source
        for rule in _rules(chains, "nat", "POSTROUTING")
        if _MASQUERADED.fullmatch(listed_text(rule)) and rule.parameters.source is not None
    ]
    if not found:
        return list(sure) if len(sure) <= count else None
    own = [one for one in found if one == _DEFAULT or any(target in one for target in targets)]
    if len(own) == count:
        return own
    masqueraded = _texts(chains, "nat", "DOCKER").count("-j RETURN")
    return found if len(found) == count == masqueraded else None


def _targets(chains: Mapping[tuple[str, str], Chain]) -> Iterator[int]:
    """Yield the IPv4 addresses of containers whose ports are published."""
    for rule in _rules(chains, "filter", "DOCKER"):
        to = rule.parameters.destination
        if to is not None and to.mask.bit_count() == BITS[4]:
            yield to.address


def _known_names(
    count: int, subnets: Sequence[Network], known: Mapping[str, Sequence[Network]], family: Family
) -> dict[str, list[Network]] | None:
    """Return the bridges that the text shows; None if they are not those of the rules."""
    own = {name: [one for one in nets if one.family == family] for name, nets in known.items()}
    fits = all(any(subnet.address in one for nets in own.values() for one in nets) for subnet in subnets)
    return own if fits and len(own) == count else None


def _names(count: int, subnets: Sequence[Network]) -> dict[str, list[Network]] | None:
    """Return names for the bridges of networks; None if more than one has no known subnet."""
    named = {
        DEFAULT_BRIDGE if subnet.address in _DEFAULT or count == 1 else stand_in(subnet): [subnet]
        for subnet in subnets
    }
    if len(named) < count:
        named.setdefault(DEFAULT_BRIDGE, [])
    return named if len(named) == count else None


def stand_in(subnet: Network | Prefix) -> str:
    """Return a name of at most 15 characters for a bridge: br-172-18-0-0."""
    return "br-" + re.sub(r"[.:]+", "-", address_text(subnet.family, subnet.address))[:12]


# -- the rules -------------------------------------------------------------------------------------


def _fill(chains: Mapping[tuple[str, str], Chain], family: Family, networks: _Networks) -> Iterator[str]:
    """Replace the rules of Docker by those with interfaces; yield the bridges that they name."""
    wanted: dict[tuple[str, str], dict[int, str]] = {}
    for place, chain in chains.items():
        if place != ("filter", "FORWARD"):
            wanted[place] = dict(_by_templates(chain, family, networks))
        elif ("filter", "DOCKER-FORWARD") not in chains:
            wanted[place] = dict(_forward(chains, networks))
    # where it is unknown which packets a jump is for, the rules behind it would be taken as reached
    unsure = {
        (table, chains[table, name].rules[at].target_name)
        for (table, name), found in wanted.items()
        for at, words in found.items()
        if not words
    }
    for (table, name), found in wanted.items():
        if (table, name) in unsure:
            continue
        for new in remake(chains[table, name], {at: text for at, text in found.items() if text}, family):
            yield from (one for one in (new.parameters.in_interface, new.parameters.out_interface) if one)


def remake(chain: Chain, words: Mapping[int, str], family: Family) -> list[Rule]:
    """Replace rules of a chain by others, given by their places, and return the new ones."""
    made = _made(chain.table, chain.name, list(words.values()), family)
    for at, new in zip(words, made, strict=True):
        old = chain.rules[at]
        chain.rules[at] = replace(
            new, position=old.position, counters=old.counters, source=old.source, line=old.line
        )
    return made


def _made(table: str, chain: str, specifications: Sequence[str], family: Family) -> list[Rule]:
    """Return rules as iptables-restore reads them; chains that they jump to need not exist."""
    if not specifications:
        return []
    lines = [f"-A {bare(chain)} {words}" for words in specifications]
    jumps = {line.rpartition(" -j ")[2].split(" ")[0] for line in lines}
    own = {one for one in jumps if one.startswith("DOCKER")} | ({bare(chain)} - {*BUILTIN_CHAINS[table]})
    declared = "".join(f":{one} - [0:0]\n" for one in own)
    ruleset = loads(f"*{table}\n{declared}" + "\n".join(lines) + "\nCOMMIT\n", family=family)
    return list(ruleset.tables[table].chains[chain].rules)


def _forward(chains: Mapping[tuple[str, str], Chain], networks: _Networks) -> Iterator[tuple[int, str]]:
    """Yield the rules of FORWARD with interfaces, by their places: those of each network, and of closed ones."""
    texts = _texts(chains, "filter", "FORWARD")
    if links := _with_links(chains):
        yield from (
            (at, f"{words.format(bridge=networks.bridges[0])} {texts[at]}") for at, words in links.items()
        )
        return
    closed = (at for at, text in enumerate(texts) if text == "-j DROP")
    for bridge, group in zip(networks.bridges, _groups(texts), strict=False):
        for at in group[:2]:
            yield at, f"-o {bridge} {texts[at]}"
        for at, words in zip(group[2:], (_OUTGOING, _WITHIN), strict=False):
            yield at, f"{words.format(bridge=bridge)} {texts[at]}"
        if not networks.icc:
            at = next(closed)
            yield at, f"{_WITHIN.format(bridge=bridge)} {texts[at]}"


def _by_templates(chain: Chain, family: Family, networks: _Networks) -> Iterator[tuple[int, str]]:
    """Yield the rules of a chain with interfaces, by their places; "" if it is unknown which network they are for.

    Rules of networks that have no address are distinguished by their order: each network must have one, and no rule of
    others may lie between them.
    """
    met = networks.met(family)
    bare_templates = [
        ("".join(_INTERFACE.findall(one.text)).strip(), replace(one, text=_INTERFACE.sub("", one.text)))
        for one in LAYOUTS[networks.generation].templates()
        if (one.table, one.chain) == (chain.table, chain.name) and one.applies(met)
    ]
    texts = list(map(listed_text, chain.rules))
    filled: dict[int, str] = {}
    by_order: dict[tuple[str, str], list[int]] = {}
    for at, text in enumerate(texts):
        fits = [
            (words, one.text, found.groupdict())
            for words, one in bare_templates
            if (found := one.match(text)) is not None
        ]
        if not text or len({words for words, *_ in fits}) != 1:
            continue
        words, template, values = fits[0]
        addresses = list(_addresses(values))
        if "{bridge}" not in words:
            if values or at == len(texts) - 1:  # users' rules precede the last RETURN
                filled[at] = text
        elif not addresses:
            by_order.setdefault((words, template), []).append(at)
        elif (bridge := _bridge_of(addresses, networks)) is not None:
            filled[at] = f"{words.format(bridge=bridge)} {text}"
    ordered = {at for places in by_order.values() for at in places}
    for (words, _), places in by_order.items():
        between = set(range(places[0], places[-1])) - ordered - filled.keys()
        if len(places) != len(networks.bridges) or between:
            filled |= dict.fromkeys(places, "")
            continue
        for at, bridge in zip(places, networks.bridges, strict=True):
            filled[at] = f"{words.format(bridge=bridge)} {texts[at]}"
    yield from filled.items()


def _addresses(values: Mapping[str, str]) -> Iterator[tuple[Family, int]]:
    """Yield the addresses in the placeholders of a template that tell its network."""
    for name in ("address", "client", "server", "subnet"):
        if name in values:
            yield parse_address(values[name].partition("/")[0])
    if "target" in values:
        yield parse_address(values["target"].rpartition(":")[0].strip("[]"))


def _bridge_of(addresses: Sequence[tuple[Family, int]], networks: _Networks) -> str | None:
    """Return the bridge of the network that has all of some addresses."""
    owners = [
        bridge
        for bridge, subnets in networks.subnets.items()
        if all(any(one.family == family and number in one for one in subnets) for family, number in addresses)
    ]
    return owners[0] if len(owners) == 1 else None
