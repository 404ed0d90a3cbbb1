"""Many hosts together: which findings they share, and which of them differ from others of their group.

A group is the hosts whose names differ only in numbers: web01, web02. What most of a group have in common is its
policy; a host that lacks one of its rules, has another policy for a chain, or has rules that hardly any other has is an
outlier.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from iptsim.addresses import FAMILIES, address_text
from iptsim.host.model import Host

SCHEMA = "iptsim.hosts/1"
#: The number of outliers whose rules are shown.
SHOWN = 100
#: The number of warnings about a host that are kept.
_WARNINGS = 20
#: The share of a group that makes a rule common, and the share up to which it is rare; how small a group may be.
_COMMON, _RARE, _SMALLEST = 0.8, 0.2, 3

_DIGITS = re.compile(r"\d+")
_ENDING = re.compile(r"(?:\.(?:txt|rules|dump|save|v4|v6|tar|gz|tgz|zip|xz|bz2))+$")


@dataclass(slots=True)
class HostResult:
    """What was found on one host.

    Attributes:
        source: where it was read from.
        findings: the codes of its findings, one each.
        rules: its rules and policies, as fingerprints of 8 bytes.
        count: how many rules it has.
        error: why it could not be read, "" if it could.
        cut_off: its dump is cut off, so rules are missing.
        warnings: what is odd in its rules, such as unknown options.
    """

    source: str
    findings: tuple[str, ...] = ()
    rules: bytes = b""
    count: int = 0
    error: str = ""
    cut_off: bool = False
    warnings: tuple[str, ...] = ()

    @property
    def fingerprints(self) -> set[bytes]:
        """The fingerprints of its rules and policies."""
        return {self.rules[place : place + 8] for place in range(0, len(self.rules), 8)}


@dataclass(slots=True)
class Outlier:
    """A host that differs from its group.

    Attributes:
        missing: what most of its group have but it lacks.
        further: what it has but hardly any other host does.
    """

    source: str
    group: str
    missing: list[bytes] = field(default_factory=list)
    further: list[bytes] = field(default_factory=list)


def result_of(source: str, host: Host, findings: tuple[str, ...]) -> HostResult:
    """Return what was found on a host."""
    count = sum(1 for ruleset in host.rulesets.values() for _ in ruleset.rules())
    cut_off = host.pasted is not None and host.pasted.cut_off
    found = [one for ruleset in host.rulesets.values() for one in ruleset.warnings]
    warnings = tuple(dict.fromkeys(map(str, found)))
    return HostResult(
        source, findings, b"".join(policy_of(host)), count, cut_off=cut_off, warnings=warnings[:_WARNINGS]
    )


def policy_of(host: Host) -> dict[bytes, str]:
    """Return the rules and policies of a host by fingerprint; its own addresses are written as HOST."""
    own = {
        address_text(family, one.address): "HOST"
        for family in FAMILIES
        for _, one in host.namespace.addresses(family)
    }
    own.pop("127.0.0.1", None)
    pattern = re.compile(rf"(?<![\w.:])(?:{'|'.join(map(re.escape, own))})(?![\w.:])") if own else None
    found = {}
    for family, ruleset in host.rulesets.items():
        for table in ruleset.tables.values():
            for chain in table.chains.values():
                texts = [rule.text for rule in chain.rules]
                if chain.policy:
                    texts.append(f":{chain.name} {chain.policy}")
                # most rules name no address of the host
                if pattern is not None and any(map("\n".join(texts).__contains__, own)):
                    texts = [pattern.sub("HOST", text) for text in texts]
                for text in texts:
                    line = f"IPv{family} {table.name} {text}"
                    found[hashlib.blake2b(line.encode("utf-8", "replace"), digest_size=8).digest()] = line
    return found


def group_of(source: str) -> str:
    """Return the group of a host: its name, with `#` for each number.

    >>> group_of("captures/web01.tar.gz"), group_of("db-eu-2/"), group_of("host.txt")
    ('web#', 'db-eu-#', 'host')
    """
    return _DIGITS.sub("#", name_of(source))


def name_of(source: str) -> str:
    """Return the name of a host: its file name without extensions."""
    return _ENDING.sub("", Path(source).name)


def outliers_of(hosts: Iterable[HostResult]) -> list[Outlier]:
    """Return the hosts that differ from their group; dumps that are cut off are not compared."""
    groups: dict[str, list[HostResult]] = {}
    for host in hosts:
        if not host.error and not host.cut_off:
            groups.setdefault(group_of(host.source), []).append(host)
    return [
        outlier
        for name, members in groups.items()
        if len(members) >= _SMALLEST
        for outlier in _outliers(name, members)
    ]


def _outliers(name: str, members: list[HostResult]) -> list[Outlier]:
    counts: Counter[bytes] = Counter()
    for member in members:
        counts.update(member.fingerprints)
    common = {one for one, count in counts.items() if count >= _COMMON * len(members)}
    own = [
        [one for one in member.fingerprints if counts[one] <= max(_RARE * len(members), 1)]
        for member in members
    ]
    usual = median(map(len, own))
    found = []
    for member, rare in zip(members, own, strict=True):
        missing = sorted(common - member.fingerprints)
        further = sorted(rare) if len(rare) > 2 * usual else []
        if missing or further:
            found.append(Outlier(member.source, name, missing, further))
    return found


def summary_of(hosts: list[HostResult], load: Callable[[str], Host]) -> dict[str, Any]:
    """Return what was found on many hosts: how many have which findings, the outliers, and which cannot be read.

    Args:
        load: reads a host again, for the texts of the rules in which outliers differ.
    """
    counts: Counter[str] = Counter()
    for host in hosts:
        counts.update(dict.fromkeys(host.findings, 1))
    outliers = outliers_of(hosts)
    texts = _texts(outliers[:SHOWN], hosts, load)
    return {
        "schema": SCHEMA,
        "hosts": len(hosts),
        "errors": [{"source": host.source, "error": host.error} for host in hosts if host.error],
        "cut_off": [host.source for host in hosts if host.cut_off],
        "findings": [{"code": code, "hosts": count} for code, count in counts.most_common()],
        "outliers": [
            {
                "source": one.source,
                "group": one.group,
                "missing": [texts.get(rule) for rule in one.missing],
                "further": [texts.get(rule) for rule in one.further],
            }
            for one in outliers
        ],
    }


def _texts(outliers: list[Outlier], hosts: list[HostResult], load: Callable[[str], Host]) -> dict[bytes, str]:
    """Return the rules in which outliers differ."""
    wanted = {rule for one in outliers for rule in (*one.missing, *one.further)}
    own = {one.source for one in outliers if one.further}
    found: dict[bytes, str] = {}
    for host in sorted(hosts, key=lambda host: host.source not in own):
        left = wanted - found.keys()
        if not left:
            break
        if not host.error and not left.isdisjoint(host.fingerprints):
            found |= {rule: text for rule, text in policy_of(load(host.source)).items() if rule in left}
    return found
