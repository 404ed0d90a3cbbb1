"""Hypothesis strategies: extension models from their option rows, rules, rulesets, and texts of dumps.

They know no extension by name. The values of an option are those words of a pool that its row reads, so a
new extension takes part as soon as it exists.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from itertools import product
from typing import Any

from hypothesis import strategies as st

from iptsim.addresses import Family
from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.dump.plan import without_idle
from iptsim.dump.recipe import Misread, Recipe
from iptsim.dump.rule import Counters, Jump, Rule
from iptsim.dump.ruleset import Chain, Ruleset, Table
from iptsim.extensions.base import Extension, Match, Target
from iptsim.extensions.listing import ListingForm
from iptsim.extensions.options import Option, Value
from iptsim.extensions.parameters import Parameters
from iptsim.extensions.registry import all_extensions

#: Words that some option or other takes.
POOL = (
    "0", "1", "2", "5", "10", "15", "80", "255", "256", "1024", "1460", "65535", "4294967295", "0x1", "0x10",
    "0xff/0xf0", "0x4000/0x4000", "1:2", "1:", ":9", "1-2", "80,443", "80,1024:2048", "0:65535", "http",
    "ssh,smtp", "10.0.0.1", "10.0.0.0/8", "192.0.2.0/24", "10.0.0.0/255.0.255.0", "10.0.0.1-10.0.0.9",
    "10.0.0.5:80", ":8080", "2001:db8::1", "2001:db8::/32", "fe80::/10", "2001:db8::1-2001:db8::9",
    "[2001:db8::1]:80", "255.255.255.255", "eth0", "veth+", "br-0123456789ab", "lo", "tcp", "udp", "icmp", "47",
    "all", "echo-request", "8", "3/1", "any", "NEW", "RELATED,ESTABLISHED", "INVALID", "DNAT", "ORIGINAL",
    "NONE", "CONFIRMED", "LOCAL", "UNICAST,BROADCAST", "SYN", "SYN,ACK", "FIN,SYN,RST,ACK", "ALL", "src", "dst",
    "src,dst", "srcip", "srcip,dstport", "in", "out", "random", "nth", "0.5", "0.25000000000", "1/second",
    "5/hour", "10/sec", "1kb/s", "DEFAULT", "web", "a b", 'say "hi"', "it's", "back\\slash", "-A", "!", "", "é",
    "x" * 28, "broadcast", "unicast", "bm", "kmp", "|0d0a|", "00:11:22:33:44:55", "0x01", "0x3f", "CS1", "EF",
    "Minimize-Delay", "1:1", "1.5", "08:00", "18:30", "Mon,Tue", "1,15", "2024-01-01T00:00:00", "ipsec", "none",
    "tunnel", "esp", "warning", "debug", "icmp-port-unreachable", "tcp-reset", "icmp6-no-route", "accept",
    "drop", "0&0xFF=1", "6&0xFF=1", "4,48 0 0 9,21 0 1 6,6 0 0 1,6 0 0 0", "ftp", "new,reply", "packets",
    "x -s 10.0.0.0/8", "a\tb", "a,b c", '"', "bytes", "original", "reply", "both", "GATE", "new", "sourceip",
    "01:00:5e:00:00:20",
)  # fmt: skip


#: Extensions of which iptables-save itself prints what iptables-restore refuses.
BROKEN = ("rateest",)


def _readable(value: Value, words: tuple[str, ...], family: int) -> bool:
    """Return whether a value reads the words."""
    try:
        return value.read(words, family) is not None  # None represents the option's absence
    except ValueError:
        return False


@cache
def words_of(value: Value, family: int) -> list[tuple[str, ...]]:
    """Return what may stand after an option: words of the pool, and those of its own description."""
    examples = [
        word.strip() for text in re.findall(r"\(([^)]*)\)", str(value.expected)) for word in text.split(",")
    ]
    pool = [*dict.fromkeys([*examples, *POOL])]
    if value.words == 1:
        return [(word,) for word in pool if _readable(value, (word,), family)]
    pairs = product(pool, repeat=value.words)
    fit = [words for words in pairs if words[1][:1] not in ("-", "!") and _readable(value, words, family)]
    return fit[:200]


def usable(option: Option, family: int) -> bool:
    """Return whether the pool holds a value for an option."""
    return option.value is None or bool(words_of(option.value, family))


@st.composite
def _maybe_models(draw: st.DrawFn, extension: type[Extension], family: int) -> Any:
    rows = [option for option in extension.options if usable(option, family)]
    chosen = (
        draw(st.lists(st.sampled_from(rows), max_size=4, unique_by=lambda row: row.field)) if rows else []
    )
    needed = extension.required()
    for row in rows:
        if row.field in needed and all(row.field != other.field for other in chosen):
            chosen.append(row)
    chosen.sort(key=rows.index)
    drawn: list[str] = []
    given = []
    for row in chosen:
        words = draw(st.sampled_from(words_of(row.value, family))) if row.value else ()
        given.append((row, row.negatable and draw(st.booleans()), len(words)))
        drawn += words
    try:
        return Recipe(extension, tuple(given), ListingForm(family=family)).make(drawn)
    except (Misread, ValueError):
        return None


def models(extension: type[Extension], family: int) -> st.SearchStrategy[Any]:
    """Draw models of an extension."""
    return _maybe_models(extension, family).filter(lambda model: model is not None)


@cache
def extensions(kind: type[Extension], family: int) -> list[type[Extension]]:
    """Return the matches or targets of a family."""
    return [
        one
        for one in all_extensions()
        if issubclass(one, kind) and one.family in (None, family) and one.name not in BROKEN
    ]


@st.composite
def rules(draw: st.DrawFn, family: int, chain: str = "made", other: str = "other") -> tuple[str, Rule]:
    """Draw a rule of a user chain, and the table that takes it."""
    matches = [
        draw(models(extension, family))
        for extension in draw(st.lists(st.sampled_from(extensions(Match, family)), max_size=3))
    ]
    target: Target | Jump | None = draw(
        st.none()
        | st.sampled_from([Jump(other), Jump(other, goto=True)])
        | st.sampled_from(extensions(Target, family)).flatmap(lambda extension: models(extension, family))
    )
    parameters = without_idle(draw(models(Parameters, family)))
    protocols: set[int] | None = None
    tables = set(BUILTIN_CHAINS)
    for extension in (*matches, *([target] if isinstance(target, Target) else [])):
        allowed = extension.allowed_protocols()
        if allowed is not None:
            protocols = set(allowed) if protocols is None else protocols & allowed
        placed = extension.allowed_tables() if isinstance(extension, Target) else extension.tables
        tables &= placed if placed is not None else tables
    if protocols is not None:
        protocol = draw(st.sampled_from(sorted(protocols) or [6]))
        parameters = replace(parameters, protocol=protocol, negated=parameters.negated - {"protocol"})
    refused = parameters.protocol == 0 or (family == 6 and parameters.fragment)
    if protocols == set() or not tables or refused:
        return draw(rules(family, chain, other))
    table = draw(st.sampled_from(sorted(tables)))
    counted = draw(st.none() | st.builds(Counters, st.integers(0, 2**63), st.integers(0, 2**63)))
    return table, Rule(table, chain, 1, parameters, tuple(matches), target, counted)


@st.composite
def rulesets(draw: st.DrawFn) -> Ruleset:
    """Draw rulesets of one rule a table."""
    family: Family = draw(st.sampled_from([4, 6]))
    ruleset = Ruleset(family=family)
    for name, rule in draw(st.lists(rules(family), min_size=1, max_size=3, unique_by=lambda pair: pair[0])):
        table = ruleset.tables[name] = Table(name)
        for builtin in BUILTIN_CHAINS[name]:
            policy = draw(st.sampled_from(["ACCEPT", "DROP"]))
            table.chains[builtin] = Chain(name, builtin, policy, Counters(0, 0))
        table.chains["made"] = Chain(name, "made", None, Counters(0, 0), [rule])
        table.chains["other"] = Chain(name, "other", None, Counters(0, 0))
    return ruleset


#: Characters that matter to whoever cuts a line into words.
line_text = st.text(
    st.sampled_from("aA1-!\"\\\t  \x0b\r\xa0é[]:#*=.,'")
    | st.characters(codec="utf-8", exclude_characters="\n")
)
