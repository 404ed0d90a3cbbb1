"""However a listing or a dump was pasted, its rules give the same verdicts, or DEPENDS; never other ones."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.dump.reader import loads
from iptsim.dump.ruleset import Chain, Ruleset
from iptsim.host.capture import load_host
from iptsim.host.files import Source
from iptsim.host.model import Host
from iptsim.netfilter.walk import walk
from iptsim.paste.assembly import host_of_source
from iptsim.question.model import Question
from iptsim.render.listing import listing
from tests.netfilter.random_rules import CAPTURES, random_dump, random_fields

_HOSTS = [
    f"{path.parent.parent.name}/{path.parent.name}" for path in sorted(CAPTURES.glob("*/*/iptables-save.txt"))
]
_RANDOM = "docker-28.5/published"
_PACKETS = 6


@cache
def _captured(name: str) -> Host:
    return replace(load_host(CAPTURES / name), extra_rulesets={})


def _with_all_chains(ruleset: Ruleset) -> Ruleset:
    """Return a ruleset with the empty built-in chains that iptables prints, too."""
    for name, table in ruleset.tables.items():
        known = table.chains
        builtin = {one: known.get(one) or Chain(name, one, "ACCEPT") for one in BUILTIN_CHAINS[name]}
        table.chains = builtin | known
    return ruleset


def _with_names_of(host: Host, read: Host) -> Ruleset:
    """Return the rules of a paste with the names of the host's bridges, where a listing without -v hides them."""
    ruleset = read.rulesets[4]
    names = {
        network.bridge: own.bridge
        for network in read.networks.values()
        for own in host.networks.values()
        if own.bridge and {*network.subnets} & {*own.subnets}
    }
    for chain in (chain for table in ruleset.tables.values() for chain in table.chains.values()):
        for rule in chain.rules:
            own = rule.parameters
            renamed: dict[str, Any] = {
                side: names[name]
                for side, name in (("in_interface", own.in_interface), ("out_interface", own.out_interface))
                if name in names
            }
            rule.parameters = replace(own, **renamed)
    return ruleset


# -- forms ---------------------------------------------------------------------------------------------------


def _listed(options: str, *, prompted: bool = True) -> Callable[[Ruleset, str], str]:
    def text(ruleset: Ruleset, dump: str) -> str:
        verbose, numbers = "v" in options, "#" in options
        parts = []
        for table in ruleset.tables:
            prompt = f"root@gw:~# iptables -t {table} -L{options.strip('#')}\n" if prompted else ""
            lines = listing(ruleset, table, verbose=verbose, numbers=numbers)
            parts.append(prompt + "".join(f"{line.text}\n" for line in lines))
        return "\n".join(parts)

    return text


def _rules(ruleset: Ruleset, dump: str) -> str:
    """Return what `iptables -S` prints for each table."""
    lines = []
    for name, table in ruleset.tables.items():
        chains = list(table.chains.values())
        lines.append(f"root@gw:~# iptables -t {name} -S")
        lines += [f"-P {chain.name} {chain.policy}" for chain in chains if chain.builtin]
        lines += [f"-N {chain.name}" for chain in chains if not chain.builtin]
        lines += [rule.text for chain in chains for rule in chain.rules]
    return "\n".join(lines) + "\n"


FORMS: dict[str, Callable[[Ruleset, str], str]] = {
    "-L -n -v": _listed("nv"),
    "-L -n -v --line-numbers": _listed("nv#"),
    "-L -n": _listed("n"),
    "-L -n -v without commands": _listed("nv", prompted=False),
    "-L -n without commands": _listed("n", prompted=False),
    "-S": _rules,
    "iptables-save": lambda ruleset, dump: dump,
}


# -- damages -------------------------------------------------------------------------------------------------

#: Where a table begins, and where a chain or a rule does.
_TABLE = re.compile(r"(?m)^[> \u00a0]*(?:root@gw|\*|$)")
_PART = re.compile(r"(?m)^[> \u00a0]*(?:Chain |COMMIT|-A)")


def _wrapped_by_the_terminal(random: Random, text: str) -> str:
    width = random.choice((80, 100, 120))
    cut = [[line[at : at + width] for at in range(0, len(line), width)] or [""] for line in text.splitlines()]
    return "".join(f"{part}\n" for parts in cut for part in parts)


def _each(changed: Callable[[int, str], str]) -> Callable[[Random, str], str]:
    """Return the damage that changes each line of a text."""
    return lambda random, text: "".join(
        f"{changed(number, line)}\n" for number, line in enumerate(text.splitlines(), 1)
    )


def _continued(random: Random, text: str) -> str:
    """Return a text whose rules go on in the next line, after a backslash."""
    return re.sub(r"(?m)^(-A .{20,60}) (?=-j )", r"\1 \\\n    ", text)


def _wrapped_between_words(random: Random, text: str) -> str:
    lines = []
    for line in text.splitlines():
        while len(line) > 72 and line[: max(0, line.rfind(" ", 1, 73))].strip():
            at = line.rfind(" ", 1, 73)
            lines.append(line[:at])
            line = line[at + 1 :]
        lines.append(line)
    return "\n".join(lines) + "\n"


def _with_dots(random: Random, text: str) -> str:
    """Return a text in which dots take the place of lines of one table."""
    lines = text.splitlines()
    first = random.randrange(len(lines)) if lines else 0
    last = first
    while last < min(len(lines), first + random.choice((1, 3, 10, 40))):
        line = lines[last].strip("> \u00a0")
        if not line or "iptables" in line or line.startswith(("*", "COMMIT", "[root")):
            break
        if re.match(r"Chain (?:PREROUTING|INPUT) ", line):
            break
        last += 1
    return "\n".join([*lines[:first], "...", *lines[last:]]) + "\n" if last > first else text


def _cut(random: Random, text: str) -> str:
    """Return a text that breaks off in its last table, before the last chain or rule."""
    parts = [found.start() for found in _PART.finditer(text)]
    tables = [found.start() for found in _TABLE.finditer(text)]
    end = parts[-1] if parts else 0
    start = max((at for at in tables if at < end), default=0) + 40
    if any(at > end for at in tables if text[at:].strip()) or start >= end:
        return text
    return text[: random.randrange(start, end)]


DAMAGES: dict[str, Callable[[Random, str], str]] = {
    "none": lambda random, text: text,
    "a prompt": lambda random, text: f"[root@host ~]# iptables -nvL\n{text}[root@host ~]# \n",
    "quoted": lambda random, text: "".join(f"> {line}\n" for line in text.splitlines()),
    "indented": lambda random, text: "".join(f"    {line}\n" for line in text.splitlines()),
    "fenced": lambda random, text: f"Hi, my rules:\n```\n{text}```\nplease help\n",
    "CRLF": lambda random, text: text.replace("\n", "\r\n"),
    "U+00A0": lambda random, text: text.replace("  ", " \u00a0"),
    "U+00A0 alone": lambda random, text: text.replace(" ", "\u00a0"),
    "single blanks": lambda random, text: re.sub(r" {2,}", " ", text),
    "no trailing blanks": lambda random, text: "".join(f"{line.rstrip()}\n" for line in text.splitlines()),
    "numbered": _each(lambda number, line: f"{number:6}\t{line}"),
    "numbered with colons": _each(lambda number, line: f"{number}: {line}"),
    "coloured": lambda random, text: text.replace("ACCEPT", "\x1b[1;32mACCEPT\x1b[0m"),
    "coloured without escapes": lambda random, text: text.replace("ACCEPT", "[1;32mACCEPT[0m"),
    "tabs": lambda random, text: re.sub(r"(?<=\S) +(?=\S)", "\t", text),
    "HTML": _each(lambda number, line: f"{html.escape(line)}<br />"),
    "typographic": lambda random, text: re.sub(r'"([^"\n]*)"', "“\\1”", text).replace("--", "—"),
    "quoted twice": _each(lambda number, line: f">> {line}"),
    "of a forum": lambda random, text: f"Code: Select all\n\n{text}\nThanks\n",
    "tagged": lambda random, text: f"<details><summary>rules</summary>\n<pre>{text}</pre>\n</details>\n",
    "watched": lambda random, text: f"Every 2.0s: iptables -nvL       gw: Sat Nov 28 10:00:00 2026\n\n{text}",
    "added by a patch": _each(lambda number, line: f"+{line}"),
    "logged by journald": _each(
        lambda number, line: f"Nov 28 10:00:{number % 60:02} gw rules.sh[81]: {line}"
    ),
    "logged by docker": _each(lambda number, line: f"2026-11-28T10:00:{number % 60:02}.123456789Z {line}"),
    "logged by kubectl": _each(lambda number, line: f"[pod/fw-7d9f/main] {line}"),
    "logged as one line": lambda random, text: json.dumps(text) + "\n",
    "a list of Ansible": lambda random, text: f'"stdout_lines": {json.dumps(text.splitlines(), indent=4)}\n',
    "commented": _each(lambda number, line: f"# {line}"),
    "commented in C": _each(lambda number, line: f"// {line}"),
    "bold": _each(lambda number, line: f"**{line}**" if line else line),
    "continued": _continued,
    "wrapped by the terminal": _wrapped_by_the_terminal,
    "wrapped between words": _wrapped_between_words,
    "dots": _with_dots,
    "cut": _cut,
}
_LOSSES = {"dots", "cut"}


def check(seed: int, form: str, damages: list[str]) -> None:
    random = Random(seed)
    name = random.choice([_RANDOM, random.choice(_HOSTS)])
    host = _captured(name)
    dump = random_dump(random, 6) if name == _RANDOM else (CAPTURES / name / "iptables-save.txt").read_text()
    ruleset = _with_all_chains(loads(dump, family=4))
    text = FORMS[form](ruleset, dump)
    if not re.search(r"Chain|-P|\*", text):
        return  # no table
    for damage in damages:
        text = DAMAGES[damage](random, text)
    read = _with_names_of(host, host_of_source(Source("paste", {}, text.encode())))
    whole, pasted = replace(host, rulesets={4: ruleset}), replace(host, rulesets={4: read})
    for _ in range(_PACKETS):
        question = Question(**random_fields(random))
        wanted, got = walk(whole, question).verdict, walk(pasted, question).verdict
        # a rule that is not shown blocks a packet in one way or the other
        blocked = bool(_LOSSES & set(damages)) and {wanted, got} == {"DROP", "REJECT"}
        assert got in (wanted, "DEPENDS") or blocked, (question, text)


_CASES = (
    st.integers(0, 2**32),
    st.sampled_from(list(FORMS)),
    st.lists(st.sampled_from(list(DAMAGES)), min_size=1, max_size=2, unique=True),
)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(*_CASES)
@pytest.mark.thorough
def test_pasted_rules_give_no_other_verdict(seed: int, form: str, damages: list[str]) -> None:
    check(seed, form, damages)


@pytest.mark.thorough
@settings(max_examples=100, deadline=None, derandomize=True)
@given(*_CASES)
def test_pasted_rules_give_no_other_verdict_ever(seed: int, form: str, damages: list[str]) -> None:
    check(seed, form, damages)
