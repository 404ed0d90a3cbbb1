"""The interfaces of Docker's rules in a listing without -v, which hides them: those that dockerd writes.

Without them, hardly any packet's fate could be told. A rule has those of the template (:mod:`iptsim.docker.dockerd`)
that it matches otherwise, if its place in its chain leaves no choice. Those of rules that users added stay unknown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from iptsim.docker.dockerd.generations import LAYOUTS
from iptsim.docker.dockerd.templates import RuleTemplate
from iptsim.dump.reader import loads
from iptsim.dump.ruleset import Chain, Rule, Ruleset
from iptsim.extensions.hidden import Hidden
from iptsim.extensions.values import Network, bare
from iptsim.host.namespace import prefix_mask
from iptsim.packet import BITS, Family, address_text, parse_address

#: The subnet of the default bridge, unless `bip` sets another one.
_DEFAULT = Network(4, 0xAC110000, prefix_mask(4, 16))
#: Docker's other default pools (moby's libnetwork/ipamutils).
_POOLS = (Network(4, 0xAC100000, prefix_mask(4, 12)), Network(4, 0xC0A80000, prefix_mask(4, 16)))
_INTERFACE = re.compile(r"(?:! )?-[io] \{bridge\} ?")
_ANSWERS = "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
_OTHERS_ANSWERS = "-m state --state RELATED,ESTABLISHED -j ACCEPT"
_OUTGOING, _WITHIN, _CLOSED = (
    "-i {bridge} ! -o {bridge}",
    "-i {bridge} -o {bridge}",
    "-i {bridge} -o {bridge}",
)


@dataclass(slots=True)
class _Networks:
    """Docker's networks, as the rules of a listing show them.

    Attributes:
        bridges: their names, in the order of the rules of each chain; any order will do, as the networks are alike.
        subnets: those that are known, by bridge.
        icc: whether containers of one network may talk to each other.
        proxy: whether docker-proxy runs.
        generation: the layout of the rules.
    """

    bridges: list[str]
    subnets: dict[str, list[Network]]
    icc: bool
    proxy: bool
    generation: str

    def met(self, family: Family) -> frozenset[str]:
        """Return the conditions of templates that are met (:class:`iptsim.docker.dockerd.templates.Layout`)."""
        met = {"subnet", "masquerade", "nat", "user-chain", "isolating", f"ipv{family}"}
        return frozenset(met | ({"icc"} if self.icc else set()) | ({"proxy"} if self.proxy else set()))


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
            for table in ruleset.tables.values()
            for chain in table.chains.values()
            if any(_is_bare(rule) for other in table.chains.values() for rule in other.rules)
        }
        networks = _networks(chains, family, known)
        if networks is not None:
            found |= dict.fromkeys(_fill(chains, family, networks))
    return list(found)


def _is_bare(rule: Rule) -> bool:
    """Return whether the interfaces of a rule are hidden."""
    return any(isinstance(match, Hidden) and match.place[:1] == ("interfaces",) for match in rule.matches)


def _text(rule: Rule) -> str:
    """Return a rule without its interfaces, as iptables-save prints it; "" if they are not hidden."""
    if rule.jump is None and not _is_bare(rule):
        return ""
    return replace(
        rule, matches=tuple(one for one in rule.matches if not isinstance(one, Hidden))
    ).specification


def _texts(chains: Mapping[tuple[str, str], Chain], table: str, name: str) -> list[str]:
    chain = chains.get((table, name))
    return [] if chain is None else list(map(_text, chain.rules))


# -- the networks ----------------------------------------------------------------------------------


def _networks(
    chains: Mapping[tuple[str, str], Chain], family: Family, known: Mapping[str, Sequence[Network]]
) -> _Networks | None:
    """Return the networks of Docker; None if the rules do not say how many there are, or if they differ."""
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
    subnets = list(_subnets(chains, family))
    names = _names(count, subnets, known, family)
    if names is None:
        return None
    proxy = not any(
        text.startswith("-m addrtype --dst-type LOCAL -j DOCKER") for text in _texts(chains, "nat", "OUTPUT")
    )
    return _Networks(list(names), names, icc, proxy, generation)


def _generation(chains: Mapping[tuple[str, str], Chain]) -> str:
    for generation, chain in (
        ("29", "DOCKER-INTERNAL"),
        ("28", "DOCKER-FORWARD"),
        ("26", "DOCKER-ISOLATION-STAGE-2"),
    ):
        if ("filter", chain) in chains:
            return generation
    return "26"


def _shape_below(chains: Mapping[tuple[str, str], Chain]) -> tuple[int, bool] | None:
    """Return the number of networks and whether icc is on, from the chains below DOCKER-FORWARD."""
    count = _texts(chains, "filter", "DOCKER-BRIDGE").count("-j DOCKER")
    own = [text for text in _texts(chains, "filter", "DOCKER-FORWARD") if not text.startswith("-j DOCKER")]
    answers = _texts(chains, "filter", "DOCKER-CT")
    if answers == [_ANSWERS] * count and own in (["-j ACCEPT"] * count, ["-j DROP", "-j ACCEPT"] * count):
        return count, "-j DROP" not in own
    return None


def _shape_in_forward(chains: Mapping[tuple[str, str], Chain]) -> tuple[int, bool] | None:
    """Return the same from FORWARD, where each network has a group of rules."""
    texts = _texts(chains, "filter", "FORWARD")
    groups = list(_groups(texts))
    within = [len(group) == 4 for group in groups]
    closed = texts.count("-j DROP")
    if len(groups) != texts.count("-j DOCKER") or len(set(within)) != 1:
        return None
    if within[0]:
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


def _subnets(chains: Mapping[tuple[str, str], Chain], family: Family) -> Iterator[Network]:
    """Yield the subnets that are masqueraded, if they may be Docker's, and those of published ports."""
    found: list[Network] = []
    chain = chains.get(("nat", "POSTROUTING"))
    for rule in () if chain is None else chain.rules:
        source = rule.parameters.source
        if _text(rule).endswith(" -j MASQUERADE") and source and source.mask.bit_count() < BITS[family]:
            found.append(source)
    targets = list(_targets(chains, family))
    for subnet in found:
        pooled = family == 4 and any(subnet.address in pool for pool in _POOLS)
        if pooled or any(address in subnet for address in targets):
            yield subnet
    if not found and family == 4:
        length = prefix_mask(4, 16)
        yield from dict.fromkeys(Network(4, address & length, length) for address in targets)


def _targets(chains: Mapping[tuple[str, str], Chain], family: Family) -> Iterator[int]:
    """Yield the addresses of containers whose ports are published."""
    chain = chains.get(("filter", "DOCKER"))
    for rule in () if chain is None else chain.rules:
        to = rule.parameters.destination
        if to is not None and to.mask.bit_count() == BITS[family]:
            yield to.address


def _names(
    count: int, subnets: Sequence[Network], known: Mapping[str, Sequence[Network]], family: Family
) -> dict[str, list[Network]] | None:
    """Return the bridges of a number of networks, by name; None if the text does not show which they are."""
    if known:
        own = {name: [one for one in nets if one.family == family] for name, nets in known.items()}
        return own if len(own) == count else None
    named: dict[str, list[Network]] = {}
    for subnet in subnets:
        default = subnet.address in _DEFAULT or count == 1
        named.setdefault("docker0" if default else _stand_in(subnet), []).append(subnet)
    if len(named) < count:
        named.setdefault("docker0", [])
    return named if len(named) == count and all(len(nets) <= 1 for nets in named.values()) else None


def _stand_in(subnet: Network) -> str:
    """Return a name of at most 15 characters for a bridge: br-172-18-0-0."""
    return "br-" + re.sub(r"[.:]+", "-", address_text(subnet.family, subnet.address))[:12]


# -- the rules -------------------------------------------------------------------------------------


def _fill(chains: Mapping[tuple[str, str], Chain], family: Family, networks: _Networks) -> Iterator[str]:
    """Replace the rules of Docker by those with interfaces; yield the bridges that they name."""
    for (table, name), chain in chains.items():
        if (table, name) == ("filter", "FORWARD"):
            wanted = dict(_forward(list(map(_text, chain.rules)), networks))
        else:
            wanted = dict(_by_templates(chain, family, networks))
        lines = [f"-A {bare(name)} {words}" for words in wanted.values()]
        made = _made(table, name, lines, family)
        for at, new in zip(wanted, made, strict=True):
            old = chain.rules[at]
            chain.rules[at] = replace(
                new, position=old.position, counters=old.counters, source=old.source, line=old.line
            )
            yield from (one for one in (new.parameters.in_interface, new.parameters.out_interface) if one)


def _made(table: str, chain: str, lines: Sequence[str], family: Family) -> list[Rule]:
    """Return rules as iptables-restore reads them; chains that they jump to need not exist."""
    if not lines:
        return []
    jumps = {line.rpartition(" -j ")[2].split(" ")[0] for line in lines}
    declared = "".join(f":{one} - [0:0]\n" for one in {bare(chain), *jumps} if one.startswith("DOCKER"))
    ruleset = loads(f"*{table}\n{declared}" + "\n".join(lines) + "\nCOMMIT\n", family=family)
    return list(ruleset.tables[table].chains[chain].rules)


def _forward(texts: Sequence[str], networks: _Networks) -> Iterator[tuple[int, str]]:
    """Yield the rules of FORWARD with interfaces, by their places: those of each network, and of closed ones."""
    closed = (at for at, text in enumerate(texts) if text == "-j DROP")
    for bridge, group in zip(networks.bridges, _groups(texts), strict=False):
        for at in group[:2]:
            yield at, f"-o {bridge} {texts[at]}"
        for at, words in zip(group[2:], (_OUTGOING, _WITHIN), strict=False):
            yield at, f"{words.format(bridge=bridge)} {texts[at]}"
        if not networks.icc:
            at = next(closed)
            yield at, f"{_CLOSED.format(bridge=bridge)} {texts[at]}"


def _by_templates(chain: Chain, family: Family, networks: _Networks) -> Iterator[tuple[int, str]]:
    """Yield the rules of a chain with interfaces, by their places, if one template alone fits, and one network."""
    layout = next(layout for layout in LAYOUTS.values() if layout.name == networks.generation)
    met = networks.met(family)
    templates = [
        one
        for one in layout.templates()
        if (one.table, one.chain) == (chain.table, chain.name) and one.applies(met)
    ]
    seen = dict[str, int]()
    for at, rule in enumerate(chain.rules):
        text = _text(rule)
        fits = {
            template.text: found for template in templates if (found := _match(template, text)) is not None
        }
        if not text or len({_words(one) for one in fits}) != 1:
            continue
        template, values = next(iter(fits.items()))
        address = _address(values)
        if address is not None:
            bridge = _bridge_of(address, networks)
        else:
            place = seen[template] = seen.get(template, -1) + 1
            bridge = networks.bridges[place] if place < len(networks.bridges) else None
        words = _words(template)
        if "{bridge}" not in words:
            if values or at == len(chain.rules) - 1:  # users' rules precede the last RETURN
                yield at, text
        elif bridge is not None:
            yield at, f"{words.format(bridge=bridge)} {text}"


def _words(template: str) -> str:
    """Return the interfaces of a template."""
    return "".join(_INTERFACE.findall(template)).strip()


def _match(template: RuleTemplate, text: str) -> Mapping[str, str] | None:
    found = replace(template, text=_INTERFACE.sub("", template.text)).match(text)
    return None if found is None else found.groupdict()


def _address(values: Mapping[str, str]) -> tuple[Family, int] | None:
    """Return the address in the placeholders of a template that tells its network."""
    for name in ("address", "server", "subnet", "target"):
        text = values.get(name, "").partition("/")[0]
        if name == "target":
            text = text.rpartition(":")[0].strip("[]")
        if text:
            return parse_address(text)
    return None


def _bridge_of(address: tuple[Family, int], networks: _Networks) -> str | None:
    """Return the bridge of the network that has an address."""
    family, number = address
    owners = [
        bridge
        for bridge, subnets in networks.subnets.items()
        if any(one.family == family and number in one for one in subnets)
    ]
    if len(networks.bridges) == 1 and not networks.subnets[networks.bridges[0]]:
        return networks.bridges[0]
    return owners[0] if len(owners) == 1 else None
