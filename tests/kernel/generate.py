"""Random rulesets that the real tools accept, and packets on the boundaries of their rules."""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal, NamedTuple

from tests.kernel.clauses import MAKERS, Changes, Clause, Maker
from tests.kernel.clauses.surroundings import ipsets
from tests.kernel.description import Entry, Flow, Probe, World
from tests.kernel.nft_tables import make_nft
from tests.kernel.scenes import Scene
from tests.kernel.targets import make_target
from tests.kernel.topologies import has_trait, random_scene

#: Base chains by table, in the order in which iptables-save prints them.
BASE_CHAINS = {
    "raw": ("PREROUTING", "OUTPUT"),
    "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
    "security": ("INPUT", "FORWARD", "OUTPUT"),
}
#: Matches that remember: what they say depends on all packets before.
STATEFUL = frozenset({"limit", "statistic", "recent", "connlimit", "hashlimit", "quota"})
_IMPLICIT = {
    6: "tcp",
    17: "udp",
    136: "udplite",
    132: "sctp",
    33: "dccp",
    1: "icmp",
    58: "ipv6-icmp",
    50: "esp",
    51: "ah",
}


class MadeRule(NamedTuple):
    """A rule with what is known of its clauses."""

    text: str
    clauses: tuple[Clause, ...]


@dataclass
class Rulebook:
    """A random ruleset.

    Attributes:
        chains: rules by (table, chain), in order.
        policies: by (table, base chain).
        other: rules of the other backend, on a host that has rules of both.
        other_first: they are loaded first.
        nft: tables of nftables, as text for nft(8).

    """

    scene: Scene
    backend: Literal["nft", "legacy"] = "nft"
    chains: dict[tuple[str, str], list[MadeRule]] = field(default_factory=dict)
    policies: dict[tuple[str, str], str] = field(default_factory=dict)
    other: Rulebook | None = None
    other_first: bool = False
    nft: str = ""

    def dump(self) -> str:
        """Return the ruleset as text for iptables-restore."""
        tables: dict[str, list[str]] = defaultdict(list)
        rules: dict[str, list[str]] = defaultdict(list)
        for (table, chain), made in self.chains.items():
            tables[table].append(f":{chain} {self.policies.get((table, chain), '-')} [0:0]\n")
            rules[table] += [f"-A {chain} {rule.text}\n" for rule in made]
        return "".join(
            f"*{table}\n{''.join(chains)}{''.join(rules[table])}COMMIT\n" for table, chains in tables.items()
        )

    def world(self) -> World:
        """Return the host with these rules."""
        dump, other = self.dump(), self.other.dump() if self.other else ""
        sets = ipsets(self.scene) if "--match-set" in dump + other or "-j SET" in dump + other else ""
        changes: dict[str, Any] = {"dump": dump, "ipsets": sets, "backend": self.backend}
        if other:
            traits = (*self.scene.world.traits, "two backends")
            changes.update(other_dump=other, other_first=self.other_first, traits=traits)
        elif self.nft:
            changes.update(nft=self.nft, traits=(*self.scene.world.traits, "nftables"))
        return self.scene.world.model_copy(update=changes)

    def rules(self) -> list[MadeRule]:
        """Return all rules."""
        own = [rule for rules in self.chains.values() for rule in rules]
        return [*own, *self.other.rules()] if self.other else own


def make_rulebook(
    random: Random, scene: Scene | None = None, *, stateful: bool = False, also: Collection[str] = ()
) -> Rulebook:
    """Make a random ruleset on a host.

    Args:
        random: where choices come from.
        scene: the host; a random one by default.
        stateful: let in matches that remember earlier packets.
        also: traits that a random host gets whenever it can have them.

    """
    book = Rulebook(scene or random_scene(random, also), "legacy" if random.random() < 0.15 else "nft")
    makers = [maker for maker in MAKERS if stateful or maker.module not in STATEFUL]
    _make_tables(random, book, makers)
    if has_trait(random, "nftables", also):
        book.nft = make_nft(random, book.scene)
    elif has_trait(random, "two backends", also):
        book.other = Rulebook(book.scene, "nft" if book.backend == "legacy" else "legacy")
        book.other_first = random.random() < 0.5
        _make_tables(random, book.other, makers)
        if any(table == "nat" for table, _ in book.chains):
            # the nat chains of both are evaluated until one translates: in which order shows in the trace only
            book.other.chains = {key: rules for key, rules in book.other.chains.items() if key[0] != "nat"}
        for each in (book, book.other):
            # what comes back from a queue goes on in the other backend
            for key, rules in each.chains.items():
                each.chains[key] = [rule for rule in rules if "-j NFQUEUE" not in rule.text]
    return book


def _make_tables(random: Random, book: Rulebook, makers: list[Maker]) -> None:
    tables = [name for name in BASE_CHAINS if random.random() < {"filter": 0.95, "nat": 0.6}.get(name, 0.4)]
    for table in tables or ["filter"]:
        _make_table(random, book, table, makers)


def _make_table(random: Random, book: Rulebook, table: str, makers: list[Maker]) -> None:
    bases = BASE_CHAINS[table]
    # a legacy table always has all its base chains
    whole = book.backend == "legacy" or random.random() < 0.9
    named = bases if whole else tuple(random.sample(bases, random.randint(1, len(bases))))
    for chain in named:
        drops = random.random() < (0.3 if table == "filter" else 0.03)
        book.policies[table, chain] = "DROP" if drops else "ACCEPT"
        book.chains[table, chain] = []
    # a user chain hangs below one base chain or two, and jumps only go to later chains: no loops
    homes: dict[str, frozenset[str]] = {}
    for number in range(random.choice((0, 1, 2, 4))):
        homes[f"U{number}"] = _homes(random, named)
        book.chains[table, f"U{number}"] = []
    for chain in (*named, *homes):
        home = homes.get(chain, frozenset({chain}))
        below = [name for name in homes if home <= homes[name] and (chain not in homes or name > chain)]
        for _ in range(random.choice((0, 1, 2, 4, 7))):
            book.chains[table, chain].append(_make_rule(random, book.scene, table, home, below, makers))
        if below and random.random() < 0.7:
            place = random.randint(0, len(book.chains[table, chain]))
            jump = MadeRule(f"-j {random.choice(below)}", ())
            book.chains[table, chain].insert(place, jump)
    if any("-j CT --zone" in rule.text for rule in book.rules()):
        # in table raw, what CONNMARK changes then is the mark of that rule's template, which all packets share
        for (owner, chain), rules in book.chains.items():
            book.chains[owner, chain] = [one for one in rules if owner != "raw" or "CONNMARK" not in one.text]


def _homes(random: Random, named: tuple[str, ...]) -> frozenset[str]:
    """Return the base chains that will lead to a user chain."""
    first = random.choice(named)
    second = random.choice(named) if random.random() < 0.3 else first
    return frozenset({first, second})


def _make_rule(
    random: Random, scene: Scene, table: str, home: frozenset[str], below: list[str], makers: list[Maker]
) -> MadeRule:
    clauses: list[Clause] = []
    needs: Changes = {}
    for _ in range(random.choice((0, 1, 1, 2, 2, 3))):
        usable = [maker for maker in makers if _fits(maker, scene, table, home, needs, clauses)]
        maker = random.choices(usable, [maker.weight for maker in usable])[0]
        clauses.append(maker.clause(random, scene, maker.negatable and random.random() < 0.3))
        needs.update(maker.needs)
    if any(clause.option in ("-s", "-d") and "," in clause.text for clause in clauses):
        # beside a list the tools take no negated address
        clauses = [one for one in clauses if not (one.option in ("-s", "-d") and one.negated)]
    named = next((clause for clause in clauses if clause.option == "-p"), None)
    target = make_target(random, scene, table, home, below, -1 if named else needs.get("proto"))
    proto = needs.get("proto", target.needs_proto)
    return MadeRule(f"{rule_text(clauses, proto)} {target.text}".strip(), tuple(clauses))


def _fits(
    maker: Maker, scene: Scene, table: str, home: frozenset[str], needs: Changes, clauses: Iterable[Clause]
) -> bool:
    wanted = dict(maker.needs)
    if maker.family not in (None, scene.family) or (maker.hooks is not None and not home <= maker.hooks):
        return False
    if maker.module == "rpfilter" and table not in ("raw", "mangle"):
        return False
    if any(clause.option == maker.option or conflicts(clause, maker) for clause in clauses):
        return False
    if maker.option == "-p" and "proto" in needs:
        return False
    if "proto" in wanted and any(clause.option == "-p" for clause in clauses):
        return False
    return all(needs.get(name, value) == value for name, value in wanted.items())


#: Matches that take one of their options at a time.
_SINGLE = frozenset(
    {
        "multiport",
        "ttl",
        "hl",
        "dscp",
        "recent",
        "statistic",
        "addrtype",
        "string",
        "physdev",
        "rt",
        "srh",
        "frag",
        "ah",
        "ipv6header",
        "time",
        "cluster",
        "connbytes",
        "set",
        "connlimit",
        "hashlimit",
        "sctp",
        "dccp",
        "rpfilter",
    }
)


def conflicts(clause: Clause, maker: Maker) -> bool:
    """Return whether a rule that has the clause can't take one of the maker's as well."""
    if clause.module != maker.module:
        return False
    return maker.module in _SINGLE or {clause.option, maker.option} == {"--syn", "--tcp-flags"}


def rule_text(clauses: Iterable[Clause], proto: int | None) -> str:
    """Put clauses together as a rule, each match loaded once."""
    parameters, matches = [], defaultdict(list)
    for clause in clauses:
        if clause.module:
            matches[clause.module].append(clause.text)
        else:
            parameters.append(clause.text)
    if proto is not None:
        parameters.append(f"-p {_IMPLICIT.get(proto, proto)}")
    words = [*parameters]
    for module, options in matches.items():
        words.append(f"-m {module} {' '.join(options)}")
    return " ".join(words)


# -- packets ------------------------------------------------------------------------------------------


def make_probe(random: Random, book: Rulebook) -> Probe:
    """Make a packet that is likely to meet one of the rules at its boundary."""
    scene = book.scene
    fields = base_packet(random, scene)
    rules = [rule for rule in book.rules() if rule.clauses]
    if rules and random.random() < 0.9:
        clauses = random.choice(rules).clauses
        false = random.choice(clauses) if random.random() < 0.4 else None
        for clause in clauses:
            fields.update(clause.needs)
            choices = clause.outside if clause is false else clause.inside
            if choices:
                fields.update(random.choice(choices))
    for name, values, chance in _TWISTS:
        if random.random() < chance and not (name == "payload" and fields["proto"] in _SHAPED):
            fields[name] = random.choice(values)
    _go_with_traits(random, scene.world, fields)
    if book.other and scene.world.is_group(fields["dst"]):
        # of two backends and several copies of a frame it is unknown which copy ended where
        fields["dst"] = scene.own[0]
    return finish(fields, scene, random)


def _go_with_traits(random: Random, world: World, fields: Changes) -> None:
    """Change a packet so that what is special about the host may matter to it."""
    rules = " ".join(world.ip_rules)
    if "tos" in rules and random.random() < 0.2:
        fields["tos"] = 0x10
    if "fwmark" in rules and random.random() < 0.3:
        fields["mark"] = random.choice((1, 2))
    if "uidrange" in rules and random.random() < 0.5:
        fields["uid"] = random.choice((32, 33, 1000, 1001))
    limits = sorted({interface.mtu for interface in world.interfaces} - {1500})
    if limits and random.random() < 0.5:
        limit = random.choice(limits)
        fields["length"] = random.choice((limit - 1, limit, limit + 1, limit + 100, 1500))
        fields.pop("fragment", None)
    fields["dont_fragment"] = world.family == 4 and random.random() < (0.6 if limits else 0.1)


#: Protocols whose payload is the rest of their header.
_SHAPED = frozenset({33, 47, 132})
#: Changes that any packet may get on top.
_TWISTS: tuple[tuple[str, tuple[Any, ...], float], ...] = (
    ("ttl", (1, 2, 63, 255), 0.04),
    ("tos", (0x10, 0x08, 0xB8, 0x01, 0x03), 0.04),
    ("tcp_flags", (0x02, 0x10, 0x12, 0x04, 0x11, 0x18, 0, 0x29, 0xC2), 0.1),
    ("dport", (80, 443, 22, 53, 8080), 0.1),
    ("icmp_type", (0, 3, 5, 8, 9, 11, 13, 17, 128, 129, 133, 137, 143, 151), 0.03),
    ("payload", ("", "00" * 4, "61626364" * 3), 0.1),
)


def base_packet(random: Random, scene: Scene) -> Changes:
    """Return the fields of an ordinary packet from somewhere to somewhere."""
    source = random.choice(list(scene.senders))
    kinds: tuple[int, ...] = (6, 6, 6, 17, 17, 1 if scene.family == 4 else 58, 47)
    proto = random.choice(kinds)
    targets = [text for addresses in scene.beyond.values() for text in addresses]
    kind = random.random()
    pool = targets if kind < 0.55 else scene.own if kind < 0.9 else scene.odd
    return {
        "source": source,
        "src": random.choice(scene.senders[source]),
        "dst": random.choice(pool),
        "proto": proto,
        "sport": random.choice((40000, 1024, 500, 53)),
        "dport": random.choice((80, 443, 53, 22, 8080)),
        "icmp_type": {1: 8, 58: 128}.get(proto, 0),
    }


def finish(fields: Changes, scene: Scene, random: Random) -> Probe:
    """Make a packet of loose changes: fields that contradict each other are put right."""
    if fields["source"] == "host" and scene.world.routes_by_ports:
        fields["source"] = next(name for name in scene.senders if name != "host")
        fields["src"] = scene.senders[fields["source"]][0]
    source = fields["source"]
    if fields["proto"] == 47:
        fields.pop("body", None)
        if not fields.get("payload", "").startswith("00000800"):
            fields["payload"] = "00000800" + "00" * 8
    sender = ipaddress.ip_address(fields["src"])
    if source == "host" and (sender.is_multicast or (scene.family == 6 and sender.is_link_local)):
        # no socket can have it for its source, or only with an interface
        fields["src"] = scene.own[0]
    if source == "host" and scene.world.is_group(fields["dst"]):
        # the copy of a fragment that comes back would wait for the others
        fields.pop("fragment", None)
        if fields["src"] not in scene.own:
            # the kernel can't tell by which interface such a packet should leave
            fields["src"] = scene.own[0]
    if fields.get("expected_by") and (fields["proto"] != 6 or fields.get("fragment")):
        fields["expected_by"] = ""
    if fields.get("expected_by"):
        fields["tcp_flags"] = 2
    if fields["proto"] in (1, 58):
        kind = fields.setdefault("icmp_type", 8 if fields["proto"] == 1 else 128)
        if "body" not in fields or fields["body"] == "":
            fields["body"] = "00070001" if kind in (0, 8, 13, 14, 17, 18, 128, 129) else "00000000"
    if fields["proto"] == 17 and source == "host":
        fields.setdefault("payload", "00" * 4)
    if fields["proto"] == 132:
        # bytes that fill it up would be chunks
        fields.pop("length", None)
        fields.setdefault("body", "00000000")
        fields.setdefault("payload", "01000014" + "11" * 16)
    if fields["proto"] == 33:
        fields.setdefault("body", "07000000" + "01000000" + "00000001")
        fields.setdefault("payload", "00" * 12)
    if fields["proto"] == 108:
        fields.setdefault("body", "3b000002")
    if fields["proto"] in (50, 51):
        fields.setdefault(
            "body", "0000000100000001" if fields["proto"] == 50 else "3b0400000000000100000001" + "00" * 12
        )
    if source != "host":
        for name in ("mark", "uid", "gid"):
            fields.pop(name, None)
    elif "src_mac" in fields or "dst_mac" in fields:
        fields.pop("src_mac", None)
        fields.pop("dst_mac", None)
    if fields.get("length"):
        names = [one.name for one in scene.world.interfaces] if source == "host" else [source]
        # what is too long for its first link is not sent
        fields["length"] = min(fields["length"], *(scene.world.interface(name).mtu for name in names))
    if fields.get("fragment") is not None:
        fields["dont_fragment"] = False
        # all but the last fragment hold a multiple of 8 bytes
        fields.pop("length", None)
        fields["payload"] = "00" * 24 if fields["fragment"] != "first" or fields["proto"] == 17 else "00" * 28
        if fields["proto"] not in (6, 17):
            fields["proto"] = 17
            fields["payload"] = "00" * 24
            fields.pop("body", None)
        if fields["fragment"] == "first":
            fields["payload"] = "00" * (24 if fields["proto"] == 17 else 28)
            fields.pop("tcp_options", None)
    return Probe.model_validate(fields)


def established(random: Random, probe: Probe, flags: tuple[int, ...] = (0x10, 0x18, 0x11, 0x04)) -> Probe:
    """Return the packet as one of a connection that conntrack knows, in either direction.

    Args:
        random: where choices come from.
        probe: a TCP or UDP packet.
        flags: TCP flags that it may get.

    """
    flow = Flow(src=probe.src, dst=probe.dst, sport=probe.sport, dport=probe.dport)
    back = Flow(src=probe.dst, dst=probe.src, sport=probe.dport, dport=probe.sport)
    if flow == back:
        # such a connection would have one direction only
        return probe
    if random.random() < 0.5:
        flow, back = back, flow
    entry = Entry(original=flow, reply=back, mark=random.choice((0, 0, 1, 5, 0x25)))
    changes: dict[str, Any] = {"connection": entry}
    if probe.proto == 6:
        changes["tcp_flags"] = random.choice(flags)
    return probe.model_copy(update=changes)
