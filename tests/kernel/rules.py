"""The least that must be read of a dump, apart from iptsim's own reader: which rule has which target."""

from __future__ import annotations

import re
import shlex
from itertools import pairwise
from typing import NamedTuple

#: Targets that end a base chain's run as an ACCEPT does, or a DROP: no program reads a queue in the laboratory,
#: and no transparent proxy listens.
_ENDING = frozenset({"ACCEPT", "DNAT", "SNAT", "MASQUERADE", "REDIRECT", "NETMAP"})
_DROPPING = frozenset({"DROP", "REJECT", "TPROXY"})


class Chains(NamedTuple):
    """Targets of the rules, and policies, by (table, chain); "g:NAME" is a goto, "" no target."""

    targets: dict[tuple[str, str], list[str]]
    policies: dict[tuple[str, str], str]

    def verdict(self, table: str, chain: str, rule: int) -> str:
        """Return what a trace calls the verdict of a rule that matched."""
        target = self.targets[table, chain][rule - 1]
        if target.startswith("g:"):
            return f"GOTO:{target[2:]}"
        if (table, target) in self.policies:
            return f"JUMP:{target}"
        if target in _ENDING:
            return "ACCEPT"
        if target in _DROPPING:
            return "DROP"
        if target in ("NFQUEUE", "QUEUE"):
            return "QUEUE"
        return "RETURN" if target == "RETURN" else "STOLEN" if target == "SYNPROXY" else "CONTINUE"


#: Names of matches and targets in a rule.
_NAMES = re.compile(r"-([mj]) ([A-Za-z0-9]+)")


def extension_names(dump: str) -> dict[tuple[str, str], list[frozenset[str]]]:
    """Return the matches and targets of each rule, as "-m name" and "-j name", by (table, chain)."""
    found: dict[tuple[str, str], list[frozenset[str]]] = {}
    own, table = read_chains(dump).policies, ""
    for line in dump.splitlines():
        if line.startswith("*"):
            table = line[1:].strip()
        elif line.startswith("-A "):
            words = re.sub(r'"[^"]*"', "", line)
            names = {(kind, name) for kind, name in _NAMES.findall(words) if (table, name) not in own}
            rules = found.setdefault((table, line.split()[1]), [])
            rules += [frozenset(f"-{kind} {name}" for kind, name in names)] * rules_of(words.split())
    return found


def read_chains(dump: str) -> Chains:
    """Read the chains of a dump and their rules' targets."""
    found, table = Chains({}, {}), ""
    for line in dump.splitlines():
        if line.startswith("*"):
            table = line[1:].strip()
        elif line.startswith(":"):
            name, policy = line[1:].split()[:2]
            found.policies[table, name] = policy
            found.targets.setdefault((table, name), [])
        elif line.startswith("-A "):
            words = shlex.split(line)
            target = ""
            for place, word in enumerate(words[:-1]):
                if word in ("-j", "-g", "--jump", "--goto"):
                    target = ("g:" if word in ("-g", "--goto") else "") + words[place + 1]
            found.targets.setdefault((table, words[1]), []).extend([target] * rules_of(words))
    return found


def rules_of(words: list[str]) -> int:
    """Return how many rules the tools make of a line: one for each pair of its listed addresses."""
    count = 1
    for option, value in pairwise(words):
        if option in ("-s", "-d"):
            count *= len(value.split(","))
    return count
