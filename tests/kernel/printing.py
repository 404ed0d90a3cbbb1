"""Every option of every match and target with awkward values, as iptables takes and prints them.

`python -m tests.kernel.printing [EXTENSION ...]` puts each awkward word in the place of an option's value, in rules of
which the installed iptables is known to take all else, loads them by both backends in an empty network namespace, and
compares what iptables-save prints, or that the rule was refused, with iptsim. Exit status 1 if they differ.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator
from typing import NamedTuple

from iptsim.addresses import Family
from iptsim.dump.reader import loads
from iptsim.dump.words import split
from iptsim.errors import IptsimError
from iptsim.extensions.base import Extension
from iptsim.extensions.options import Option, quote
from iptsim.extensions.parameters import Parameters
from iptsim.extensions.registry import find_match, find_target
from tests.extensions.test_matches_a_l import TAKEN
from tests.extensions.test_matches_l_z import ALL_CANONICAL, PLACES
from tests.extensions.test_targets import TAKEN as TARGETS
from tests.kernel.namespaces import CommandError, Namespace

#: Words at the edges of what values are: numbers, ranges, names for numbers, lists, masks, empty ones.
AWKWARD = (
    "", "0", "00", "1", "0x0", "010", "08", "+1", "-1", "255", "256", "65535", "65536", "4294967295", "4294967296",
    ":", "0:", ":0", ":5", "5:", "4:3", "3:3", "0:255", "0:65535", "0:4294967295", "1-", "9-5", "5-5", "0-65535",
    ",", "1,", ",1", "1,1", "3,1", "0,3", "http", "HTTP", "tcp", "TCP", "ICMP", "ping", "any", "ANY", "root", "nobody",
    "NEW", "new,NEW", "EST", "related,Established", "ef", "AF11", "0.0.0.0", "0.0.0.0/0", "10.1", "10.0.0.1/32",
    "10.0.0.9/24", "10.0.0.1/255.255.0.0", "10.0.0.1/255.0.255.0", "10.0.0.9-10.0.0.5", "10.0.0.1-10.0.0.1",
    "255.255.255.255", "::", "::1/128", "2001:DB8::1/64", "::ffff:1.2.3.4", "0x1/0xff", "1/0", "0/0", "0x10/4294967295",
    "AA:bb:0:1:2:3", "+", "eth0", "a b", "x" * 15, "x" * 16, "x" * 64, "é", "\\", "'", "1/s", "60/minute", "1.5", "0.1",
)  # fmt: skip
#: Extensions that need what a namespace has not, or that print otherwise for a reason told with their tests.
LEFT_OUT = frozenset(
    {"LED", "IDLETIMER", "ipvs", "rateest", "RATEEST", "SECMARK", "nfacct", "set", "SET", "bpf"}
)
#: Rules with the options that the tables of the other tests lack.
MORE = (
    "-s 10.0.0.1 -d 10.0.0.2 -i eth0 -o eth1 -p tcp",
    "-p tcp -m tcp --sport 1 --dport 2 --tcp-option 3 --tcp-flags SYN SYN",
    "-p tcp -m multiport --sports 1",
    "-p sctp -m sctp --sport 1",
    "-m ttl --ttl-lt 1",
    "-m devgroup --dst-group 1",
)
_PARAMETERS: dict[str, tuple[type[Extension], Option]] = {
    option.flag: (Parameters, option) for option in Parameters.options
}
_BACKENDS = {"nft": "nf_tables", "legacy": "legacy"}


class Spot(NamedTuple):
    """A rule that iptables takes, and the words in it that are the value of one option."""

    family: Family
    table: str
    chain: str
    words: tuple[str, ...]
    at: int
    extension: str
    flag: str

    def rule(self, word: str) -> str:
        """Return the rule with another first word of the value."""
        words = [quote(one) if not one or " " in one else one for one in self.words]
        words[self.at] = f'"{word}"' if not word or " " in word else word
        return " ".join(words)


def rules() -> Iterator[tuple[Family, str, str, str]]:
    """Yield rules that iptables is known to take: family, table, chain, what follows `-A CHAIN`."""
    for line in TAKEN:
        yield line.family, "mangle", line.chain, line.clause
    for family, clause, _ in ALL_CANONICAL:
        before, table, chain = PLACES.get(clause.split()[0], ("", "filter", "INPUT"))
        yield (4 if family == 4 else 6), table, chain, f"{before} -m {clause}".strip()
    for rule in MORE:
        yield 4, "filter", "FORWARD", rule
    for row in TARGETS:
        yield row.family, row.table, row.chain, row.rule


def spots(names: Collection[str] = ()) -> list[Spot]:
    """Return one place for each option of each extension (of those named) and each family."""
    found: dict[tuple[Family, str, str], Spot] = {}
    for family, table, chain, rule in rules():
        words = split(rule)
        if words is None:
            continue
        known = _PARAMETERS
        for at, word in enumerate(words):
            if word in ("-m", "-j"):
                name = words[at + 1]
                loaded = find_match(name, family) if word == "-m" else find_target(name, family)
                if loaded is not None:
                    rows = {option.flag: (loaded, option) for option in loaded.options}
                    known = {**_PARAMETERS, **rows}
            elif word in known:
                extension, option = known[word]
                wanted = extension.name not in LEFT_OUT and (not names or extension.name in names)
                if wanted and option.value is not None and at + 1 < len(words):
                    place = family, extension.name, option.flag
                    found.setdefault(place, Spot(family, table, chain, tuple(words), at + 1, *place[1:]))
    return list(found.values())


def _load(namespace: Namespace, spot: Spot, backend: str, rule: str) -> str:
    """Return what iptables-save prints of a rule; empty if it is refused."""
    program = f"{'iptables' if spot.family == 4 else 'ip6tables'}-{backend}"
    dump = f"*{spot.table}\n:{spot.chain} ACCEPT [0:0]\n-A {spot.chain} {rule}\nCOMMIT\n"
    try:
        namespace.run([f"{program}-restore"], dump)
    except CommandError:
        return ""
    saved = namespace.run([f"{program}-save", "-t", spot.table])
    namespace.run([f"{program}-restore"], f"*{spot.table}\nCOMMIT\n")
    return "\n".join(line for line in saved.splitlines() if line.startswith("-A"))


def _read(spot: Spot, backend: str, rule: str) -> str:
    program = "iptables-save" if spot.family == 4 else "ip6tables-save"
    header = f"# Generated by {program} v1.8.9 ({_BACKENDS[backend]}) on Mon Jan  1 00:00:00 2024"
    dump = f"{header}\n*{spot.table}\n:{spot.chain} ACCEPT [0:0]\n-A {spot.chain} {rule}\nCOMMIT\n"
    try:
        read = list(loads(dump, family=spot.family).rules())
    except IptsimError:
        return ""
    return "" if any(one.refused for one in read) else "\n".join(one.text for one in read)


def differences(spot: Spot, words: Collection[str] = AWKWARD) -> Iterator[str]:
    """Yield where iptsim prints, takes or refuses otherwise than the installed iptables."""
    with Namespace() as namespace:
        for word in words:
            rule = spot.rule(word)
            for backend in _BACKENDS:
                shown, got = _load(namespace, spot, backend, rule), _read(spot, backend, rule)
                if shown != got:
                    yield (
                        f"IPv{spot.family} {backend} {spot.table}: {rule}\n"
                        f"    iptables {shown or 'refuses'}\n    iptsim   {got or 'refuses'}"
                    )


def main(names: list[str]) -> int:
    """Run from the command line."""
    wrong = 0
    places = spots(names)
    for spot in places:
        for line in differences(spot):
            wrong += 1
            print(line, flush=True)
    print(f"{len(places)} options, {len(AWKWARD)} values each, {wrong} differences")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
