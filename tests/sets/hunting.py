"""Random rules on captured hosts, and random packets of each set, against the walk of one packet.

`python -m tests.sets.hunting` runs until it is stopped, or for a number of rulesets, and prints each packet that walks
otherwise than its set says, with the fewest rules for which it does. Exit status 1 if there was one.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cache
from ipaddress import ip_network
from pathlib import Path
from random import Random
from typing import Any

from iptsim.addresses import Family, address_text
from iptsim.asking import ask
from iptsim.dump import loads
from iptsim.errors import IptsimError, UsageError
from iptsim.explanation import Explanation
from iptsim.host import load_host
from iptsim.host.model import Host
from iptsim.host.namespace import Route, RoutingRule, RuleAction
from iptsim.host.nft_chains import NftChain, NftRule, NftRuleset
from iptsim.host.routing_policy import DEFAULT_RULES
from iptsim.netfilter.nft_program import program_of
from iptsim.netfilter.trace import Leg
from iptsim.question.model import Question
from iptsim.sets.fates import Fate, Fates, fates
from iptsim.sets.landscape import Landscape
from iptsim.sets.packets import PacketSet
from iptsim.sets.senders import senders_of
from iptsim.sets.space import Space
from tests.sets.test_fates import some

CAPTURES = Path(__file__).parent.parent.parent / "fixtures" / "captures"


# -- rules ---------------------------------------------------------------------------------------------


@dataclass
class Words:
    """What rules of a host may name."""

    family: Family
    addresses: list[str]
    networks: list[str]
    interfaces: list[str]

    @classmethod
    def of(cls, host: Host, family: Family) -> Words:
        """Return the words of a host."""
        own = [one.address for _, one in host.namespace.addresses(family)]
        networks = [
            f"{address_text(family, one.address)}/{one.prefix_length}"
            for _, one in host.namespace.addresses(family)
        ]
        for container in host.containers.values():
            own += container.own_addresses(family)
        foreign = (
            ["198.51.100.7", "203.0.113.9", "10.9.9.9"]
            if family == 4
            else ["2001:db8:ff::7", "2001:db8:fe::9"]
        )
        wide = (
            ["198.51.100.0/24", "10.0.0.0/8", "128.0.0.0/1", "172.16.0.0/12"]
            if family == 4
            else ["2001:db8::/32", "fd00::/8", "8000::/1"]
        )
        return cls(
            family,
            [*dict.fromkeys(address_text(family, one) for one in own), *foreign],
            [*dict.fromkeys([*networks, *wide])],
            ["lo", *host.namespace.interfaces],
        )


PORTS = ["80", "53", "443", "8080", "1024:65535", "8000:8100", "0:1023", "32768"]
#: Targets that end a rule of the table filter.
ZONES = ["CT --zone 1", "CT --zone 2", "CT --zone-orig 1", "CT --zone-reply 1", "CT --zone mark"]
VERDICTS = ["ACCEPT", "ACCEPT", "DROP", "DROP", "REJECT", "RETURN"]


class Maker:
    """Makes rules of one host."""

    def __init__(self, chance: Random, words: Words) -> None:
        self.chance, self.words = chance, words

    def bang(self) -> str:
        return "! " if self.chance.random() < 0.2 else ""

    def place(self) -> str:
        pool = self.words.addresses if self.chance.random() < 0.6 else self.words.networks
        return self.chance.choice(pool)

    def match(self, hook: str, kind: str) -> tuple[str, str | None]:
        """Return a condition, and the protocol that it needs."""
        pick, bang = self.chance.choice, self.bang()
        six = self.words.family == 6
        if kind == "src":
            return f"{bang}-s {self.place()}", None
        if kind == "dst":
            return f"{bang}-d {self.place()}", None
        if kind == "in" and hook not in ("OUTPUT", "POSTROUTING"):
            return f"{bang}-i {self.interface()}", None
        if kind == "out" and hook not in ("PREROUTING", "INPUT"):
            return f"{bang}-o {self.interface()}", None
        if kind == "port":
            proto = pick(["tcp", "tcp", "udp"])
            return f"-m {proto} {bang}--{pick(['dport', 'dport', 'sport'])} {pick(PORTS)}", proto
        if kind == "ports":
            return f"-m multiport {bang}--{pick(['dports', 'sports', 'ports'])} 80,443,8000:8100", pick(
                ["tcp", "udp"]
            )
        if kind == "icmp":
            if six:
                return f"-m icmp6 --icmpv6-type {pick(['128', '139'])}", "ipv6-icmp"
            return f"-m icmp --icmp-type {pick(['8', 'any', '13', '8/0'])}", "icmp"
        if kind == "syn":
            return (
                f"-m tcp {bang}--tcp-flags {pick(['FIN,SYN,RST,ACK SYN', 'ACK ACK', 'SYN,ACK SYN'])}",
                "tcp",
            )
        if kind == "state":
            states = pick(["NEW", "ESTABLISHED,RELATED", "DNAT", "SNAT", "INVALID", "UNTRACKED", "NEW,DNAT"])
            return f"-m conntrack {bang}--ctstate {states}", None
        if kind == "orig":
            option = pick(["ctorigdst", "ctorigsrc", "ctreplsrc", "ctrepldst"])
            return f"-m conntrack {bang}--{option} {self.place()}", None
        if kind == "origport":
            option = pick(["ctorigdstport", "ctorigsrcport", "ctreplsrcport", "ctrepldstport"])
            return f"-m conntrack --ctproto 6 {bang}--{option} {pick(PORTS)}", None
        if kind == "ctdir":
            return f"-m conntrack --ctdir {pick(['ORIGINAL', 'REPLY'])}", None
        if kind == "mark":
            return f"-m mark {bang}--mark {pick(['0x1/0x1', '0x3/0xf', '0x0', '0x2/0x2'])}", None
        if kind == "connmark":
            return f"-m connmark {bang}--mark {pick(['0x1/0x1', '0x3/0xf', '0x0'])}", None
        if kind == "type":
            types = pick(["LOCAL", "UNICAST", "MULTICAST", *(["BROADCAST"] if not six else [])])
            return f"-m addrtype {bang}--{pick(['dst-type', 'src-type'])} {types}", None
        if kind == "range" and not six:
            return f"-m iprange {bang}--{pick(['src-range', 'dst-range'])} 172.17.0.2-192.0.2.9", None
        if kind == "physdev" and hook in ("FORWARD", "PREROUTING"):
            option = pick(
                ["--physdev-is-in", "--physdev-is-bridged"] if hook == "FORWARD" else ["--physdev-is-in"]
            )
            return f"-m physdev {bang}{option}", None
        if kind == "limit":
            return "-m limit --limit 10/sec", None
        if kind == "statistic":
            return "-m statistic --mode random --probability 0.5", None
        if kind == "owner" and hook in ("OUTPUT", "POSTROUTING"):
            return f"-m owner {bang}--uid-owner 1000", None
        if kind == "ttl" and not six:
            return f"-m ttl --ttl-{pick(['gt', 'lt', 'eq'])} 64", None
        if kind == "length":
            return f"-m length {bang}--length {pick(['0:60', '1000:1500'])}", None
        return "", None

    def interface(self) -> str:
        name = self.chance.choice(self.words.interfaces)
        return f"{name[:3]}+" if len(name) > 4 and self.chance.random() < 0.3 else name

    def target(self, table: str, hook: str, below: list[str], proto: str | None) -> tuple[str, str | None]:
        """Return a target, and the protocol that it needs."""
        pick, six = self.chance.choice, self.words.family == 6
        if below and self.chance.random() < 0.35:
            return f"{pick(['-j', '-j', '-g'])} {pick(below)}", None
        if table == "filter":
            target = pick([*VERDICTS, "MARK --set-xmark 0x1/0x1"])
            if target == "REJECT" and proto == "tcp" and self.chance.random() < 0.5:
                return "-j REJECT --reject-with tcp-reset", "tcp"
            return f"-j {target}", None
        if table == "raw":
            tracking = ["NOTRACK", "NOTRACK", "CT --notrack", *ZONES]
            return f"-j {pick([*tracking, 'ACCEPT', 'DROP', 'RETURN'])}", None
        if table == "mangle":
            targets = [
                "MARK --set-xmark 0x1/0x1", "MARK --set-xmark 0x2/0xf", "MARK --set-xmark 0x1/0x0",
                "CONNMARK --set-xmark 0x1/0x1", "CONNMARK --save-mark --nfmask 0xff --ctmask 0xff",
                "CONNMARK --restore-mark --nfmask 0xff --ctmask 0xff", "ACCEPT", "RETURN", "DROP",
                "HL --hl-set 7" if six else "TTL --ttl-set 7",
            ]  # fmt: skip
            return f"-j {pick(targets)}", None
        if self.chance.random() < 0.06:
            return "-j UNHEARDOF", None
        port = pick(["", "", "80", "8080", "2000-2003"])
        named = self.chance.choice(self.words.addresses)
        if hook in ("PREROUTING", "OUTPUT"):
            kind = pick(["DNAT", "DNAT", "DNAT", "RANGE", "REDIRECT", "NETMAP", "NETMAP", "ACCEPT", "RETURN"])
        else:
            kind = pick(["MASQUERADE", "MASQUERADE", "SNAT", "SNAT", "RANGE", "NETMAP", "ACCEPT", "RETURN"])
            if hook == "INPUT" and kind == "MASQUERADE":
                kind = "SNAT"
        if kind in ("ACCEPT", "RETURN"):
            return f"-j {kind}", None
        if kind == "NETMAP":
            network = pick([one for one in self.words.networks if not one.endswith("/1")])
            if self.chance.random() < 0.3:
                network = f"{named}/{pick([30, 28, 24, 20] if not six else [126, 120, 112])}"
            return f"-j NETMAP --to {network}", None
        if kind in ("MASQUERADE", "REDIRECT"):
            wanted = f" --to-ports {port}" if port else ""
            return f"-j {kind}{wanted}", "tcp" if port else None
        end = named
        if kind == "RANGE":
            head, colon, last = named.rpartition(":" if six else ".")
            if last and int(last, 16 if six else 10) < 200:
                next_ = int(last, 16 if six else 10) + 3
                end = f"{named}-{head}{colon}{next_:x}" if six else f"{named}-{head}{colon}{next_}"
            port = ""
        option = "--to-destination" if hook in ("PREROUTING", "OUTPUT") else "--to-source"
        name = "DNAT" if hook in ("PREROUTING", "OUTPUT") else "SNAT"
        if port:
            end = f"[{end}]:{port}" if six else f"{end}:{port}"
        return f"-j {name} {option} {end}", "tcp" if port else None

    def rule(
        self, table: str, chain: str, hook: str, below: list[str], kinds: list[str] | None = None
    ) -> str:
        """Return a rule."""
        if kinds is None:
            kinds = self.chance.sample(KINDS, self.chance.choice([0, 1, 1, 2, 2, 3]))
        matches, proto, modules = [], None, set()
        for kind in kinds:
            text, needed = self.match(hook, kind)
            module = text.split()[1] if text.startswith("-m") else text.replace("! ", "")[:2]
            if not text or module in modules or (needed and proto not in (None, needed)):
                continue
            modules.add(module)
            proto = needed or proto
            matches.append(text)
        target, needed = self.target(table, hook, below, proto)
        if needed and proto not in (None, needed):
            target, needed = "-j ACCEPT", None
        proto = needed or proto
        # a condition on the protocol alone
        if proto is None and self.chance.random() < 0.15:
            proto = self.chance.choice(["tcp", "udp", "sctp", "47"])
        plain = [one for one in matches if not one.startswith("-m")]
        loaded = [one for one in matches if one.startswith("-m")]
        return " ".join([f"-A {chain}", *plain, *([f"-p {proto}"] if proto else []), *loaded, target])

    def dump(self) -> list[str]:
        """Return a dump."""
        lines = []
        for table, hooks in TABLES.items():
            if table in ("raw", "mangle") and self.chance.random() < 0.5:
                continue
            lines.append(f"*{table}")
            policies = ["ACCEPT", "ACCEPT", "DROP"] if table == "filter" else ["ACCEPT"]
            lines += [f":{hook} {self.chance.choice(policies)} [0:0]" for hook in hooks]
            own = [f"{table[0].upper()}{number}" for number in range(self.chance.choice([0, 1, 2, 3]))]
            homes = {name: self.chance.choice(hooks) for name in own}
            lines += [f":{name} - [0:0]" for name in own]
            for chain in (*hooks, *own):
                hook = homes.get(chain, chain)
                below = [name for name in own if homes[name] == hook and (chain not in homes or name > chain)]
                for _ in range(self.chance.choice([0, 0, 1, 2, 3, 4])):
                    lines.append(self.rule(table, chain, hook, below))
            lines.append("COMMIT")
        for number in range(self.chance.choice([0, 0, 1, 2])):
            lines += self.foreign(number)
        return lines

    def foreign(self, number: int) -> list[str]:
        """Return a base chain of nftables: a section that names its hook and priority, and rules of two chains."""
        hook, policy = self.chance.choice(TABLES["mangle"]), self.chance.choice(["accept", "accept", "drop"])
        lines = [f"*nft{number} {hook} {self.chance.choice([-180, -10, 0, 10, 120])} {policy}"]
        for chain, below in (("base", ["own"]), ("own", [])):
            for _ in range(self.chance.choice([0, 1, 2, 3, 4])):
                kinds = self.chance.sample(FOREIGN_KINDS, self.chance.choice([0, 1, 1, 2]))
                lines.append(self.rule("filter", chain, hook, below, kinds))
        return [*[one for one in lines if "MARK" not in one], "COMMIT"]


TABLES = {
    "raw": ("PREROUTING", "OUTPUT"),
    "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
}
KINDS = [
    "src", "src", "dst", "dst", "in", "in", "out", "out", "port", "port", "ports", "icmp", "syn", "state", "state",
    "orig", "origport", "ctdir", "mark", "connmark", "type", "type", "range", "physdev", "limit", "statistic", "owner",
    "ttl", "length",
]  # fmt: skip
#: What rules of nftables check that iptables checks as well; a rate stands for what it does not.
FOREIGN_KINDS = [
    "src", "dst", "in", "out", "port", "port", "ports", "icmp", "state", "state", "mark", "connmark", "type", "limit",
]  # fmt: skip


def foreign_chains(lines: list[str], family: Family) -> tuple[list[str], tuple[NftChain, ...]]:
    """Return the lines of iptables, and the base chains of nftables of the others."""
    own: list[str] = []
    found, section = [], list[str]()
    for line in lines:
        if line.startswith("*nft"):
            section = [line]
        elif not section:
            own.append(line)
        elif line != "COMMIT":
            section.append(line)
        else:
            found.append(_foreign_chain(section, family))
            section = []
    return own, tuple(found)


def _foreign_chain(section: list[str], family: Family) -> NftChain:
    table, hook, priority, policy = section[0].removeprefix("*").split()
    counts, rules = Counter[str](), []
    for line in section[1:]:
        name, words = line.removeprefix("-A ").split(" ", 1)
        counts[name] += 1
        hidden = "limit rate" if "-m limit" in words else ""
        words = words.replace("-m limit --limit 10/sec", "").strip()
        rules.append(NftRule(name, counts[name], words, hidden, "own" if words.endswith(" own") else ""))
    chain = NftChain(
        family="ip" if family == 4 else "ip6",
        table=table,
        name="base",
        type="filter",
        hook=hook.lower(),
        priority=int(priority),
        policy=policy,
        effects=("drop", "reject"),
        rules=((family, tuple(rules)),),
    )
    if program_of(chain, family) is None:
        raise UsageError("a chain of nftables without translation")
    return chain


# -- policy rules --------------------------------------------------------------------------------------


@contextmanager
def policed(host: Host, family: Family, chance: Random) -> Iterator[None]:
    """Give a host random policy rules, which may lead to a table of its own; not in most cases."""
    namespace = host.namespace
    rules, routes = namespace.rules, namespace.routes
    if chance.random() < 0.3:
        usual = [
            RoutingRule(family=family, priority=number, table=table)
            for number, table in DEFAULT_RULES[family]
        ]
        others = [one for one in rules if one.family != family]
        own = [_policy_rule(host, family, chance, 100 + number) for number in range(chance.choice([1, 1, 2]))]
        table = [replace(one, table="100") for one in routes if _is_kept(one, family, chance)]
        table += [Route(family=family, table="100", destination=0, prefix_length=0, type="blackhole")]
        namespace.rules, namespace.routes = [*others, *usual, *own], [*routes, *table]
    namespace.cache.clear()
    try:
        yield
    finally:
        namespace.rules, namespace.routes = rules, routes
        namespace.cache.clear()


def _is_kept(route: Route, family: Family, chance: Random) -> bool:
    return route.family == family and route.table == "main" and chance.random() < 0.7


def _policy_rule(host: Host, family: Family, chance: Random, priority: int) -> RoutingRule:
    """Return a policy rule."""
    words = Words.of(host, family)

    def prefix() -> tuple[int, int]:
        text = chance.choice([*words.addresses, *words.networks])
        network = ip_network(text, strict=False)
        return int(network[0]), network.prefixlen

    fields: dict[str, Any] = {}
    for kind in chance.sample(
        ["mark", "mark", "proto", "port", "src", "dst", "iif"], chance.choice([1, 1, 2])
    ):
        if kind == "mark":
            fields |= {"fwmark": chance.choice([0, 1, 2]), "fwmask": chance.choice([1, 3, 0xFFFFFFFF])}
        elif kind == "proto":
            fields["ipproto"] = chance.choice([6, 17])
        elif kind == "port":
            fields[chance.choice(["sport", "dport"])] = chance.choice([(80, 80), (1000, 50000)])
        elif kind == "iif":
            fields["iif"] = chance.choice(words.interfaces)
        else:
            fields[kind], fields[f"{kind}_length"] = prefix()
    usual: RuleAction = "to_table"
    action = chance.choice([usual, usual, usual, usual, "unreachable", "blackhole", "prohibit"])
    negated = chance.random() < 0.15
    return RoutingRule(
        family=family, priority=priority, table="100", action=action, negated=negated, **fields
    )


# -- comparing -----------------------------------------------------------------------------------------


@dataclass
class Report:
    """What was compared.

    Attributes:
        packets: how many packets.
        vague: packets that the walk decides, and the sets leave open, by what they say it depends on.
        found: differences.
    """

    packets: int = 0
    rulesets: int = 0
    fates: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    vague: Counter[str] = field(default_factory=Counter)
    verdicts: Counter[str] = field(default_factory=Counter)
    found: list[str] = field(default_factory=list)


def told(leg: Leg) -> tuple[str, str] | None:
    """Return where a leg arrives."""
    if leg.delivered is None:
        return None
    return leg.delivered.kind, leg.delivered.name if leg.delivered.kind != "outside" else ""


def difference(fate: Fate, answer: Explanation, here: PacketSet, found: Fates) -> str:
    """Return how the walk of a packet differs from what its set says; "" if it does not."""
    if fate.verdict == "DEPENDS":
        return ""
    sent = answer.trace.legs[0].packet
    if not here & found.space.where("src", ((sent.src, sent.src),)) and sent.dst >> 24 != 127:
        return f"is from {address_text(found.family, sent.src)}"
    if answer.verdict != fate.verdict:
        return f"verdict {fate.verdict}, walks {answer.verdict}"
    legs = answer.trace.legs
    if fate.delivered is not None and told(legs[0]) != fate.delivered and legs[0].verdict == "ACCEPT":
        return f"delivered {fate.delivered}, walks {told(legs[0])}"
    if fate.listening not in (None, answer.trace.listening):
        return f"listening {fate.listening}, walks {answer.trace.listening}"
    reply = legs[1].verdict if len(legs) > 1 and fate.verdict == "ACCEPT" else None
    if fate.verdict == "ACCEPT" and fate.reply is not None and reply != fate.reply:
        return f"reply {fate.reply}, walks {reply}"
    delivered = legs[0].delivered
    if fate.verdict != "ACCEPT" or delivered is None:
        return ""
    got = delivered.packet
    real = {
        key: address_text(found.family, getattr(got, key))
        if key in ("src", "dst")
        else str(getattr(got, key))
        for key in ("src", "dst", "sport", "dport")
        if getattr(sent, key) != getattr(got, key)
    }
    makes = [made for packets, made in fate.parts if packets & here]
    for made in makes:
        shown = {key: value for key, value in made.items() if value != "*"}
        if all(
            real.get(
                key,
                address_text(found.family, getattr(sent, key))
                if key in ("src", "dst")
                else str(getattr(sent, key)),
            )
            == value
            or (key in ("sport", "dport") and getattr(sent, key) is None)
            for key, value in shown.items()
        ) and set(real) <= set(made):
            return ""
    return f"made {makes}, walks {real}"


def compare(host: Host, family: Family, chance: Random, report: Report, most: int, state: str) -> str:
    """Compare random packets; return the first difference."""
    names = sorted({one.name or one.interface for one in senders_of(Landscape(host, Space(family)))})
    senders = chance.sample(names, min(len(names), 2))
    try:
        found = fates(host, family, senders=senders, state=state)
    except IptsimError as error:
        report.refused[str(error)[:100]] += 1
        return ""
    report.rulesets += 1
    return compare_all(found, chance, report, most, 2)


def compare_all(found: Fates, chance: Random, report: Report, most: int, each: int) -> str:
    """Compare some packets of each of some fates; return the first difference."""
    report.fates += len(found)
    for fate in chance.sample(list(found), min(len(found), most)):
        for _ in range(each):
            line, one = found.classes.one(fate._sender, some(fate.packets, chance).function)
            what = check_one(found, fate, line, PacketSet(found.space.layout, one), report)
            if what:
                return f"{fate.sender} {fate.iif} {found.state}: {what}: {line}"
    return ""


def check_one(found: Fates, fate: Fate, line: dict[str, Any], here: PacketSet, report: Report) -> str:
    """Compare one packet."""
    if line["proto"] == "udplite" and not found.land.names_udplite:
        return ""
    answer = ask(found.simulator, Question(**line))
    report.packets += 1
    report.verdicts[fate.verdict] += 1
    if fate.verdict == "DEPENDS" != answer.verdict:
        report.vague[" & ".join(sorted(map(str, fate.hinges)))[:150] or "nothing"] += 1
    return difference(fate, answer, here, found)


@cache
def captured(name: str) -> Host:
    """Return a captured host."""
    return load_host(CAPTURES / name)


def captures() -> Iterator[str]:
    """Yield the captures."""
    for folder in sorted(CAPTURES.glob("*/*")):
        if (folder / "iptables-save.txt").exists():
            yield f"{folder.parent.name}/{folder.name}"


def attempt(name: str, family: Family, lines: list[str], seed: str, report: Report, most: int) -> str:
    """Compare a host with some rules."""
    host = captured(name)
    chance = Random(seed)
    state = chance.choice(["new"] * 5 + ["established", "related", "invalid", "untracked"])
    own, chains = foreign_chains(lines, family)
    host.rulesets[family] = loads("\n".join([*own, ""]), family=family)
    known = host.namespace.nftables
    host.namespace.nftables = NftRuleset(chains=chains, tracked=known.tracked if known else frozenset())
    try:
        with policed(host, family, chance):
            return compare(host, family, chance, report, most, state)
    except IptsimError:
        raise
    except Exception as error:
        trace = traceback.extract_tb(error.__traceback__)[-1]
        return f"{state} {type(error).__name__}: {error} ({Path(trace.filename).name}:{trace.lineno})"
    finally:
        host.namespace.nftables = known


def shrunk(name: str, family: Family, lines: list[str], seed: str, most: int, budget: float) -> list[str]:
    """Return fewer rules for which there still is a difference."""
    end, kind = time.monotonic() + budget, attempt(name, family, lines, seed, Report(), most)
    size = 16
    while size:
        at = 0
        while at < len(lines) and time.monotonic() < end:
            chosen = [place for place, line in enumerate(lines) if line.startswith("-A")][at : at + size]
            fewer = [line for place, line in enumerate(lines) if place not in chosen]
            what = ""
            if chosen:
                with suppress(IptsimError):
                    what = attempt(name, family, fewer, seed, Report(), most)
            if what and _words(what) == _words(kind):
                lines = fewer
            else:
                at += size
        size //= 2
    return lines


def _words(what: str) -> list[str]:
    """Return what kind of difference it is."""
    return re.findall(r"verdict|listening|delivered|reply|made|is from|Error|Iteration", what)[:1]


def main(arguments: list[str]) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.sets.hunting", description=__doc__)
    parser.add_argument("--rulesets", type=int, default=0)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--only", default="")
    parser.add_argument("--most", type=int, default=40, help="fates of a ruleset that are compared")
    parser.add_argument("--seconds", type=float, default=1e9)
    parser.add_argument("--shrink", type=float, default=60, help="seconds for making a difference small")
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args(arguments)
    report, number, began = Report(), options.first, time.monotonic()
    names = [name for name in captures() if options.only in name]
    while (not options.rulesets or number < options.rulesets) and time.monotonic() - began < options.seconds:
        number += 1
        seed = f"{options.seed}/{number}"
        chance = Random(seed)
        name = chance.choice(names)
        host = captured(name)
        family: Family = 6 if chance.random() < 0.3 and [*host.namespace.addresses(6)] else 4
        lines = Maker(chance, Words.of(host, family)).dump()
        try:
            what = attempt(name, family, lines, seed, report, options.most)
        except IptsimError as error:
            report.refused[str(error)[:100]] += 1
            continue
        if what:
            small = shrunk(name, family, lines, seed, options.most, options.shrink)
            again = attempt(name, family, small, seed, Report(), options.most)
            report.found.append(what)
            print(f"=== {seed} {name} IPv{family}: {what}\n--- {again}")
            print(
                "\n".join(
                    line for line in small if line[:2] in ("-A", "*r", "*m", "*n", "*f") or "DROP" in line
                ),
                flush=True,
            )
        if number % 25 == 0:
            print(
                number,
                report.packets,
                report.fates,
                len(report.found),
                dict(report.verdicts),
                file=sys.stderr,
                flush=True,
            )
    print(
        f"{report.packets} packets of {report.fates} fates over {report.rulesets} rulesets: {len(report.found)}"
    )
    print("refused:", report.refused.most_common(10))
    print("vague:", *report.vague.most_common(40), sep="\n  ")
    return 1 if report.found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
