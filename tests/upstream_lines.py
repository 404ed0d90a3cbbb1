"""The tests of iptables' own extensions (`extensions/*.t` of its sources) against iptsim.

`python -m tests.upstream_lines FOLDER [VERSION]` reads every line of a folder of them: what iptables takes and
prints, iptsim must take and print, what it refuses, iptsim must refuse. The form of the files, and what their
fourth and fifth field mean, is as iptables-test.py beside them has it. They belong to iptables (GPL) and are no
part of this repository. Exit status 1 if a line differs that `EXCEPTIONS` does not name.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from iptsim.addresses import Family
from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.dump.reader import loads
from iptsim.errors import IptsimError

#: The version whose tests the exceptions were made for.
VERSION = "1.8.11"
#: Address families by the beginning of a file's name; of others IPv4.
FAMILIES: dict[str, tuple[Family, ...]] = {"libxt": (4, 6), "libip6t": (6,)}
#: Files for other programs than iptables.
OTHERS = {"libarpt": "arptables", "libebt": "ebtables"}
_BACKENDS = {"NFT": "nf_tables", "LEGACY": "legacy"}

_BACKWARDS = "iptables 1.8.10 and before take a range that ends before it starts, and print it: dumps have it"
_ELSEWHERE = "a dump does not tell whether that exists"
#: File and clause of lines that iptsim reads otherwise -> why.
EXCEPTIONS = {
    **dict.fromkeys(
        (
            ("libip6t_ah", "-m ah --ahspi 4:3"),
            ("libipt_ah", "-p ah -m ah --ahspi 4:3"),
            ("libip6t_frag", "-m frag --fragid 4:3"),
            ("libip6t_rt", "-m rt --rt-segsleft 4:3"),
            ("libxt_conntrack", "-m conntrack --ctexpire 4:3"),
            ("libxt_conntrack", "-m conntrack --ctorigsrcport 4:3"),
            ("libxt_conntrack", "-m conntrack --ctorigdstport 4:3"),
            ("libxt_conntrack", "-m conntrack --ctreplsrcport 4:3"),
            ("libxt_conntrack", "-m conntrack --ctrepldstport 4:3"),
            ("libxt_dccp", "-p dccp -m dccp --sport 4:3"),
            ("libxt_dccp", "-p dccp -m dccp --dport 4:3"),
            ("libxt_esp", "-p esp -m esp --espspi 4:3"),
            ("libxt_ipcomp", "-p ipcomp -m ipcomp --ipcompspi 4:3"),
            ("libxt_length", "-m length --length 4:3"),
            ("libxt_udp", "-p udp -m udp --sport 4:3"),
            ("libxt_udp", "-p udp -m udp --dport 4:3"),
        ),
        _BACKWARDS,
    ),
    **dict.fromkeys(
        (("libxt_conntrack", "-m conntrack --ctproto 0"), ("libxt_conntrack", "-m conntrack ! --ctproto 0")),
        "iptables 1.8.9 takes it, and prints it",
    ),
    **dict.fromkeys(
        (
            ("libxt_SET", "-j SET --add-set foo src,dst"),
            ("libxt_set", "-m set --match-set foo src,dst"),
            ("libxt_connlabel", '-m connlabel --label "foobar_not_there"'),
            ("libxt_nfacct", "-m nfacct --nfacct-name wrong"),
        ),
        _ELSEWHERE,
    ),
    ("libxt_TCPMSS", "-p tcp -j TCPMSS --set-mss 42"): (
        "the legacy backend demands a match on SYN, so that no dump of it has such a rule"
    ),
}


class Case(NamedTuple):
    """A line of a file: what is given to iptables, and what is expected.

    Attributes:
        file, number: where it stands; the file's name without its ending.
        families, table, chains: where the rule is loaded.
        clause: the rule behind `-A CHAIN`.
        printed: what iptables-save prints behind `-A CHAIN`.
        result: "OK", "FAIL", "NOMATCH" (printed otherwise) or "=" (printed as given), by backend.
    """

    file: str
    number: int
    families: tuple[Family, ...]
    table: str
    chains: tuple[str, ...]
    clause: str
    printed: str
    result: dict[str, str]


def cases(path: Path) -> Iterator[Case]:
    """Read a file for iptables."""
    families = FAMILIES.get(path.name.partition("_")[0], (4,))
    table: str = "filter"
    chains: tuple[str, ...] = ()
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        # @ and % run commands that make sets, timeouts, rate estimators; a dump can name them without
        if not line.strip() or line[0] in "#@%":
            continue
        if line[0] == ":":
            chains = tuple(line[1:].strip().split(","))
        elif line[0] == "*":
            table = line[1:].strip()
        else:
            clause, printed, *results = (field.strip() for field in line.split(";"))
            shown = clause if printed == "=" else printed
            yield Case(path.stem, number, families, table, chains, clause, shown, dict(_results(*results)))


def _results(result: str, variant: str = "", other: str = "") -> Iterator[tuple[str, str]]:
    """Yield the expected result by backend; one that is for one of them means another for the other."""
    opposite = {"OK": "FAIL", "FAIL": "OK", "NOMATCH": "OK"}
    for name, backend in _BACKENDS.items():
        yield backend, result if variant in ("", name) else other or opposite[result]


def read(case: Case, family: Family, chain: str, backend: str, version: str) -> str:
    """Return the rule as iptsim prints it; empty where iptsim refuses it or says that the kernel does."""
    program = "iptables-save" if family == 4 else "ip6tables-save"
    policy = "ACCEPT" if chain in BUILTIN_CHAINS[case.table] else "-"
    dump = (
        f"# Generated by {program} v{version} ({backend}) on Mon Jan  1 00:00:00 2024\n"
        f"*{case.table}\n:{chain} {policy} [0:0]\n-A {chain} {case.clause}\nCOMMIT\n"
    )
    try:
        rules = list(loads(dump, family=family).rules())
    except IptsimError:
        return ""
    return "" if any(rule.refused for rule in rules) else "\n".join(rule.text for rule in rules)


def differences(case: Case, version: str) -> list[str]:
    """Return where iptsim does otherwise than the line wants."""
    found = []
    for backend, result in case.result.items():
        for family in case.families:
            for chain in case.chains:
                got = read(case, family, chain, backend, version)
                printed = f"-A {chain} {case.printed}" in got.splitlines()
                if result == "=":
                    right = f"-A {chain} {case.clause}" in got.splitlines()
                else:
                    right = not got if result == "FAIL" else bool(got) and printed is (result == "OK")
                if not right:
                    found.append(f"IPv{family} {backend} {chain}: {got or 'refused'}")
    return found


def run(folder: Path, version: str = VERSION) -> tuple[list[str], Counter[str]]:
    """Try all files of a folder; return what is wrong, and counts of lines and of what was left out."""
    wrong, counts = [], Counter[str]()
    for path in sorted(folder.glob("*.t")):
        kind = path.name.partition("_")[0]
        if kind in OTHERS:
            counts[f"files for {OTHERS[kind]}, left out"] += 1
            continue
        for case in cases(path):
            counts["lines"] += 1
            found = differences(case, version)
            if not found:
                counts["as iptables"] += 1
            elif (case.file, case.clause) in EXCEPTIONS:
                counts["exceptions"] += 1
            else:
                wrong.append(f"{case.file}:{case.number}: {case.clause}: {'; '.join(found[:2])}")
    return wrong, counts


def main(words: list[str]) -> int:
    """Run from the command line."""
    wrong, counts = run(Path(words[0]), *words[1:])
    print(*wrong, sep="\n")
    print(", ".join(f"{what}: {number}" for what, number in counts.items()))
    return 1 if wrong or not counts["lines"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
